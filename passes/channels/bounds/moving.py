"""Bounds through operators that move elements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ....ir.axes.axis_rule import AxisRule, RuleView
from ....ir.axes.regrouping import Regrouping
from .interval import Floats, Interval, hull_of, tidied

__all__ = ["MOVING", "by_groups"]

Transfer: TypeAlias = "Callable[[RuleView, AxisRule, Sequence[Interval]], Interval | list[Interval] | None]"


def by_groups(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """Axes of the first operand that go on, each to one of the result; those that go are the same all along."""
    target = {ref.axis: axis for ref, axis in _pairs(rule)}
    gone = [axis for axis in range(given[0].rank) if axis not in target]
    x = given[0].hull(gone)
    order = sorted(target, key=target.__getitem__)
    rank = rule.ranks[0]

    def move(side: Floats) -> Floats:
        turned = np.transpose(side, [*order, *gone])
        shape = [1] * rank
        for axis in order:
            shape[target[axis]] = side.shape[axis]
        return turned.reshape(shape)

    unit = None if given[0].unit is None or rule.mixed else target.get(given[0].unit)
    moved = x.moved(move)
    return Interval(moved.low, moved.high, unit)


def _pairs(rule: AxisRule) -> list[tuple[Any, int]]:
    """Axes of the first operand, each with the axis of the first result that it becomes."""
    found = []
    for group in rule.same:
        old = [ref for ref in group if not ref.is_result and ref.slot == 0]
        new = [ref for ref in group if ref.is_result and ref.slot == 0]
        found += [(ref, new[0].axis) for ref in old if new]
    return found


def _reshape(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    x, regrouped = given[0], rule.regrouped
    assert regrouped is not None
    for group in regrouped.groups:  # of axes that cannot be followed the bounds are taken together
        axes = [axis for axis in group.before if x.low.shape[axis] != 1]
        known = all(isinstance(regrouped.before[axis], int) for axis in group.before)
        whole = all(isinstance(regrouped.after[axis], int) for axis in group.after)
        if axes and not group.is_whole and (group.is_open or not known or not whole):
            x = x.hull(axes)
    return x.moved(lambda side: _regrouped(side, regrouped))


def _regrouped(side: Floats, regrouping: Regrouping) -> Floats:
    """What lies along some axes once they are grouped another way."""
    source: list[int] = []
    target: list[int] = []
    for group in regrouping.groups:
        own = [side.shape[axis] for axis in group.before]
        if group.is_whole or all(extent == 1 for extent in own):
            source += own
            target += own if group.is_whole else [1] * len(group.after)
        else:
            source += [_number(regrouping.before[axis]) for axis in group.before]
            target += [_number(regrouping.after[axis]) for axis in group.after]
    return np.broadcast_to(side, source).reshape(target)


def _number(extent: int | str | None) -> int:
    assert isinstance(extent, int)
    return extent


def _concat(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    axis = view.axis(given[0].rank, 0)
    extents = [view.extents(index)[axis] for index in view.present]
    if not all(isinstance(extent, int) for extent in extents):
        return hull_of([one.hull([axis]) for one in given])
    parts = [_stretched(one, axis, _number(extent)) for one, extent in zip(given, extents, strict=True)]
    shape = np.broadcast_shapes(*((*part.low.shape[:axis], 1, *part.low.shape[axis + 1 :]) for part in parts))

    def joined(sides: list[Floats]) -> Floats:
        own = [np.broadcast_to(s, (*shape[:axis], s.shape[axis], *shape[axis + 1 :])) for s in sides]
        return np.concatenate(own, axis)

    return tidied(Interval(joined([part.low for part in parts]), joined([part.high for part in parts])))


def _stretched(x: Interval, axis: int, extent: int) -> Interval:
    shape = [*x.low.shape]
    shape[axis] = extent
    return x.moved(lambda side: np.broadcast_to(side, shape))


def _cut(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> list[Interval]:
    """Slice and Split: each result takes some places of some axes."""
    found = [given[0] for _ in view.node.outputs]
    for cut in rule.cuts:
        assert cut.target is not None
        (piece,) = cut.pieces
        axis, slot = cut.target.axis, cut.target.slot
        if found[slot].low.shape[axis] == 1:
            continue
        if isinstance(piece.taken, slice):
            index = (slice(None),) * axis + (piece.taken,)
            found[slot] = found[slot].moved(lambda side, at=index: side[at])  # type: ignore[misc]
        else:
            found[slot] = found[slot].hull([axis])
    return [Interval(one.low, one.high) for one in found]


def _gather(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """Along the axis of the data anything may be taken; the others go on, and those of the indices come in between."""
    x, count = given[0], view.rank(1)
    axis = view.axis(x.rank, 0)
    places = view.small(1)
    if places is not None and x.low.shape[axis] != 1 and places.size:
        return x.moved(lambda side: np.take(side, places.astype(np.int64), axis))
    x = x.hull([axis])
    return x.moved(lambda side: side.reshape(side.shape[:axis] + (1,) * count + side.shape[axis + 1 :]))


def _expand(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    return Interval(given[0].low, given[0].high)


def _softmax(view: RuleView, rule: AxisRule, given: Sequence[Interval]) -> Interval:
    """Numbers between 0 and 1 that add up to 1."""
    rank = given[0].rank
    axes = [ref.axis for ref in rule.mixed]
    ones = np.ones((1,) * rank)
    return Interval(0 * ones, ones, axes[0] if len(axes) == 1 else None)


MOVING: dict[str, Transfer] = {
    **dict.fromkeys(("Squeeze", "Transpose", "Unsqueeze"), by_groups),
    **dict.fromkeys(("Reshape", "Flatten"), _reshape),
    **dict.fromkeys(("Slice", "Split"), _cut),
    "Concat": _concat,
    "Expand": _expand,
    "Gather": _gather,
    "Softmax": _softmax,
}
