"""What is done to a model before its linears are split, and leaves it the same function: one kind a file.

plan:  annealing  ->  preparations  ->  reorderings  ->  regions, steps
       (lossy)        forests, channels, branches       about the model that those before have left
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..brief import brief
from ..reason import Reason
from ..record import Record, shown
from .decomposition import PlanError

__all__ = ["Preparation"]

MOST = 1e9  # a gain above this was never predicted


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation(ABC):
    """One change of a part of a model, with what it takes to carry it out and to know that part again.

    nodes: the addresses of the nodes that it is about, in the model that those before it have left; gain: predicted
    time of the part before over that after, at its worst over the rows of the plan; reason: why it is done.
    Raises PlanError when one of them is nonsense.
    """

    kind: ClassVar[str]  # the name of the kind in plans
    became: ClassVar[str]  # what becomes of each of its nodes, for people
    nodes: tuple[str, ...]
    gain: float | None = None
    reason: Reason

    __repr__ = brief

    def __post_init__(self) -> None:
        if not self.nodes or not all(isinstance(node, str) for node in self.nodes):
            raise PlanError(f"{self.kind} of {shown(list(self.nodes))}: it needs the names of its operators")
        gain = 0.0 if self.gain is None else self.gain
        if not isinstance(gain, (int, float)) or isinstance(gain, bool) or not 0 <= gain < MOST:
            raise PlanError(f"{self.kind} of {self.nodes[0]}: gain is {shown(self.gain)}, which is no speed-up")

    @classmethod
    @abstractmethod
    def total(cls, found: Sequence[Self]) -> str:
        """What several of the kind do together, for people: '1,843 channels removed'."""

    @abstractmethod
    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""

    @classmethod
    @abstractmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`, which takes its fields out of a record; raises PlanError when one is missing or
        nonsense."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        head = {"kind": self.kind, "nodes": list(self.nodes), "gain": self.gain, **self.reason.to_dict()}
        return head | self.contents()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], where: str = "") -> Self:
        """Inverse of `to_dict` of the same kind; where: what messages begin with, the kind by default.

        Raises PlanError when a field is missing, unknown or nonsense.
        """
        record = Record.of(data, where or cls.kind, PlanError)
        record.any("kind", default=None)
        nodes, gain = record.items("nodes"), record.number("gain", default=None)
        reason = Reason.from_dict(record.fields, record.wrong)
        found = cls.of(record, nodes=tuple(nodes), gain=gain, reason=reason)
        record.done()
        return found
