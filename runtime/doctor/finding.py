"""One thing that was found of an installation, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from typing import Any

__all__ = ["Examination", "Finding", "State"]


class State(Enum):
    """What is to be thought of it: fine; not there, which takes something away; wrong, which is to be mended."""

    FINE = "fine"
    ABSENT = "absent"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What was looked at, what is there, and what to do about it where anything is."""

    what: str
    found: str
    state: State = State.FINE
    advice: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "state": self.state.value}


@dataclass(frozen=True, slots=True)
class Examination:
    """All that was found, in the order in which it is told."""

    findings: Sequence[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong; what is absent may be so."""
        return not any(one.state is State.WRONG for one in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"ok": self.ok, "findings": [one.to_dict() for one in self.findings]}
