"""Rules of operators that move elements and compute nothing: axes turned, cut, joined, or of other extents."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..graph.node import from_first, size
from ..graph.operators import is_standard
from .axis_rule import AxisRule, Cut, Piece, RuleView, UnknownRuleError, aligned, all_but, kept, makes, reads
from .computed_extents import Extent, computed_extents
from .regrouping import Extents, completed, regroup

__all__ = ["MOVING_RULES"]

LONGEST = 64  # axes of a shape that is read


def _transpose(view: RuleView) -> AxisRule:
    rank = view.rank(0)
    perm = [int(axis) for axis in view.attribute("perm") or range(rank)[::-1]]
    if sorted(perm) != list(range(rank)):
        raise UnknownRuleError("cannot be understood")
    return AxisRule(same=kept(perm, range(rank)), ranks={0: rank})


def _squeeze(view: RuleView) -> AxisRule:
    extents, axes = view.extents(0), view.told("axes", 1)
    # Without axes all of extent 1 go, which can be told where every extent is known.
    if axes is None:
        if not all(isinstance(extent, int) for extent in extents):
            raise UnknownRuleError("drops dimensions that are decided at run time")
        axes = [axis for axis, extent in enumerate(extents) if extent == 1]
    gone = {from_first(axis, len(extents)) for axis in axes}
    stay = [axis for axis in range(len(extents)) if axis not in gone]
    return AxisRule(same=kept(stay, range(len(stay))), ranks={0: len(stay)})


def _unsqueeze(view: RuleView) -> AxisRule:
    axes = view.told("axes", 1)
    if axes is None:
        raise UnknownRuleError("lacks an operand")
    rank = view.rank(0) + len(axes)
    # The axes are those of the result, so that two new ones do not push one another on.
    new = {from_first(axis, rank) for axis in axes}
    old = [axis for axis in range(rank) if axis not in new]
    return AxisRule(same=kept(range(view.rank(0)), old), ranks={0: rank})


def _reshape(view: RuleView) -> AxisRule:
    """Elements keep their order in memory, so that an axis goes on where a group of axes is one axis on both sides."""
    before, after = view.extents(0), _asked(view)
    after = completed(before, after)
    found = regroup(completed(after, before), after)
    same = tuple((reads(group.before[0]), makes(group.after[0])) for group in found.groups if group.is_whole)
    return AxisRule(same=same, regrouped=found, ranks={0: len(found.after)})


def _asked(view: RuleView) -> Extents:
    """The extents of a Reshape's result: those that are inferred, and those that its operand says at its end."""
    extents = list(view.made)
    told = view.operand(1) if view.node.op_type == "Reshape" else None
    maker = told.producer() if told is not None else None
    # A shape that is put together at run time from sizes and numbers: the numbers at its end are the last extents.
    if maker is not None and maker.op_type == "Concat" and is_standard(maker):
        told = maker.inputs[-1]
    if told is not None and told in view.constants:
        shape = view.constants.describe(told)[0]
        numbers = view.constants.read(told).ravel().tolist() if len(shape) == 1 and size(shape) <= LONGEST else []
        for place, number in enumerate(reversed(numbers[-len(extents) :] if extents else []), start=1):
            if number > 0:  # 0 copies, -1 is what is left over
                extents[-place] = int(number)
    elif view.node.op_type == "Flatten" and view.attribute("axis", 1) in (-1, view.rank(0) - 1) and len(extents) == 2:
        extents[-1] = view.extents(0)[-1] if extents[-1] is None else extents[-1]
    return _computed(view, extents) if view.node.op_type == "Reshape" else tuple(extents)


def _computed(view: RuleView, extents: Sequence[Extent]) -> Extents:
    """The extents of a Reshape's result, with those that its operand takes from the extents of values.

    Inference knows none where an operator stands before that is not of ONNX, whose extents are learned. A name may turn
    out to be 0, which copies what stands at its place: it counts where that is the same.
    """
    target = view.operand(1)
    wanted = None if target is None else computed_extents(target, view.sizes)
    if wanted is None or len(wanted) != len(extents):
        return tuple(extents)
    before, copies = view.extents(0), not view.attribute("allowzero", 0)

    def taken(place: int, own: Extent) -> bool:
        if isinstance(own, int):
            return own > 0
        return own is not None and (not copies or place >= len(before) or before[place] == own)

    ends = zip(wanted, extents, strict=True)
    return tuple(
        own if not isinstance(extent, int) and taken(place, own) else extent for place, (own, extent) in enumerate(ends)
    )


def _expand(view: RuleView) -> AxisRule:
    """What is repeated along an axis is the same in any order."""
    rank, extents = len(view.made), view.extents(0)
    same = aligned(view, (0,), rank=rank)
    target = view.operand(1)
    wanted = (None if target is None else computed_extents(target, view.sizes)) or []
    if len(wanted) > rank or len(extents) > rank:
        raise UnknownRuleError("cannot be understood")
    # As in numpy, whichever of the two has fewer axes gets axes of extent 1 in front.
    wanted = [*[1] * (rank - len(wanted)), *wanted] if wanted else [None] * rank
    before = [*[1] * (rank - len(extents)), *extents]
    told = {makes(axis): _broadcast(*ends) for axis, ends in enumerate(zip(before, wanted, strict=True))}
    return AxisRule(same=same, ranks={0: rank}, told=told)


