"""What came of decomposing a model: the candidate that is kept or why none is, the front, and what judged it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...ir.brief import brief
from ...ir.io.load import Model
from ...ir.notebook import as_html
from ...ir.plain import plain_dict
from ...ir.reason import Reason
from ..calibrate.metric_runner import Measured
from .task.goal import Goal
from .task.method import Declined
from .trying import TriedCandidate, front_of

__all__ = ["DecomposeResult", "Judged"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The chosen candidate on samples that took no part in anything.

    holds: whether the budget does, as it does for any number where there is none; samples: how many there were.
    """

    measured: Measured
    limit: float | None
    holds: bool
    samples: int

    @property
    def exceeded(self) -> float:
        """By how much the budget does not hold, in units of the metric; below 0 there is so much left of it."""
        return 0.0 if self.limit is None else self.measured.drop - self.limit

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = self.measured
        return plain_dict(
            {
                "metric": found.metric,
                "baseline": found.baseline,
                "drop": found.drop,
                "holds": self.holds,
                "exceeded": self.exceeded,
                "samples": self.samples,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DecomposeResult:
    """What `decompose` found. chosen: the candidate that is kept, None where none is, for which `reason` tells why;
    judged: what it is worth on samples that took no part; tried: all candidates, in the order they were made in;
    declined: methods that propose nothing; original: the model itself; seconds: that all of it took."""

    original: Model
    goal: Goal
    chosen: TriedCandidate | None
    reason: Reason | None
    judged: Judged | None
    tried: tuple[TriedCandidate, ...]
    declined: tuple[Declined, ...]
    seconds: float

    __repr__ = brief
    _repr_html_ = as_html(("reason", "seconds"))

    @property
    def ok(self) -> bool:
        """Whether a candidate is kept and its budget holds on the samples that judge it."""
        return self.chosen is not None and self.judged is not None and self.judged.holds

    @property
    def front(self) -> tuple[TriedCandidate, ...]:
        """The Pareto front of latency against the metric, slowest first."""
        return front_of(self.tried)

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without models; front, chosen: places in `tried`."""
        return {
            "model": self.original.name,
            "metric": self.goal.metric.name,
            "limit": self.goal.limit,
            "target": self.goal.target,
            "chosen": None if self.chosen is None else self.tried.index(self.chosen),
            **(self.reason.to_dict() if self.reason is not None else {"cause": None, "reason": ""}),
            "judged": None if self.judged is None else self.judged.to_dict(),
            "tried": [one.to_dict() for one in self.tried],
            "front": [self.tried.index(one) for one in self.front],
            "declined": [{"method": one.method, **one.reason.to_dict()} for one in self.declined],
            "seconds": self.seconds,
        }
