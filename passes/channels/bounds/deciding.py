"""Bounds through operators that decide: comparisons, choices, and functions with steps, which rounding must not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ....ir.graph.node import NodeView
from .interval import Floats, Interval, hull_of

__all__ = ["DECIDING"]

Transfer: TypeAlias = "Callable[[NodeView, Sequence[Interval]], Interval | None]"
Function: TypeAlias = "Callable[[Floats], Floats]"

NEAR = 1e-4  # of a number: what rounding may add up to where it decides


def _either(_: NodeView, given: Sequence[Interval]) -> Interval:
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


def _compared(sure: Callable[[Interval, Interval], tuple[Any, Any]]) -> Transfer:
    """A comparison, 1 where it holds for sure, 0 where it does not; what rounding could turn round decides nothing."""

    def transfer(_: NodeView, given: Sequence[Interval]) -> Interval:
        holds, fails = sure(*given)
        return Interval(np.where(holds, 1.0, 0.0), np.where(fails, 0.0, 1.0))

    return transfer


def _apart(a: Interval, b: Interval) -> tuple[Any, Any]:
    """Where a is greater than b, and where it is less, by more than rounding."""
    over, under = a.low - b.high, b.low - a.high
    return tuple(gap > NEAR * np.maximum(1, np.abs(x) + np.abs(y))
                 for gap, x, y in ((over, a.low, b.high), (under, b.low, a.high)))  # fmt: skip


def _zeros(a: Interval, b: Interval) -> Any:
    """Where both are zero, which no rounding makes of anything else."""
    return (a.low == 0) & (a.high == 0) & (b.low == 0) & (b.high == 0)


def _greater(a: Interval, b: Interval) -> tuple[Any, Any]:
    over, under = _apart(a, b)
    return over, under | _zeros(a, b)


def _at_least(a: Interval, b: Interval) -> tuple[Any, Any]:
    over, under = _apart(a, b)
    return over | _zeros(a, b), under


def _equal(a: Interval, b: Interval) -> tuple[Any, Any]:
    over, under = _apart(a, b)
    return _zeros(a, b), over | under


def _negated(_: NodeView, given: Sequence[Interval]) -> Interval:
    return Interval(1 - given[0].high, 1 - given[0].low)


def _stepped(function: Function) -> Transfer:
    """A function with steps: numbers that rounding could bring to the other side of one are on both."""

    def transfer(_: NodeView, given: Sequence[Interval]) -> Interval:
        x = given[0]
        low, high = (
            side + sign * NEAR * np.maximum(1, np.abs(side)) for side, sign in zip(_sides(x), (-1, 1), strict=True)
        )
        zero = (x.low == 0) & (x.high == 0)
        return Interval(np.where(zero, 0.0, function(low)), np.where(zero, 0.0, function(high)))

    return transfer


DECIDING: dict[str, Transfer] = {
    **{op: _stepped(of) for op, of in (("Floor", np.floor), ("Ceil", np.ceil), ("Round", np.rint), ("Sign", np.sign))},
    "Greater": _compared(_greater),
    "Less": _compared(lambda a, b: _greater(b, a)),
    "GreaterOrEqual": _compared(_at_least),
    "LessOrEqual": _compared(lambda a, b: _at_least(b, a)),
    "Equal": _compared(_equal),
    "And": lambda _, given: Interval(np.minimum(given[0].low, given[1].low), np.minimum(given[0].high, given[1].high)),
    "Or": lambda _, given: Interval(np.maximum(given[0].low, given[1].low), np.maximum(given[0].high, given[1].high)),
    "Where": _either,
    "Not": _negated,
}
