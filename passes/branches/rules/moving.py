"""Operators that move elements: their axes lie one further back behind that of the branches."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ....ir.graph.node import from_first
from ..packing.packed import Pack, Packed, Result
from ..packing.recipe import Ref, integers

__all__ = ["flatten", "gather", "reshape", "slice_", "squeeze", "transpose", "unsqueeze"]


def transpose(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """Axes in another order, that of the branches first."""
    value, rank = _moved(pack, operands)
    if value is None or rank is None:
        return None
    order = pack.view.attribute("perm") or range(rank)[::-1]
    return pack.made("Transpose", value, perm=[0, *(axis + 1 for axis in order)]), "stack"


def unsqueeze(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """New axes of one place."""
    value, rank = _moved(pack, operands)
    axes = pack.view.integers("axes", 1)
    if value is None or rank is None or axes is None:
        return None
    own = sorted(from_first(axis, rank + len(axes)) + 1 for axis in axes)
    return pack.moved("Unsqueeze", value, own), "stack"


def squeeze(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """Axes of one place gone."""
    value, rank = _moved(pack, operands)
    axes = pack.view.integers("axes", 1)
    if value is None or rank is None or not axes:
        return None
    return pack.moved("Squeeze", value, sorted(from_first(axis, rank) + 1 for axis in axes)), "stack"


def reshape(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """Another shape; a 0 copies the extent at its place, which lies one further back as well."""
    value, rank = _moved(pack, operands)
    shape = pack.view.integers("shape", 1)
    if value is None or rank is None or shape is None or pack.view.attribute("allowzero", 0):
        return None
    return pack.made("Reshape", value, integers([pack.lanes, *shape], "shape")), "stack"


def flatten(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """The axes behind the first as one."""
    value, rank = _moved(pack, operands)
    shape = None if operands[0] is None else operands[0].shape
    if value is None or shape is None or rank is None or rank < 2 or pack.view.axis(rank, 1) != 1:
        return None
    first, *behind = shape
    known = [extent for extent in behind if extent is not None]
    # A zero copies an extent, which may be none: nothing can follow from it.
    if len(known) == len(behind):
        return pack.made("Reshape", value, integers([pack.lanes, 0, math.prod(known)], "shape")), "stack"
    return (pack.made("Reshape", value, integers([pack.lanes, first, -1], "shape")), "stack") if first else None


def slice_(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """A part of each branch."""
    value, rank = _moved(pack, operands)
    one = pack.view
    starts, ends = one.integers("starts", 1), one.integers("ends", 2)
    axes, steps = one.integers("axes", 3), one.integers("steps", 4)
    if value is None or rank is None or starts is None or ends is None:
        return None
    if (one.operand(3) is not None and axes is None) or (one.operand(4) is not None and steps is None):
        return None
    own = [from_first(axis, rank) + 1 for axis in (range(len(starts)) if axes is None else axes)]
    if pack.opset < 10:
        return pack.made("Slice", value, starts=starts, ends=ends, axes=own), "stack"
    bounds = [("starts", starts), ("ends", ends), ("axes", own), ("steps", steps or [1] * len(own))]
    return pack.made("Slice", value, *(integers(told, name) for name, told in bounds)), "stack"


def gather(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """The same places of each branch."""
    value, rank = _moved(pack, operands)
    index = operands[1]
    if value is None or rank is None or index is None or index.kind != "fixed" or not pack.equal(index):
        return None
    return pack.made("Gather", value, index.values[0], axis=pack.view.axis(rank, 0) + 1), "stack"


def _moved(pack: Pack, operands: Sequence[Packed | None]) -> tuple[Ref, int | None]:
    """What is moved, on a new first axis, and the rank of one branch; None for either where that is not known."""
    first = operands[0]
    if first is None or any(one is not None and one.kind != "fixed" for one in operands[1:]):
        return None, None
    return pack.stacked(first), first.rank
