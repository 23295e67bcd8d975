"""An operator with a constant weight that is not taken as a linear, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..reason import Reason

__all__ = ["Skipped"]


@dataclass(frozen=True, slots=True)
class Skipped:
    """A node left alone: its address, operator, reason, and the entries of its constant weights.

    >>> from scission.ir.reason import Cause
    >>> Skipped("/rnn", "LSTM", Reason(Cause.NOT_CONSTANT, "its weights are computed"), 4096).to_dict()["cause"]
    'not_constant'
    """

    node: str
    op: str
    reason: Reason
    parameters: int

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return {"node": self.node, "op": self.op, **self.reason.to_dict(), "parameters": self.parameters}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Skipped:
        """Inverse of `to_dict`; raises ValueError or TypeError where a field is missing, unknown or nonsense."""
        fields = dict(data)
        return Skipped(reason=Reason.from_dict(fields), **fields)
