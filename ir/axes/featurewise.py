"""What is computed from linears with their features kept apart, up to the next linears.

Beside the readings of axis rules this follows the order of elements in memory, in which features stay the last whatever
Reshape does in between: it holds where neither extents nor a rank are known, and where rows are cut through features
and put together again. Values that went through the same reshaping have equal shapes, whichever these are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from ..errors import ModelError
from ..graph.constants import Constants
from ..graph.linear import Linear
from ..graph.node import size
from ..graph.operators import MEASURING, POINTWISE, RESHAPING, is_one_of
from ..graph.shapes import shape_of
from ..onnx_ir import onnx_ir as ir

__all__ = ["Growth", "Place", "Reach", "Trail", "is_passed"]

Trail: TypeAlias = "tuple[tuple[Any, ...], ...]"


@dataclass(frozen=True, slots=True)
class Place:
    """How a value lies behind the sources that it is computed from.

    axis: of the features, counted from the last, 1; None where a Reshape left open which extents there are, though
    the features are still the last in memory. trail: the reshaping since the source: values that share it have equal
    shapes.
    """

    axis: int | None
    trail: Trail
    sources: frozenset[Linear]


@dataclass(frozen=True, slots=True)
class Reach:
    """What is computed from some linears: values, the linears that read them, nodes that want another operand too."""

    places: dict[ir.Value, Place]
    downs: list[Linear]
    waiting: list[ir.Node]


@dataclass(frozen=True, slots=True)
class Growth:
    """Grows regions in one model, whose linears it knows by their nodes."""

    constants: Constants
    of_node: dict[ir.Node, Linear]

    def grow(self, sources: Sequence[Linear]) -> Reach | None:
        """Everything computed from the sources up to the next linears; None where something else reads it."""
        H, graph = sources[0].shape[1], sources[0].node.graph
        places = {
            source.output: Place(source.layout.from_last(source.layout.axis_out), (), frozenset({source}))
            for source in sources
        }
        todo = list(places)
        downs: list[Linear] = []
        waiting: dict[ir.Node, None] = {}
        while todo:
            value = todo.pop()
            if value.is_graph_output():
                return None
            for node, index in value.uses():
                linear = self.of_node.get(node)
                if linear is not None:
                    if node.graph is not graph or not _enters(linear, value, places[value], H):
                        return None
                    downs.append(linear)  # twice, which is refused, where the value is its addend as well
                elif is_one_of(node, MEASURING):
                    continue
                elif not is_passed(node) or (index and is_one_of(node, RESHAPING)):
                    return None
                elif any(operand not in places for operand in self.operands(node)):
                    waiting[node] = None
                elif node.outputs[0] not in places:
                    place = self._step(node, places, H, sources)
                    if place is None:
                        return None
                    waiting.pop(node, None)
                    places[node.outputs[0]] = place
                    todo.append(node.outputs[0])
        return Reach(places, downs, list(waiting))

    def operands(self, node: ir.Node) -> list[ir.Value]:
        """The operands whose elements vary with the input of the model."""
        inputs = node.inputs[:1] if is_one_of(node, RESHAPING) else node.inputs
        return [value for value in inputs if value is not None and value not in self.constants]

    def reshaping(self, node: ir.Node) -> tuple[Any, ...]:
        """What a node does to shapes: nodes with equal answers make equal shapes of equal shapes."""
        told: list[Any] = [node.op_type, *((a.name, str(a.value)) for a in node.attributes.values())]
        for value in node.inputs[1:]:
            try:
                if value is not None and value in self.constants:
                    told.append(tuple(self.constants.read(value).ravel().tolist()))
                else:
                    told.append(value)
            except ModelError:
                told.append(value)
        return tuple(told)

    def _step(self, node: ir.Node, places: dict[ir.Value, Place], H: int, sources: Sequence[Linear]) -> Place | None:
        """Where the result of a node lies; None where it mixes features or is not its only result."""
        found = [places[operand] for operand in self.operands(node)]
        axis, trail = found[0].axis, found[0].trail
        if any(output.uses() or output.is_graph_output() for output in node.outputs[1:]):
            return None
        if is_one_of(node, RESHAPING):
            if axis not in (1, None):
                return None
            shape = shape_of(node.outputs[0])
            known = shape is not None and len(shape) > 0 and shape[-1] == H
            return Place(1 if known else None, (*trail, self.reshaping(node)), found[0].sources)
        if any(place.trail != trail for place in found):
            return None
        if any(place.sources != found[0].sources for place in found) and node.op_type != "Mul":
            return None
        is_bias = any(source.bias is not None and source.bias.node is node for source in sources)
        fixed = [value for value in node.inputs if value is not None and value in self.constants]
        if not is_bias and not all(self._is_along(value, axis, H) for value in fixed):
            return None
        return Place(axis, trail, found[0].sources.union(*(place.sources for place in found)))

    def _is_along(self, value: ir.Value, axis: int | None, H: int) -> bool:
        """Whether a constant is a single number, or one for each feature."""
        try:
            shape, _ = self.constants.describe(value)
        except ModelError:
            return False
        along = axis is not None and len(shape) >= axis and shape[-axis] == H == size(shape)
        return size(shape) == 1 or along


def is_passed(node: ir.Node) -> bool:
    """Whether a node computes element by element, or leaves the elements in the order of memory."""
    # Before operator set 7 this attribute went with one that told which axes line up.
    return is_one_of(node, POINTWISE | RESHAPING) and "broadcast" not in node.attributes


def _enters(down: Linear, value: ir.Value, place: Place, H: int) -> bool:
    """Whether a value enters a linear as its activation, with the hidden units as features."""
    return (
        down.activation is value
        and down.shape[0] == H
        and down.layout.from_last(down.layout.axis_in) == (place.axis or 1)
    )
