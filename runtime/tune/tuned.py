"""What tuning measured: of every unit each way beside dense, and which of them won."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...ir.brief import brief, brief_line
from ...ir.plan.plan import Plan
from ...ir.reason import Reason
from ..measure.comparison import Comparison
from .form_race import Raced

__all__ = ["Tuned", "TunedUnit", "Way", "at_batches"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One way to lower a unit: predicted gain at its worst, and how many times faster than dense it was at each
    batch, None where it was no longer run; problem: why it was thrown out, None where it was not."""

    way: str
    predicted: float
    found: tuple[Comparison | None, ...]
    problem: Reason | None = None

    @staticmethod
    def of(way: str, predicted: float, raced: Raced) -> Way:
        """One that was raced."""
        return Way(way=way, predicted=predicted, found=raced.found, problem=raced.problem)

    @property
    def speeds(self) -> tuple[float | None, ...]:
        """The same without the intervals."""
        return Raced(found=self.found).speeds

    @property
    def worst(self) -> float:
        """Its lowest measured speed, 0 where one is missing."""
        return Raced(found=self.found, problem=self.problem).worst

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = [one.to_dict() if one is not None else None for one in self.found]
        wrong = self.problem
        told = {"problem": wrong.text if wrong else "", "cause": wrong.cause.value if wrong else None}
        return {"way": self.way, "predicted": self.predicted, **told, "found": found}


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedUnit:
    """What was measured of one unit.

    preparation: its kind, where it is done before anything is split, None where it is what is split; planned, winner:
    how the plan lowered it before and lowers it now, 'dense' for a preparation that is taken back; batch: sizes of the
    leading open dimension, None where the graph fixes it; table: all ways, best predicted first; source: 'measured',
    'cache', or the node of an equal unit of the same run; settled: whether the race showed which way is best, and is
    therefore kept for later runs; note: why it was not measured, or showed nothing, else empty.
    """

    nodes: tuple[str, ...]
    preparation: str | None = None
    planned: str
    winner: str
    batch: tuple[int | None, ...] = ()
    table: tuple[Way, ...] = ()
    source: str = "measured"
    settled: bool = True
    note: str = ""

    __repr__ = brief_line

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        names = ("nodes", "preparation", "planned", "winner", "batch", "source", "settled", "note")
        return {name: getattr(self, name) for name in names} | {"table": [way.to_dict() for way in self.table]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuned:
    """A plan with the measured winners, what was measured of each unit, and what could not be read or kept."""

    plan: Plan
    units: tuple[TunedUnit, ...]
    warnings: tuple[str, ...] = ()

    __repr__ = brief

    def behind(self, before: Tuned) -> Tuned:
        """The same with what was measured of what is done before anything is split."""
        warnings = tuple(dict.fromkeys((*before.warnings, *self.warnings)))
        return replace(self, units=(*before.units, *self.units), warnings=warnings)

    def to_dict(self) -> dict[str, Any]:
        """The measurements for JSON; the plan is not among them."""
        return {"units": [unit.to_dict() for unit in self.units], "warnings": list(self.warnings)}


def at_batches(counts: Sequence[int | None]) -> str:
    """At which batches something was measured, for people.

    >>> at_batches([1, 16]), at_batches([None])
    (' (batch 1, 16)', '')
    """
    known = [str(count) for count in counts if count is not None]
    return f" (batch {', '.join(known)})" if known else ""
