"""What is tried after a model failed its check, or was slower: smaller units, and fewer of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ...ir.errors import ScissionError
from ...ir.plan.preparation import FixedSizes
from ..render.words import why_nothing
from .attempt import Attempt, Tried, untouched
from .lossy import Draft
from .planner import Planner, at_home

if TYPE_CHECKING:
    from ..tune.fallback import Fallback

__all__ = ["fallen_back", "less_prepared", "one_by_one"]


def one_by_one(attempt: Attempt, planner: Planner, draft: Draft) -> tuple[Tried, Draft] | None:
    """Each linear split alone, where several were together and failed the check; None where that helps nothing.

    Sums are rounded in another order together, which an ArgMax over equal votes may show.
    """
    if not draft.plan.regions and not draft.plan.reorderings:
        return None
    plan, tuned = planner.one_by_one()(draft.exact)
    if not plan.rewrites:
        return None
    alone = replace(draft, plan=plan, tuned=tuned)
    tried = attempt.run(alone)
    return None if tried.outcome == "failed" else (tried, alone)


def less_prepared(attempt: Attempt, planner: Planner, draft: Draft, *, faulty: bool) -> tuple[Tried, Draft] | None:
    """The first plan with fewer kinds of preparations that is proved and not slower; None where none is.

    Each kind is left away alone, the one that is predicted to gain least first, then all of them, and where that fails
    those as well that are planned in their place; sizes stay fixed.
    faulty: whether the model is another one, or does not run, with all of them. Then what is slower without them is
    told to be slower, and where nothing is left to do without them the original is what is kept.
    """
    gains = _gains(draft)
    alone = [(kind,) for kind in sorted(gains, key=lambda kind: gains[kind])] if len(gains) > 1 else []
    last: tuple[Tried, Draft] | None = None
    left = [*alone, tuple(gains)] if gains else []
    while left:
        kinds = left.pop(0)
        try:
            fewer, tried = _without(attempt, planner.without(kinds), draft)
        except ScissionError:
            continue
        if tried.outcome == "split":
            return tried, fewer
        if tried.outcome != "failed":
            last = tried, fewer
        elif not left and (others := set(_gains(fewer)) - set(kinds)):  # what one kind left alone another may take
            left.append((*kinds, *sorted(others)))
    return last if faulty else None


def _gains(draft: Draft) -> dict[str, float]:
    """The largest predicted gain of each kind of preparations of a plan, but of sizes, which are fixed as asked."""
    gains: dict[str, float] = {}
    for one in draft.plan.preparations:
        if not isinstance(one, FixedSizes):
            gains[one.left_with] = max(gains.get(one.left_with, 0.0), one.gain or 1.0)
    return gains


def _without(attempt: Attempt, planner: Planner, draft: Draft) -> tuple[Draft, Tried]:
    """What comes of the plan of a planner that leaves preparations away; of linears one by one where it fails."""
    plan, tuned = planner(draft.exact)
    fewer = replace(draft, plan=plan, tuned=tuned)
    if not plan.changes:
        return fewer, untouched(why_nothing(plan, "measured" if tuned else "predicted"))
    tried = attempt.run(fewer)
    if tried.outcome == "failed" and (alone := one_by_one(attempt, planner, fewer)):
        tried, fewer = alone
    return fewer, tried


def fallen_back(attempt: Attempt, draft: Draft) -> tuple[Tried, Draft, tuple[Fallback, ...]] | None:
    """The first plan with fewer units that is not slower than the original, or whose check failed; None for none."""
    from ..tune.fallback import ROUNDS, dropped, to_drop, unit_speeds

    plan = draft.plan
    together = {node for region in plan.regions for node in region.nodes}
    alone = [step for step in plan.rewrites if step.node not in together]
    if len(alone) + len(plan.regions) + bool(plan.preparations) < 2:
        return None  # without its only unit it is the original
    home = at_home(attempt.place.loaded, draft.exact)
    speeds = unit_speeds(home, plan, attempt.trials, attempt.batch, progress=attempt.progress)
    gone: tuple[Fallback, ...] = ()
    for _ in range(ROUNDS):
        more = to_drop(speeds, gone)
        gone, plan = (*gone, *more), dropped(draft.plan, more)
        if not plan.changes or not more:
            return None
        draft = draft.settled(plan)
        if not draft.plan.changes:
            return None
        tried = attempt.run(draft)
        if tried.outcome != "slower":
            return tried, draft, gone
    return None
