"""Which of several candidates is kept: the fastest that is measured to be within the budget, or the one that loses
least of those that are fast enough."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ...ir.reason import Cause, Reason
from ..measure.comparison import Speed
from .task.goal import Goal
from .task.method import Declined
from .trying import TriedCandidate

__all__ = ["choose"]


def choose(
    goal: Goal, tried: Sequence[TriedCandidate], declined: Sequence[Declined] = ()
) -> tuple[TriedCandidate | None, Reason | None]:
    """The candidate that is kept, or None and why.

    With a budget the fastest within it, as measured, which must be as fast as the target where there is one, and of
    several that are as fast the one that loses least; with a target alone the one that loses least. A candidate that is
    not clearly faster than the original is never kept.
    """
    if not tried:
        return None, _nothing(declined)
    faster = [one for one in tried if one.latency.speed is Speed.FASTER]
    if not faster:
        best = max(tried, key=lambda one: one.speedup)
        why = f"none of {len(tried)} candidates is clearly faster, the fastest {best.latency.figure}"
        return None, Reason(Cause.NO_GAIN, why)
    name = goal.metric.name
    allowed = [one for one in faster if goal.allows(one.drop)]
    if not allowed:
        known = [one for one in faster if one.drop < math.inf]
        if goal.limit is None or not known:
            best = max(faster, key=lambda one: one.speedup)
            why = f"what the fastest candidates make cannot be judged: {goal.metric.name} is {best.measured.metric:.4g}"
            return None, Reason(Cause.OVER_BUDGET, why)
        least = min(known, key=lambda one: one.drop)
        why = f"every candidate costs more than the budget; the least is {least.drop:.4g} of {name}, not {goal.limit:g}"
        return None, Reason(Cause.OVER_BUDGET, why)
    enough = [one for one in allowed if goal.reached(one.speedup)]
    if not enough:
        best = max(allowed, key=lambda one: one.speedup)
        within = "" if goal.limit is None else " within the budget"
        why = f"the fastest candidate{within} is {best.latency.figure}, where {goal.target:g}x was asked for"
        return None, Reason(Cause.BELOW_TARGET, why)
    if goal.limit is None:
        return min(enough, key=lambda one: one.drop), None
    return max(enough, key=lambda one: (one.speedup, -one.drop)), None


def _nothing(declined: Sequence[Declined]) -> Reason:
    """Why there is no candidate at all: the reason of the first method, or that none was asked."""
    if not declined:
        return Reason(Cause.NO_GAIN, "no method proposes anything for this model")
    first = declined[0]
    more = "; ".join(f"{one.method}: {one.reason}" for one in declined)
    return Reason(first.reason.cause, more)