def _broadcast(extent: Extent, wanted: Extent) -> Extent:
    """What an extent becomes that is expanded to another; None where that is not known."""
    if wanted == 1 or extent == wanted:
        return extent
    # A name beside another may be 1, and what is not 1 stays.
    return extent if isinstance(extent, int) and extent != 1 else wanted if extent == 1 else None


def _gather(view: RuleView) -> AxisRule:
    """Places along its axis are what the indices say; the other axes go on, those of the indices as well."""
    rank, count = view.rank(0), view.rank(1)
    axis = view.axis(rank, 0)
    #   data     0 … axis-1 | axis | axis+1 …          of `rank` axes
    #   result   0 … axis-1 | those of the indices | …  of `rank - 1 + count`
    beside = [*range(axis), *range(axis + 1, rank)]
    same = kept(beside, [place if place < axis else place - 1 + count for place in beside])
    same += tuple((reads(place, 1), makes(axis + place)) for place in range(count))
    # The result's axis behind a vector of indices is both: an order of the indices, and a cut of the data.
    places = view.small(1)
    taken = None if places is None or count > 1 or not places.size else places.astype(np.int64)
    piece = Piece(reads(axis), int(taken) if taken is not None and not count else taken)
    return AxisRule(same=same, cuts=(Cut(makes(axis) if count == 1 else None, (piece,)),), ranks={0: rank - 1 + count})


def _slice(view: RuleView) -> AxisRule:
    rank, starts, axes = view.rank(0), view.integers("starts", 1), view.told("axes", 3)
    if axes is None:
        if starts is None:
            raise UnknownRuleError("is cut at places that are computed")
        axes = list(range(len(starts)))
    axes = [from_first(axis, rank) for axis in axes]
    windows = dict(zip(axes, _windows(view, starts, len(axes)), strict=True))
    stay = [axis for axis in range(rank) if axis not in windows]
    cuts = tuple(Cut(makes(axis), (Piece(reads(axis), window),)) for axis, window in windows.items())
    return AxisRule(same=kept(stay, stay), cuts=cuts, ranks={0: rank})


def _windows(view: RuleView, starts: list[int] | None, count: int) -> list[slice | None]:
    """What a Slice takes of each of its axes; None where that is computed, or runs backwards."""
    ends, steps = view.integers("ends", 2), view.integers("steps", 4) if view.is_told("steps", 4) else [1] * count
    # The axes that are cut are known even then: along others features go on.
    if starts is None or ends is None or steps is None or any(step < 1 for step in steps):
        return [None] * count
    return [slice(start, end, step) for start, end, step in zip(starts, ends, steps, strict=True)]


def _concat(view: RuleView) -> AxisRule:
    axis = view.axis(view.rank(0), 0)
    # Along the axis the operands lie one after another, along all others they have the same features.
    tied = aligned(view, view.present)
    pieces = tuple(Piece(reads(axis, index), slice(None)) for index in view.present)
    return AxisRule(same=all_but(tied, axis), cuts=(Cut(makes(axis), pieces),), ranks={0: len(tied)})


def _split(view: RuleView) -> AxisRule:
    rank, results = view.rank(0), range(len(view.node.outputs))
    axis = view.axis(rank, 0)
    windows = _parts(view, view.extents(0)[axis], len(results))
    cuts = (
        Cut(makes(axis, index), (Piece(reads(axis), window),)) for index, window in zip(results, windows, strict=True)
    )
    same = all_but(aligned(view, (0,), results), axis)
    return AxisRule(same=same, cuts=tuple(cuts), ranks=dict.fromkeys(results, rank))


def _parts(view: RuleView, extent: int | str | None, count: int) -> Iterator[slice | None]:
    """What each result of a Split takes of its axis; None where sizes are computed or do not come to the extent."""
    # Without sizes the parts are equal but for the last, which may be shorter.
    sizes = view.integers("split", 1)
    if sizes is None and not view.is_told("split", 1) and isinstance(extent, int):
        each = -(-extent // count)
        sizes = [min(each, max(0, extent - each * index)) for index in range(count)]
    known = sizes is not None and len(sizes) == count and sum(sizes) == extent and min(sizes) >= 1
    start = 0
    for part in sizes if sizes is not None and known else [0] * count:
        yield slice(start, start + part) if known else None
        start += part


MOVING_RULES: dict[str, Callable[[RuleView], AxisRule]] = {
    **dict.fromkeys(("Reshape", "Flatten"), _reshape),
    "Concat": _concat,
    "Expand": _expand,
    "Gather": _gather,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
