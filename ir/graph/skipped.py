"""An operator with a constant weight that is not taken as a linear, and why."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Skipped"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A node left alone: its address, operator, reason, and the entries of its constant weights.

    >>> Skipped("/rnn", "LSTM", "recurrent weights", 4096).reason
    'recurrent weights'
    """

    node: str
    op: str
    reason: str
    parameters: int

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)
