"""Sentences that several views say, each made here and nowhere else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ...ir.plan.plan import Plan, told
from ...ir.plural import counted
from ...ir.reason import Cause
from ...passes.decompose.blocks import is_cover
from ...passes.lowering.prices import prices_of
from ..measure.comparison import UNCLEAR

if TYPE_CHECKING:
    from ..measure.bench import Bench

__all__ = ["left_out", "megabytes", "plan_sentence", "priced_elsewhere", "speeds", "why_nothing"]


def left_out(number: int, what: str = "") -> str:
    """The line below a table that was cut."""
    return f"… and {number:,}{f' {what}' if what else ''} more (--all shows them)"


def why_nothing(plan: Plan, how: str = "predicted") -> str:
    """Why a plan that changes nothing does not; how: whether gains were 'predicted' or 'measured'."""
    slow = sum(one.reason.cause is Cause.SLOWER for one in plan.refused)
    said = "was measured and is" if slow == 1 else "were measured and are"
    return _nothing_splits(plan, how) + (f"; {counted(slow, 'other form')} {said} no faster" if slow else "")


def _nothing_splits(plan: Plan, how: str) -> str:
    """How far the steps of such a plan come apart."""
    steps = plan.steps
    if not steps and plan.preparations:
        return "nothing that is left has a constant weight that could be split"
    if not steps:
        return "the model has no linear with a constant weight that could be split"
    parts = sum(step.components > 1 for step in steps)
    groups = sum(step.components <= 1 and is_cover(step.decomposition) for step in steps)
    if not parts and not groups:
        return f"nothing splits: none of {counted(len(steps), 'operator')} comes apart"
    found = parts + groups
    into = " and ".join(
        words for number, words in ((parts, "independent blocks"), (groups, "groups that share inputs")) if number
    )
    does = "comes" if found == 1 else "come"
    none = "it is not" if found == 1 else "none of them is"
    return f"{found:,} of {counted(len(steps), 'operator')} {does} apart into {into}, but {none} {how} to gain"


def speeds(benches: Sequence[Bench]) -> str:
    """'measured 1.20x the speed of the original at batch 1, unclear at batch 16'."""
    told = [(one.comparison.figure, f" at batch {one.rows}" if one.rows else "") for one in benches]
    clear = [place for place, (figure, _) in enumerate(told) if figure != UNCLEAR]
    if not clear:
        return "measured, but its speed beside that of the original is unclear"
    of = " the speed of the original"
    each = (f"{figure}{of if place == clear[0] else ''}{at}" for place, (figure, at) in enumerate(told))
    return f"measured {', '.join(each)}"


def priced_elsewhere(provider: str, card: str | None) -> str:
    """Which GPU the prices of a plan are from, where that is another than the one at hand; '' where it is not.

    provider: that was planned for; card: the GPU at hand, as its driver calls it, None where there is none.

    >>> priced_elsewhere("cuda", "NVIDIA A100")
    'chosen by the prices of NVIDIA H200, and this is NVIDIA A100'
    """
    measured = prices_of(provider).card
    known = provider == "cuda" and card and measured
    return f"chosen by the prices of {measured}, and this is {card}" if known and card != measured else ""


def megabytes(number: int) -> str:
    """A size in bytes as text."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:,.1f} {unit}"
    return f"{number} B"


def plan_sentence(plan: Plan) -> str:
    """What a plan comes to: how many operators it splits, or why none."""
    if not plan.rewrites:
        return "; ".join([*_prepared(plan), why_nothing(plan)])
    gains = [f"{gain:.1f}x" for gain in sorted(step.gain for step in plan.rewrites if step.gain)]
    told_gain = f", {' to '.join(dict.fromkeys((gains[0], gains[-1])))} predicted" if gains else ""
    split = f"{len(plan.rewrites):,} of {counted(len(plan.steps), 'operator')} would be split{told_gain}"
    return "; ".join([*_prepared(plan), split])


def _prepared(plan: Plan) -> list[str]:
    return [f"{', '.join(told(plan.preparations))} first"] if plan.preparations else []
