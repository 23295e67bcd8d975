"""Bounds through operators that decide: comparisons, choices, and functions with steps, which rounding must not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from .interval import Floats, Interval, hull_of, where_sure
from .rounding import RoundedView

__all__ = ["DECIDING", "broken"]

Transfer: TypeAlias = "Callable[[RoundedView, Sequence[Interval]], Interval | None]"
Function: TypeAlias = "Callable[[Floats], Floats]"
Sure: TypeAlias = "Callable[[Interval, Interval, float], tuple[Any, Any]]"


def _either(_: RoundedView, given: Sequence[Interval]) -> Interval:
    """Where: the one that is chosen, or either."""
    chosen, one, other = given
    both = hull_of((one, other))
    yes, no = chosen.low > 0, chosen.high <= 0
    low, high = (
        (np.where(yes, a, np.where(no, b, c))) for a, b, c in zip(*map(_sides, (one, other, both)), strict=True)
    )
    return Interval(low, high)


def _sides(one: Interval) -> tuple[Floats, Floats]:
    return one.low, one.high


def _compared(sure: Sure) -> Transfer:
    """A comparison, 1 where it holds for sure, 0 where it does not; what rounding could turn round decides nothing."""

    def transfer(view: RoundedView, given: Sequence[Interval]) -> Interval:
        holds, fails = sure(given[0], given[1], view.near)
        return Interval(np.where(holds, 1.0, 0.0), np.where(fails, 0.0, 1.0))

    return transfer


def _apart(a: Interval, b: Interval, near: float) -> tuple[Any, Any]:
    """Where a is greater than b, and where it is less, by more than rounding."""
    over, under = a.low - b.high, b.low - a.high
    return tuple(gap > near * np.maximum(1, np.abs(x) + np.abs(y))
                 for gap, x, y in ((over, a.low, b.high), (under, b.low, a.high)))  # fmt: skip


def _zeros(a: Interval, b: Interval) -> Any:
    """Where both are zero, which no rounding makes of anything else."""
    return (a.low == 0) & (a.high == 0) & (b.low == 0) & (b.high == 0)


def _greater(a: Interval, b: Interval, near: float) -> tuple[Any, Any]:
    over, under = _apart(a, b, near)
    return over, under | _zeros(a, b)


def _at_least(a: Interval, b: Interval, near: float) -> tuple[Any, Any]:
    over, under = _apart(a, b, near)
    return over | _zeros(a, b), under


def _equal(a: Interval, b: Interval, near: float) -> tuple[Any, Any]:
    over, under = _apart(a, b, near)
    return _zeros(a, b), over | under


def _negated(_: RoundedView, given: Sequence[Interval]) -> Interval:
    return Interval(1 - given[0].high, 1 - given[0].low)


def _stepped(function: Function) -> Transfer:
    """A function with steps: numbers that rounding could bring to the other side of one are on both."""

    def transfer(view: RoundedView, given: Sequence[Interval]) -> Interval:
        x = given[0]
        low, high = (
            side + sign * view.near * np.maximum(1, np.abs(side)) for side, sign in zip(_sides(x), (-1, 1), strict=True)
        )
        zero = (x.low == 0) & (x.high == 0)
        return Interval(np.where(zero, 0.0, function(low)), np.where(zero, 0.0, function(high)))

    return transfer


def broken(function: Callable[[RoundedView], Function], edges: Callable[[RoundedView], Sequence[float]]) -> Transfer:
    """A function that leaps at some edges; a constant that rounding could bring beyond one is between both sides."""

    def transfer(view: RoundedView, given: Sequence[Interval]) -> Interval:
        x, of = given[0].low, function(view)
        x = np.where(given[0].known, x, 0.0)
        margin = view.near * np.maximum(1, np.abs(x))
        sides = [of(one) for one in (x - margin, x, x + margin)]
        close = np.logical_or.reduce([np.abs(x - edge) <= margin for edge in edges(view)])
        low, high = (np.where(close, choose.reduce(sides), sides[1]) for choose in (np.minimum, np.maximum))
        return where_sure(given[0].known, low, high)

    return transfer


DECIDING: dict[str, Transfer] = {
    **{op: _stepped(of) for op, of in (("Floor", np.floor), ("Ceil", np.ceil), ("Round", np.rint), ("Sign", np.sign))},
    "Greater": _compared(_greater),
    "Less": _compared(lambda a, b, near: _greater(b, a, near)),
    "GreaterOrEqual": _compared(_at_least),
    "LessOrEqual": _compared(lambda a, b, near: _at_least(b, a, near)),
    "Equal": _compared(_equal),
    "And": lambda _, given: Interval(np.minimum(given[0].low, given[1].low), np.minimum(given[0].high, given[1].high)),
    "Or": lambda _, given: Interval(np.maximum(given[0].low, given[1].low), np.maximum(given[0].high, given[1].high)),
    "Where": _either,
    "Not": _negated,
}
