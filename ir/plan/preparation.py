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
            raise PlanError(f"{self.kind}: it needs the names of its operators")
        gain = 0.0 if self.gain is None else self.gain
        if not isinstance(gain, (int, float)) or isinstance(gain, bool) or not 0 <= gain < MOST:
            raise PlanError(f"{self.kind} of {self.nodes[0]}: gain is {self.gain!r}, which is no speed-up")

    @classmethod
    @abstractmethod
    def total(cls, found: Sequence[Self]) -> str:
        """What several of the kind do together, for people: '1,843 channels removed'."""

    @abstractmethod
    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""

    @classmethod
    @abstractmethod
    def of(cls, contents: dict[str, Any], *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing, unknown or nonsense."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        head = {"kind": self.kind, "nodes": list(self.nodes), "gain": self.gain, **self.reason.to_dict()}
        return head | self.contents()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of `to_dict` of the same kind; raises PlanError when a field is missing, unknown or nonsense."""
        fields = {name: value for name, value in data.items() if name != "kind"}
        reason = Reason.from_dict(fields, PlanError)
        nodes, gain = fields.pop("nodes", None), fields.pop("gain", None)
        if not isinstance(nodes, list):
            raise PlanError(f"{cls.kind}: nodes is {nodes!r}, which is no list")
        return cls.of(fields, nodes=tuple(nodes), gain=gain, reason=reason)
