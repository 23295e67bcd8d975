"""What a search within a budget came to: the annealings that are kept, those that are not, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy.typing as npt

from ...ir.brief import brief
from ...ir.plan.annealing import Annealing
from ...ir.reason import Reason
from .metric_runner import Measured

if TYPE_CHECKING:
    pass

__all__ = ["AnnealingCandidate", "Refusal", "Selection"]

Array = npt.NDArray[Any]


class Refusal(NamedTuple):
    """An operator that is not annealed, and why."""

    node: str
    reason: Reason


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnealingCandidate:
    """One operator at one level: what would be removed, and what that costs when nothing else is."""

    annealing: Annealing
    level: float
    mac_share: float
    drop: float
    weight: Array | None = None

    __repr__ = brief


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Selection:
    """The annealings within the budget, and how it came to them.

    chosen: least sensitive first; refused: the others; tuning, held_back: all chosen ones together on
    either half of the data, None when none are; samples: in the half held back; reason: why nothing is chosen, or ''.
    """

    chosen: tuple[AnnealingCandidate, ...]
    refused: tuple[Refusal, ...]
    tuning: Measured | None
    held_back: Measured | None
    samples: int
    reason: str
    metric: str
    limit: float

    __repr__ = brief

    @property
    def annealing(self) -> tuple[Annealing, ...]:
        """What is removed."""
        return tuple(candidate.annealing for candidate in self.chosen)

    @property
    def refitted(self) -> dict[str, Array]:
        """Weights that were fitted again, by address."""
        return {c.annealing.node: c.weight for c in self.chosen if c.weight is not None}

    @property
    def effect(self) -> str:
        """What was measured, in one line, for the metadata."""
        if self.held_back is None:
            return ""
        found = self.held_back
        return (
            f"{self.metric} {found.baseline:.6g} -> {found.metric:.6g} on {self.samples} samples held back, "
            f"largest relative deviation {found.deviation:.3g}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without weights."""
        return {
            "metric": self.metric,
            "limit": self.limit,
            "effect": self.effect,
            "reason": self.reason,
            "chosen": [
                {"node": c.annealing.node, "level": c.level, "mac_share": c.mac_share, "drop_alone": c.drop}
                for c in self.chosen
            ],
            "refused": [{"node": one.node, **one.reason.to_dict()} for one in self.refused],
            "removed": [
                {"node": one.node, "weight": one.weight, "entries": one.removed, "sha256": one.sha256}
                for one in self.annealing
            ],
        }
