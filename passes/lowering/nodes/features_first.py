"""An activation of any layout as a matrix, features first (K, M) or rows first (M, K), and the result back."""

from __future__ import annotations

from dataclasses import dataclass

from ....ir.graph.linear import Layout
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from .emitter import Emitter
from .kept_apart import feeds_vector, kept_apart

__all__ = ["Frame", "enter", "enter_rows", "guarded", "leave", "leave_rows"]


@dataclass(frozen=True, slots=True)
class Frame:
    """The activation as (K, M) or (M, K), and the shape that the result takes on its way back, None where it has it."""

    features: ir.Value
    shape: ir.Value | None


def enter(emitter: Emitter, layout: Layout | None = None, x: ir.Value | None = None) -> Frame:
    """Bring the activation of the emitter's linear to (K, M), M being all its other extents in the order of y.

    layout: what to take for its layout, which is its own by default; x: for its activation, where features do not lie
    on the last axis.
    """
    (K, N), x = emitter.linear.shape, x or emitter.linear.activation
    layout = layout or emitter.linear.layout
    if layout.kind == "rows":
        flat = enter_rows(emitter)
        return Frame(_transpose(emitter, flat.features, (1, 0), "enter"), flat.shape)
    first = _transpose(emitter, x, layout.enter, "enter")
    if layout.rank == 2:
        return Frame(first, None)
    extents = _extents(x, layout.rank)
    if extents is not None and layout.enter is not None:
        extents = [extents[axis] for axis in layout.enter]
    shape = _shape(emitter, first, extents, lead=N, tail=None)
    return Frame(_reshape(emitter, first, emitter.integers([K, -1], "enter/shape"), "enter"), shape)


def leave(emitter: Emitter, frame: Frame, whole: ir.Value, layout: Layout | None = None) -> ir.Value:
    """Bring a result (N, M) to the layout of the linear's output; layout: as in `enter`."""
    layout = layout or emitter.linear.layout
    if layout.kind == "rows":
        rows = _transpose(emitter, whole, (1, 0), "leave")
        return guarded(emitter, rows) if frame.shape is None else leave_rows(emitter, frame, rows)
    if frame.shape is not None:
        whole = _reshape(emitter, whole, frame.shape, "leave")
    if layout.exit is None:
        return whole
    return guarded(emitter, _transpose(emitter, whole, layout.exit, "leave"))


def enter_rows(emitter: Emitter) -> Frame:
    """Bring the activation of a linear whose features are on the last axis to (M, K)."""
    x, layout, (K, N) = emitter.linear.activation, emitter.linear.layout, emitter.linear.shape
    if layout.rank == 2:
        return Frame(x, None)
    shape = _shape(emitter, x, _extents(x, layout.rank), lead=None, tail=N)
    return Frame(_reshape(emitter, x, emitter.integers([-1, K], "enter/shape"), "enter"), shape)


def leave_rows(emitter: Emitter, frame: Frame, rows: ir.Value) -> ir.Value:
    """Bring a result (M, N) to the extents that the activation had before the last."""
    return rows if frame.shape is None else _reshape(emitter, rows, frame.shape, "leave")


def guarded(emitter: Emitter, transposed: ir.Value) -> ir.Value:
    """A Transpose that ONNX Runtime will not merge into the products behind it, where its merging is broken: it loses
    the value when that is an output of the graph besides, crashes on float16, and before a vector takes the matrix for
    one that nothing transposed (1.31). The Reshape copies nothing."""
    linear = emitter.linear
    if feeds_vector(linear.output):
        return kept_apart(emitter, transposed, "leave")
    merged = linear.output.is_graph_output() and bool(linear.output.uses())
    if not merged and linear.dtype != ir.DataType.FLOAT16:
        return transposed
    rank = 2 if linear.layout.rank is None else linear.layout.rank
    return _reshape(emitter, transposed, emitter.integers([0] * rank, "leave/same"), "leave")


def _transpose(emitter: Emitter, value: ir.Value, perm: tuple[int, ...] | None, role: str) -> ir.Value:
    return value if perm is None else emitter.one("Transpose", [value], role, perm=list(perm))


def _reshape(emitter: Emitter, value: ir.Value, shape: ir.Value, role: str) -> ir.Value:
    # A zero in a computed shape is an empty axis, never "copy the input's"; older sets are told -1 (see `_shape`).
    attributes = {"allowzero": 1} if emitter.opset >= 14 and shape.const_value is None else {}
    return emitter.node("Reshape", [value, shape], role, attributes)[0]


def _extents(value: ir.Value, rank: int | None) -> list[int | None] | None:
    """Extent of each axis, None where it is decided at run time; None when not even the rank is known."""
    shape = shape_of(value)
    if rank is None or shape is None:
        return None
    return [extent if isinstance(extent, int) else None for extent in shape]


def _shape(
    emitter: Emitter, value: ir.Value, extents: list[int | None] | None, lead: int | None, tail: int | None
) -> ir.Value:
    """The shape of `value` with its first extent replaced by `lead`, or its last one by `tail`."""
    if extents is not None:
        others = extents[1:] if lead is not None else extents[:-1]
        if others.count(None) <= 1 and 0 not in others:
            known = [-1 if extent is None else extent for extent in others]
            return emitter.integers([lead, *known] if lead is not None else [*known, tail or 0], "leave/shape")
    shape = emitter.one("Shape", [value], "leave")
    starts, ends = ([1], [1 << 31]) if lead is not None else ([0], [-1])
    if emitter.opset >= 10:
        bounds = [emitter.integers(starts, "leave/starts"), emitter.integers(ends, "leave/ends")]
        rest = emitter.one("Slice", [shape, *bounds], "leave")
    else:
        rest = emitter.one("Slice", [shape], "leave", starts=starts, ends=ends)
    rest.type = shape.type
    replaced = emitter.integers([lead if lead is not None else tail or 0], "leave/extent")
    if emitter.opset < 14:  # Reshape reads 0 as "copy" there: an empty extent becomes -1, which infers to 0
        empty = emitter.one("Equal", [rest, emitter.integers([0], "leave/zero")], "leave")
        one = emitter.one("Cast", [empty], "leave", to=ir.DataType.INT64)
        rest = emitter.one("Sub", [rest, one], "leave")
        empty.type, one.type, rest.type = ir.TensorType(ir.DataType.BOOL), shape.type, shape.type
    joined = emitter.one("Concat", [replaced, rest] if lead is not None else [rest, replaced], "leave", axis=0)
    joined.type = shape.type
    return joined
