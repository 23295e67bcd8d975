"""What `optimize` did: the outcome, the plan, what was checked and timed, and what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ir.brief import brief
from ...ir.findings.taken_back import TakenBack
from ...ir.notebook import as_html
from ...ir.plan.plan import Plan
from ..measure.comparison import Speed
from .judgement import speed_of

if TYPE_CHECKING:
    from ..calibrate.selection import Selection
    from ..compare.verdict import Verdict
    from ..measure.bench import Bench
    from ..tune.fallback import Fallback
    from ..tune.tuned import Tuned

__all__ = ["Result"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What `optimize` did. outcome: 'split', 'unchanged' (nothing to gain, or no difference was measurable and no gain
    is predicted), 'slower' (clearly, original kept) or 'failed' (the check failed, nothing written); model: the
    optimised model in the form that the original came in; selection: what was annealed and with what measured effect,
    where that was asked for; tuned: what was measured of each unit of the plan, where that was asked for; fallbacks:
    units that went back to dense because the model was slower with them; taken_back: preparations of the plan that the
    model was made without after all, because it was wrong or slower with them. The verdict compares the annealed
    model with the split one: annealing itself is judged by its metric."""

    outcome: str
    reason: str
    plan: Plan
    verdict: Verdict | None = None
    benches: tuple[Bench, ...] = ()
    written: tuple[Path, ...] = ()
    model: Any = None
    selection: Selection | None = None
    tuned: Tuned | None = None
    fallbacks: tuple[Fallback, ...] = ()
    taken_back: TakenBack | None = None

    __repr__ = brief
    _repr_html_ = as_html(
        ("outcome", "reason"),
        benches=(
            "rows",
            "original, s|original.latency.median",
            "changed, s|changed.latency.median",
            "speed-up|speedup",
            "shown|speed",
        ),
        fallbacks=("nodes", "way", "speed", "reason"),
    )

    @property
    def ok(self) -> bool:
        """Whether the output can be used: everything but a failed check."""
        return self.outcome != "failed"

    @property
    def speed(self) -> Speed | None:
        """What the benches show together, None where nothing was timed."""
        return speed_of(self.benches)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the plan as `Plan.dumps` writes it."""
        import json

        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "written": [str(path) for path in self.written],
            "check": self.verdict.to_dict() if self.verdict else None,
            "speed": self.speed.value if self.speed else None,
            "bench": [bench.to_dict() for bench in self.benches],
            "fallbacks": [fallback.to_dict() for fallback in self.fallbacks],
            **({"taken_back": self.taken_back.to_dict()} if self.taken_back else {}),
            **({"annealing": self.selection.to_dict()} if self.selection else {}),
            **({"tuning": self.tuned.to_dict()} if self.tuned else {}),
            "plan": json.loads(self.plan.dumps()),
        }
