"""What `retrain` did: how learning went, what was written, and that it is what was trained."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ir.brief import brief
from ...ir.plan.plan import Plan
from ..upgrade.interpreter.roles import Held

if TYPE_CHECKING:
    from ..compare.verdict import Verdict
    from ..measure.bench import Bench
    from .state import LookBack

__all__ = ["Retrained"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrained:
    """What `retrain` did. reason: why nothing was written, empty where it was; looks: at what was held back, the first
    before any step; best: the one whose weights were kept; began: the step that an earlier run had come to; parameters:
    numbers that are trained; held: linears that are not; difference: of the written model from what was trained,
    relative to the largest value of each output; plan: that splits the model with its weights of now, None where it was
    split before; verdict, benches: of the split model beside the whole one; model: what was written, or the model in
    the form that it came in."""

    reason: str
    looks: tuple[LookBack, ...]
    best: LookBack
    began: int
    parameters: int
    held: tuple[Held, ...]
    difference: float
    plan: Plan | None
    verdict: Verdict | None = None
    benches: tuple[Bench, ...] = ()
    written: tuple[Path, ...] = ()
    model: Any = None

    __repr__ = brief

    @property
    def ok(self) -> bool:
        """Whether the output can be used."""
        return not self.reason

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "ok": self.ok,
            "reason": self.reason,
            "steps": self.looks[-1].step,
            "began": self.began,
            "best": asdict(self.best),
            "looks": [asdict(look) for look in self.looks],
            "parameters": self.parameters,
            "held": [{"node": one.node, **one.reason.to_dict()} for one in self.held],
            "difference": self.difference,
            "check": self.verdict.to_dict() if self.verdict else None,
            "bench": [bench.to_dict() for bench in self.benches],
            "written": [str(path) for path in self.written],
        }
