"""Every way in which one operator may be lowered by itself: its blocks, groups of them and covers, in each lowering.

Planning, tuning, explaining and the study of covers all take from here, so that they cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from ...ir.graph.linear import Linear
from ...ir.plan.grain import Grain
from ...ir.plan.plan import Decomposition, LoweringName
from ...ir.reason import Reason
from ..lowering.linear.dormant import absorb_dormant, apart, computes_dormant
from ..lowering.linear.lowerings import ON_ANY, lowering_of, suited
from ..lowering.linear.protocol import LinearLowering, why_not_recorded
from ..lowering.protocol import worst_gain
from ..lowering.target import Target
from .analysis import Analysis
from .grain import grained, suited_to

__all__ = ["LinearCandidate", "Question", "best_of", "candidates", "refusals"]

PADDED = 1.25  # times the entries of the blocks, where every block was asked for as it is


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What candidates are for: target: what they run on; rows: activation rows, each number once; grain: how coarse
    blocks are to be; asked: the lowering to take whatever it costs, in all blocks unless the grain says how many."""

    target: Target
    rows: Sequence[int]
    grain: Grain = field(default_factory=Grain)
    asked: LoweringName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LinearCandidate:
    """Some blocks in some lowering: fits: whether it can be written, and is not only more of what another does; gain:
    predicted dense time over its own, at its worst over rows and prices, of one that fits; against: why the lowering
    does not fit the blocks, None where that is not why."""

    lowering: LinearLowering
    decomposition: Decomposition
    fits: bool
    gain: float = 0.0
    against: Reason | None = None


def candidates(
    linear: Linear, analysis: Analysis, question: Question, *, every: bool = False
) -> Iterator[LinearCandidate]:
    """All groups of blocks that save something in all lowerings that suit the linear and its weight.

    Where one of these multiplies nothing there are no others, unless `every` of them is wanted. Where none suits the
    linear, what the one that suits most would gain is told all the same.
    """
    target, asked = question.target, question.asked
    lowerings = _lowerings(linear, analysis, question, every=every)
    grain = replace(question.grain, every=True) if asked and question.grain.parts is None else question.grain
    settings = [(rows, prices) for rows in question.rows for prices in target.prices]
    # Their zero columns are computed, so they count.
    absorbed = computes_dormant(linear) and not all(one.keeps_dormant for one in lowerings)
    suits = [one for one in lowerings if one.why_not(linear, None, target) is None]
    for found in suited_to(analysis, grain):
        if not found.blocks or apart(linear, found):
            continue
        whole = absorb_dormant(found) if absorbed else found
        for grouped in grained(whole, grain, analysis.components, settings, int(linear.dtype.itemsize)):
            if grouped.mac_share >= 1:
                continue
            merged = len(grouped.blocks) < len(whole.blocks)
            for lowering in lowerings:
                against = lowering.why_not(linear, grouped, target) if lowering in suits else None
                against = against or (None if asked else why_not_recorded(lowering, linear, grouped, target))
                if (
                    against
                    or (merged and not lowering.regroups)
                    or (not asked and _wasteful(lowering, grouped, grain, target.tile(linear.dtype)))
                ):
                    yield LinearCandidate(lowering=lowering, decomposition=grouped, fits=False, against=against)
                    continue
                gain = worst_gain(lowering, linear, grouped, question.rows, target)
                yield LinearCandidate(lowering=lowering, decomposition=grouped, fits=True, gain=gain)


def _lowerings(linear: Linear, analysis: Analysis, question: Question, *, every: bool) -> tuple[LinearLowering, ...]:
    """Those to try, in the order in which equal ones are preferred."""
    if question.asked:
        return (lowering_of(question.asked),)
    fit = [one for one in suited(linear, question.target) if one.name in analysis.takes]
    without_products = tuple(one for one in fit if not one.multiplies)
    return tuple(fit) if every else without_products or tuple(fit) or (ON_ANY,)


def _wasteful(lowering: LinearLowering, found: Decomposition, grain: Grain, tile: int) -> bool:
    """Whether a lowering would move what is in place, or pad blocks to much more than they are where each is wanted."""
    padded = grain.every and lowering.entries(found, tile) > PADDED * sum(
        block.inputs.size * block.outputs.size for block in found.blocks
    )
    return padded or lowering.idle(found)


def best_of(found: Iterable[LinearCandidate]) -> LinearCandidate | None:
    """The one with the largest gain, the first of equal ones; None where none fits."""
    return max((one for one in found if one.fits), key=lambda one: one.gain, default=None)


def refusals(found: Iterable[LinearCandidate]) -> dict[LoweringName, Reason]:
    """Why lowerings fit none of the groups, as far as blocks are against them."""
    tried = list(found)
    fit = {one.lowering.name for one in tried if one.fits}
    against: dict[LoweringName, Reason] = {}
    for one in tried:
        if one.against and one.lowering.name not in fit:
            against.setdefault(one.lowering.name, one.against)
    return against
