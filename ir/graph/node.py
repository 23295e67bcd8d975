"""A node as every analysis looks at it: its operands, attributes and constants; where it stands, as recognisers do."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ..onnx_ir import onnx_ir as ir
from ..reason import Cause, Reason
from .constants import Constants
from .linear import Linear, Scope, only_use
from .operators import is_standard

__all__ = ["NodeView", "Site", "from_first", "leaf_shape", "size", "subgraphs"]

FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.FLOAT16, ir.DataType.BFLOAT16})

GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
ONE_AXIS = 13  # the operator set from which a softmax is along its axis alone, not along all behind it as well
SMALL = 1 << 20  # entries of a constant that is read to learn where elements go
OVERRIDABLE = Reason(
    Cause.NOT_CONSTANT,
    "weight is an initializer that callers may override; take it out of the graph's inputs, or export with "
    "keep_initializers_as_inputs=False",
)


@dataclass(frozen=True, slots=True, eq=False)
class NodeView:
    """A node, and the constants of its model."""

    node: ir.Node
    constants: Constants

    def operand(self, index: int) -> ir.Value | None:
        """An operand, None where it is left out."""
        return self.node.inputs[index] if index < len(self.node.inputs) else None

    def attribute(self, name: str, default: Any = None) -> Any:
        """The value of an attribute."""
        attribute = self.node.attributes.get(name)
        return default if attribute is None else attribute.value

    def axis(self, rank: int, default: int | None = None) -> int:
        """The attribute 'axis' among `rank` axes, counted from the first; raises IndexError where it is not there."""
        return from_first(int(self.attribute("axis", default)), rank)

    @property
    def softmax_axis(self) -> int:
        """The axis of a Softmax as its node counts it; from operator set 13 it is along this axis alone."""
        return int(self.attribute("axis", -1 if self.constants.opset >= ONE_AXIS else 1))

    def is_told(self, name: str, index: int) -> bool:
        """Whether an operand, or before it was one an attribute, says something."""
        return self.operand(index) is not None or name in self.node.attributes

    def integers(self, name: str, index: int) -> list[int] | None:
        """Integers from a small constant operand or, before it was one, from an attribute; None where they are left
        out or computed. Raises ModelError where the constant cannot be folded."""
        array = self.small(index)
        if array is None:
            values = None if self.operand(index) is not None else self.attribute(name)
            return None if values is None else [int(number) for number in values]
        return [int(number) for number in array.reshape(-1)]

    def small(self, index: int) -> npt.NDArray[Any] | None:
        """What a constant operand of few entries holds; None for any other. Raises ModelError like `integers`."""
        value = self.operand(index)
        if value is None or value not in self.constants or size(self.constants.describe(value)[0]) > SMALL:
            return None
        return self.constants.read(value)


def subgraphs(node: ir.Node) -> Iterator[tuple[str, int, ir.Graph]]:
    """(attribute, index, graph) of every graph that a node holds, by the name of the attribute."""
    for name in sorted(node.attributes) if node.attributes else ():
        attribute = node.attributes[name]
        if attribute.type in GRAPHS and not attribute.is_ref():
            inner = [attribute.value] if attribute.type == ir.AttributeType.GRAPH else list(attribute.value)
            for index, graph in enumerate(inner):
                yield name, index, graph


def from_first(axis: int, rank: int) -> int:
    """An axis counted from the first, 0, however it was; raises IndexError where it is not there.

    >>> from_first(-1, 3), from_first(1, 3)
    (2, 1)
    """
    if not -rank <= axis < rank:
        raise IndexError("names an axis that is not there")
    return axis % rank


@dataclass(frozen=True, slots=True, eq=False)
class Site(NodeView):
    """A node where it stands, with what its recogniser needs to know."""

    scope: Scope
    functions: Container[tuple[str, str, str]]

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

    def overridable(self, *values: ir.Value | None) -> Reason | None:
        """The reason that speaks against weights which callers may replace; None when none of them is such."""
        found = any(value is not None and self.constants.is_overridable(value) for value in values)
        return OVERRIDABLE if found else None

    def picked(self, value: ir.Value) -> ir.Node | None:
        """The Gather that picks matrices out of a constant stack (E, ..., K, N) by its first axis when the model runs;
        None where a value is no such matrices, or somebody else reads it."""
        node = value.producer()
        if node is None or node.op_type != "Gather" or not is_standard(node) or node.graph is not self.node.graph:
            return None
        weight, index = node.inputs[:2]
        if weight is None or index is None or weight not in self.constants or index in self.constants:
            return None
        rank, axis = len(self.constants.describe(weight)[0]), NodeView(node, self.constants).attribute("axis", 0)
        alone = only_use(value) is not None
        fits = rank > 2 and axis in (0, -rank) and alone and not self.constants.is_overridable(weight)
        return node if fits else None

    def weight_problem(self, weight: ir.Value) -> Reason | None:
        """Why a constant cannot be taken as a weight; None when it can."""
        shape, dtype = self.constants.describe(weight)
        if dtype not in FLOATS:
            return Reason(Cause.DATA_TYPE, f"weight of type {dtype.name.lower()}, not floating point")
        if any(leaf.is_graph_output() for leaf in (weight, *self.constants.leaves(weight))):
            return Reason(Cause.NOT_CONSTANT, "weight is also an output of the graph")
        if self.constants.has_ambiguous_leaf(weight):
            return Reason(
                Cause.AMBIGUOUS,
                "its weight shares a name with a value in or outside a branch; runtimes differ in which they take",
            )
        if not all(shape):
            return Reason(Cause.UNSUPPORTED, "weight is empty")
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
