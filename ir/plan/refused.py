"""Preparations that were found and are not made: where, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..brief import brief
from ..reason import Reason
from ..record import Record
from .decomposition import PlanError
from .preparation import require_sound

__all__ = ["Refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What could have been done to a part of a model before anything is split, and is not.

    kind: of the preparation; nodes: the addresses of the nodes that it would have been about, or those that it would
    have begun with; gain: what was predicted, at its worst over the rows of the plan, None where nothing was; reason:
    why it is not done. Raises PlanError when one of them is nonsense.
    """

    kind: str
    nodes: tuple[str, ...]
    gain: float | None = None
    reason: Reason

    __repr__ = brief

    def __post_init__(self) -> None:
        require_sound(f"refused {self.kind}", self.nodes, self.gain)

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"kind": self.kind, "nodes": list(self.nodes), "gain": self.gain, **self.reason.to_dict()}

    @staticmethod
    def from_dict(data: Any, where: str) -> Refused:
        """Inverse of `to_dict`; raises PlanError, which says where, for a field that is missing, unknown or
        nonsense."""
        record = Record.of(data, where, PlanError)
        kind, gain = record.text("kind"), record.number("gain", default=None)
        reason = Reason.from_dict(record.fields, record.wrong)
        found = Refused(kind=kind, nodes=record.texts("nodes"), gain=gain, reason=reason)
        record.done()
        return found
