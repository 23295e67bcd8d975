"""Where channels of convolutions lie behind operators that move elements, and what is added to each of them there."""

from __future__ import annotations

from ...ir.graph.constants import Constants
from ...ir.graph.node import FLOATS, NodeView, from_first
from ...ir.onnx_ir import onnx_ir as ir

__all__ = ["added_by_channel", "axis_behind", "channels_of"]


def axis_behind(move: NodeView, axis: int, rank: int) -> int | None:
    """Where an axis is behind an operator that moves elements; None where that is not known."""
    op = move.node.op_type
    if op == "Identity":
        return axis
    if op == "Transpose":
        order = move.attribute("perm") or list(range(rank))[::-1]
        return list(order).index(axis)
    axes = move.integers("axes", 1)
    if not axes:
        return None
    if op == "Squeeze":
        gone = [from_first(one, rank) for one in axes]
        return None if axis in gone else axis - sum(one < axis for one in gone)
    new = {from_first(one, rank + len(axes)) for one in axes}
    return [one for one in range(rank + len(axes)) if one not in new][axis]


def added_by_channel(add: ir.Node, axis: int, rank: int, channels: int, constants: Constants) -> ir.Value | None:
    """The constant that a sum adds to every position of a channel; None where it adds something else."""
    held = [value for value in add.inputs if value is not None and value in constants]
    if len(held) != 1 or constants.is_overridable(held[0]):
        return None
    shape, dtype = constants.describe(held[0])
    if len(shape) > rank or dtype not in FLOATS or constants.has_ambiguous_leaf(held[0]):
        return None
    own = (1,) * (rank - len(shape)) + shape
    fits = all(extent == 1 or (place == axis and extent == channels) for place, extent in enumerate(own))
    return held[0] if fits else None


def channels_of(node: ir.Node, constants: Constants) -> int:
    """How many a convolution makes."""
    weight = node.inputs[1]
    assert weight is not None
    shape = constants.describe(weight)[0]
    groups = NodeView(node, constants).attribute("group", 1)
    return int(shape[1] * groups if node.op_type == "ConvTranspose" else shape[0])
