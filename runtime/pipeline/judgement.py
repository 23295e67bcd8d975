"""Whether a split model is kept for its speed: what was measured decides, and where nothing can be the prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...ir.plan.plan import Plan
from ...ir.plan.preparation import FixedSizes
from ..measure.comparison import Speed

if TYPE_CHECKING:
    from ..measure.bench import Bench

__all__ = ["SpeedJudgement", "judge_speed", "only_fixes_sizes", "speed_of"]

# Of the original's speed that a model has on CUDA at the least. Two sessions of one file differ by less there than on
# a CPU, where the margin of comparisons says what is slower.
LEAST_ON_CUDA = 0.98


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedJudgement:
    """speed: what was shown over all sizes, None where nothing was timed; keep: whether the split model is kept;
    reason: why it is not, or what else must be known, in one line, else empty."""

    speed: Speed | None
    keep: bool
    reason: str = ""


def speed_of(benches: Sequence[Bench]) -> Speed | None:
    """What benches at several sizes show together: slower at any, else unmeasurable at any, else faster at any, else
    equal; None without any."""
    seen = {_shown(bench) for bench in benches}
    order = (Speed.SLOWER, Speed.UNMEASURABLE, Speed.FASTER, Speed.EQUAL)
    return next((speed for speed in order if speed in seen), None)


def _shown(bench: Bench) -> Speed:
    """What a bench shows; on CUDA a model is slower as well that is so for sure, and not by next to nothing."""
    found = bench.comparison
    if bench.provider == "cuda" and found.high < 1 and found.ratio < LEAST_ON_CUDA:
        return Speed.SLOWER
    return bench.speed


def judge_speed(plan: Plan, benches: Sequence[Bench], *, tuned: bool = False) -> SpeedJudgement:
    """A model that is clearly slower at any size is not kept; where no difference can be shown the prediction decides.

    tuned: the parts of the plan were measured, and found faster, one by one.
    """
    speed = speed_of(benches)
    if speed is Speed.SLOWER:
        slow = min((one for one in benches if _shown(one) is Speed.SLOWER), key=lambda one: one.speedup)
        hint = "; a batch names the sizes that you run" if any(one.speed is Speed.FASTER for one in benches) else ""
        told = f"{slow.comparison.figure} ({slow.comparison.range}) the speed of the original{_at(slow)}"
        why = f"measured {told}, so the original is kept{hint}"
        return SpeedJudgement(speed=speed, keep=False, reason=why)
    if speed is not Speed.UNMEASURABLE:
        return SpeedJudgement(speed=speed, keep=True)
    told = ", ".join(f"{one.comparison.range}{_at(one)}" for one in benches if one.speed is Speed.UNMEASURABLE)
    unknown = f"its speed is not measurable on this machine now ({told})"
    gain = min(_gains(plan), default=None)
    if tuned:
        return SpeedJudgement(speed=speed, keep=True, reason=f"{unknown}, so what was measured of its parts decides")
    if gain is None and only_fixes_sizes(plan):
        return SpeedJudgement(
            speed=speed, keep=True, reason=f"{unknown}, and nothing but what was asked for is changed"
        )
    if gain is None or gain <= 1:
        why = f"{unknown} and no gain is predicted, so the original is kept; more seconds would tell more"
        return SpeedJudgement(speed=speed, keep=False, reason=why)
    why = f"{unknown}, so the prediction decides, {gain:.1f}x at the least; more seconds would tell more"
    return SpeedJudgement(speed=speed, keep=True, reason=why)


def only_fixes_sizes(plan: Plan) -> bool:
    """Whether all that changes the graph is that its dimensions get sizes, as was asked for."""
    return not plan.rewrites and all(isinstance(one, FixedSizes) for one in plan.preparations)


def _gains(plan: Plan) -> Iterator[float]:
    """What is predicted of each unit that is split, and of what is done before."""
    together = {node for region in plan.regions for node in region.nodes}
    alone = [step.gain for step in plan.rewrites if step.node not in together]
    joined, before = [region.gain for region in plan.regions], [one.gain for one in plan.preparations]
    return (gain for gain in [*alone, *joined, *before] if gain is not None)


def _at(bench: Bench) -> str:
    return f" at batch {bench.rows}" if bench.rows else ""
