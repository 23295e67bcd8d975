"""Values that are pieces of another one: what Slice, Split, Gather and Squeeze cut out of it along one axis."""

from __future__ import annotations

from dataclasses import dataclass

from ....ir.graph.constants import Constants
from ....ir.graph.node import NodeView, from_first
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["CutOut", "dims", "piece_of"]


@dataclass(frozen=True, slots=True)
class CutOut:
    """What lies at places `start` to `start + size` on an axis of a value; squeezed: that axis, of one place, is gone.

    nodes: those that cut it out.
    """

    root: ir.Value
    axis: int
    start: int
    size: int
    squeezed: bool
    nodes: tuple[ir.Node, ...]


def dims(value: ir.Value) -> tuple[int | None, ...] | None:
    """The extents of a value as far as they are known, None where not even their number is."""
    shape = shape_of(value)
    if shape is None:
        return None
    return tuple(dim if isinstance(dim, int) and dim >= 0 else None for dim in shape)


def piece_of(value: ir.Value, constants: Constants) -> CutOut | None:
    """Of what a value is a piece; None where it is none, or where that is decided at run time."""
    node = value.producer()
    if node is None or node.domain not in ("", "ai.onnx") or not node.inputs or node.inputs[0] is None:
        return None
    one = NodeView(node, constants)
    shape = dims(node.inputs[0])
    if node.op_type == "Squeeze":
        inner, axes = piece_of(node.inputs[0], constants), one.integers("axes", 1)
        if inner is None or inner.squeezed or inner.size != 1 or shape is None or not axes or len(axes) > 1:
            return None
        if from_first(axes[0], len(shape)) != inner.axis:
            return None
        return CutOut(inner.root, inner.axis, inner.start, 1, True, (*inner.nodes, node))
    if shape is None or node.inputs[0] in constants:
        return None
    way = {"Slice": _sliced, "Gather": _gathered, "Split": _split}.get(node.op_type)
    found = None if way is None else way(one, shape, value)
    if found is None:
        return None
    axis, start, size, squeezed = found
    extent = shape[axis]
    if extent is None or start < 0 or size < 1 or start + size > extent:
        return None
    return CutOut(node.inputs[0], axis, start, size, squeezed, (node,))


def _sliced(one: NodeView, shape: tuple[int | None, ...], _: ir.Value) -> tuple[int, int, int, bool] | None:
    starts, ends = one.integers("starts", 1), one.integers("ends", 2)
    axes, steps = one.integers("axes", 3), one.integers("steps", 4)
    if not starts or not ends or len(starts) != 1 or len(ends) != 1 or (one.operand(3) is not None and not axes):
        return None
    if (steps or [1]) != [1] or (one.operand(4) is not None and not steps) or (axes is not None and len(axes) != 1):
        return None
    axis = from_first((axes or [0])[0], len(shape))
    extent = shape[axis]
    if extent is None:
        return None
    start, end = (place + extent if place < 0 else min(place, extent) for place in (starts[0], ends[0]))
    return axis, start, end - start, False


def _gathered(one: NodeView, shape: tuple[int | None, ...], _: ir.Value) -> tuple[int, int, int, bool] | None:
    index = one.small(1)
    if index is None or index.size != 1 or index.ndim > 1 or index.dtype.kind not in "iu":
        return None
    axis = one.axis(len(shape), 0)
    extent, place = shape[axis], int(index.reshape(-1)[0])
    return None if extent is None else (axis, place + extent if place < 0 else place, 1, index.ndim == 0)


def _split(one: NodeView, shape: tuple[int | None, ...], value: ir.Value) -> tuple[int, int, int, bool] | None:
    axis, at = one.axis(len(shape), 0), list(one.node.outputs).index(value)
    extent, count = shape[axis], len(one.node.outputs)
    sizes = one.integers("split", 1)
    if extent is None or (one.operand(1) is not None and sizes is None):
        return None
    if sizes is None:
        if extent % count:
            return None
        sizes = [extent // count] * count
    if len(sizes) != count or sum(sizes) != extent:
        return None
    return axis, sum(sizes[:at]), sizes[at], False
