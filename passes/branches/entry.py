"""Where branches begin: pieces of one value, whatever cut them out, as one value with the branches on a first axis."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.onnx_ir import onnx_ir as ir
from .packing.packed import Pack, Packed
from .packing.piece import CutOut, dims
from .packing.recipe import Ref, copied, integers

__all__ = ["entered", "of_one_root"]


def of_one_root(pieces: Sequence[CutOut | None]) -> bool:
    """Whether these are pieces of one value along one axis, all of one size."""
    first = pieces[0]
    return first is not None and all(
        one is not None
        and (one.root, one.axis, one.size, one.squeezed) == (first.root, first.axis, first.size, first.squeezed)
        for one in pieces
    )


def entered(pack: Pack, values: tuple[ir.Value, ...], pieces: Sequence[CutOut]) -> Packed | None:
    """The pieces on a new first axis; None where the shape of what they are cut out of is not known enough.

    (.., T, ..)  ──►  (.., B, ..)  ──►  (B, .., ..)         each is one place, its axis gone
    (.., B·L, ..)  ──►  (.., B, L, ..)  ──►  (B, .., L, ..)  each is L places
    """
    first = pieces[0]
    shape = dims(first.root)
    if shape is None:
        return None
    axis, rank, like = first.axis, len(shape), values[0]
    places = [one.start for one in pieces]
    root: Ref = first.root
    if pack.turns and (turned := _turned(pack, values, pieces)) is not None:
        return turned
    if first.squeezed:
        ref = _picked(pack, root, places, shape[axis], axis, like)
        return Packed(values, "stack", _first(pack, ref, axis, rank, like))
    behind = shape[axis + 1 :]
    extent = shape[axis]
    if extent is None or (None in behind[1:] and axis != rank - 1 and behind.count(None) > 1):
        return None
    whole = extent % first.size == 0 and all(place % first.size == 0 for place in places)
    run = all(place == places[0] + index * first.size for index, place in enumerate(places))
    if not whole and not run:
        return None
    if run and (places[0] or pack.lanes * first.size != extent):
        root = _window(pack, root, places[0], places[0] + pack.lanes * first.size, axis, like)
        count, at = pack.lanes, list(range(pack.lanes))
    elif run:
        count, at = pack.lanes, list(range(pack.lanes))
    else:
        count, at = extent // first.size, [place // first.size for place in places]
    rest = [-1 if one is None else one for one in behind]
    if rest.count(-1) > 1:
        return None
    before = copied(shape[:axis], rest)
    if before is None:
        return None
    apart = pack.made("Reshape", root, integers([*before, count, first.size, *rest], "shape"), like=like)
    ref = _picked(pack, apart, at, count, axis, like)
    return Packed(values, "stack", _first(pack, ref, axis, rank + 1, like))


def _turned(pack: Pack, values: tuple[ir.Value, ...], pieces: Sequence[CutOut]) -> Packed | None:
    """The transposes of matrices on a new first axis: parts of the last axis of one, places of an axis of three.

    What several branches in a row read is there once, where all are read by as many. None for other pieces.
    """
    first, like = pieces[0], values[0]
    shape = dims(first.root)
    if shape is None:
        return None
    axis, places = first.axis, [one.start for one in pieces]
    extent = shape[axis]
    if first.squeezed and len(shape) == 3 and axis > 0:
        ref: Ref = pack.made("Transpose", first.root, like=like, perm=[axis, 3 - axis, 0])
    elif not first.squeezed and len(shape) == 2 and axis == 1 and extent is not None and extent % first.size == 0:
        if any(place % first.size for place in places):
            return None
        whole = pack.made("Transpose", first.root, like=like, perm=[1, 0])
        extent, places = extent // first.size, [place // first.size for place in places]
        ref = pack.made("Reshape", whole, integers([extent, first.size, -1], "shape"), like=like)
    else:
        return None
    distinct = list(dict.fromkeys(places))
    each = len(places) // len(distinct)
    if places != [place for place in distinct for _ in range(each)]:
        distinct, each = places, 1
    return Packed(values, "turned", _picked(pack, ref, distinct, extent, 0, like), each)


def _picked(pack: Pack, value: Ref, places: Sequence[int], extent: int | None, axis: int, like: ir.Value) -> Ref:
    """What lies at some places of an axis, the value itself where these are all of them in order."""
    run = all(place == places[0] + index for index, place in enumerate(places))
    if run and places[0] == 0 and len(places) == extent:
        return value
    if run:
        return _window(pack, value, places[0], places[-1] + 1, axis, like)
    return pack.made("Gather", value, integers(places, "places"), like=like, axis=axis)


def _window(pack: Pack, value: Ref, start: int, end: int, axis: int, like: ir.Value) -> Ref:
    """What lies between two places of an axis."""
    if pack.opset < 10:
        return pack.made("Slice", value, like=like, starts=[start], ends=[end], axes=[axis])
    bounds = (integers([start], "start"), integers([end], "end"), integers([axis], "axis"))
    return pack.made("Slice", value, *bounds, like=like)


def _first(pack: Pack, value: Ref, axis: int, rank: int, like: ir.Value) -> Ref:
    """One axis moved before all others."""
    if axis == 0:
        return value
    return pack.made("Transpose", value, like=like, perm=[axis, *(one for one in range(rank) if one != axis)])
