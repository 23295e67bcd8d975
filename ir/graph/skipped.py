"""An operator with a constant weight that is not taken as a linear, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..errors import ScissionError
from ..reason import Reason
from ..record import Record

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
    def from_dict(data: Any, where: str, error: type[ScissionError]) -> Skipped:
        """Inverse of `to_dict`; raises `error`, which says where, for a field that is missing, unknown or nonsense."""
        record = Record.of(data, where, error)
        reason = Reason.from_dict(record.fields, record.wrong)
        found = Skipped(record.text("node"), record.text("op"), reason, record.whole("parameters"))
        record.done()
        return found
