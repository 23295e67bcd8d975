"""A node where it stands: its operands, attributes and constants, and what is wrong with a weight."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Any

from ..onnx_ir import onnx_ir as ir
from .constants import Constants
from .linear import Linear, Scope

__all__ = ["Site", "leaf_shape", "size"]

FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})

OVERRIDABLE = (
    "weight is an initializer that callers may override; take it out of the graph's inputs, or export with "
    "keep_initializers_as_inputs=False"
)


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """A node where it stands, with what its recogniser needs to know."""

    node: ir.Node
    scope: Scope
    constants: Constants
    functions: Container[tuple[str, str, str]]

    def input(self, index: int) -> ir.Value | None:
        """An operand, None where it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def attribute(self, name: str, default: Any) -> Any:
        """The value of an attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.value

    def linear(self, activation: ir.Value, weight: ir.Value, K: int, N: int, **fields: Any) -> Linear:
        """This node as a linear."""
        return Linear(
            node=self.node,
            address=self.scope.address(self.node),
            activation=activation,
            weight=weight,
            shape=(K, N),
            dtype=self.constants.describe(weight)[1],
            opset=self.scope.opset,
            in_function=self.scope.in_function,
            **fields,
        )

    def overridable(self, *values: ir.Value | None) -> str | None:
        """The reason that speaks against weights which callers may replace; None when none of them is such."""
        found = any(value is not None and self.constants.is_overridable(value) for value in values)
        return OVERRIDABLE if found else None

    def weight_problem(self, weight: ir.Value) -> str | None:
        """Why a constant cannot be taken as a weight; None when it can."""
        shape, dtype = self.constants.describe(weight)
        if dtype not in FLOATS:
            return f"weight of type {dtype.name.lower()}, not floating point"
        if any(leaf.is_graph_output() for leaf in (weight, *self.constants.leaves(weight))):
            return "weight is also an output of the graph"
        if any(self.constants.is_ambiguous(leaf) for leaf in self.constants.leaves(weight)):
            return "its weight shares a name with a value in or outside a branch; runtimes differ in which they take"
        if not all(shape):
            return "weight is empty"
        return None

    def parameters(self) -> int:
        """Entries of the node's constant operands that have at least two dimensions."""
        total = 0
        for value in self.node.inputs:
            if value is None:
                continue
            leaves = [value] if value.const_value else []
            for leaf in self.constants.leaves(value) if value in self.constants else leaves:
                shape = leaf_shape(leaf)
                total += size(shape) if len(shape) >= 2 else 0
        return total


def leaf_shape(leaf: ir.Value) -> tuple[int, ...]:
    """Shape of an initializer or of the output of a Constant node."""
    if leaf.const_value is not None:
        return tuple(leaf.const_value.shape.numpy())
    node = leaf.producer()
    if node is not None and "value" in node.attributes:
        return tuple(node.attributes["value"].value.shape.numpy())
    return ()


def size(shape: tuple[int, ...]) -> int:
    """Entries of a tensor of this shape."""
    entries = 1
    for extent in shape:
        entries *= extent
    return entries
