"""What is done to a model before its linears are split, and leaves it the same function: one kind a file, and here
the one that is about the whole of it, and what was found and is not done.

plan:  annealing  ->  preparations  ->  reorderings  ->  regions, steps
       (lossy)        sizes, forests, channels, ...      about the model that those before have left
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..brief import brief
from ..plural import counted
from ..reason import Reason
from ..record import Record, shown
from .decomposition import PlanError

__all__ = ["PREPARED", "FixedSizes", "Preparation", "Refused"]

MOST = 1e9  # a gain above this was never predicted
LONGEST = 2**63  # sizes are int64
PREPARED = ("kind", "nodes", "gain")  # what a notebook shows of each


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation(ABC):
    """One change of a part of a model, with what it takes to carry it out and to know that part again.

    nodes: the addresses of the nodes that it is about, in the model that those before it have left; gain: predicted
    time of the part before over that after, at its worst over the rows of the plan; reason: why it is done.
    Raises PlanError when one of them is nonsense.
    """

    kind: ClassVar[str]  # the name of the kind in plans
    became: ClassVar[str]  # what becomes of each of its nodes, for people
    local: ClassVar[bool] = True  # whether it is about a part of a model, which some nodes are
    nodes: tuple[str, ...]
    gain: float | None = None
    reason: Reason

    __repr__ = brief

    def __post_init__(self) -> None:
        _require_sound(self.kind, self.nodes, self.gain, local=self.local)

    @property
    def left_with(self) -> str:
        """What those are called that are left away together where a model is wrong or slower with them: the kind."""
        return self.kind

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


def _require_sound(what: str, nodes: Sequence[str], gain: float | None, *, local: bool = True) -> None:
    """Raise PlanError, which begins with `what`, unless nodes are addresses, and a gain that is there is a speed-up.

    local: whether there must be a node.
    """
    if (local and not nodes) or not all(isinstance(node, str) for node in nodes):
        raise PlanError(f"{what} of {shown(list(nodes))}: it needs the names of its operators")
    speed_up = 0.0 if gain is None else gain
    if not isinstance(speed_up, (int, float)) or isinstance(speed_up, bool) or not 0 <= speed_up < MOST:
        of = f" of {nodes[0]}" if nodes else ""
        raise PlanError(f"{what}{of}: gain is {shown(gain)}, which is no speed-up")


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
        _require_sound(f"refused {self.kind}", self.nodes, self.gain)

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


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedSizes(Preparation):
    """Sizes of dimensions of the inputs, by name, and the operators that compute nothing but constants with them.

    nodes: those operators, which become constants; none where no shape is computed. Raises PlanError for no sizes, and
    for one that is not a whole number of at least 1.
    """

    kind: ClassVar[str] = "sizes"
    became: ClassVar[str] = "computed once and for all, since sizes are fixed"
    local: ClassVar[bool] = False
    sizes: Mapping[str, int]

    def __post_init__(self) -> None:
        Preparation.__post_init__(self)
        named = isinstance(self.sizes, Mapping) and self.sizes and all(isinstance(name, str) for name in self.sizes)
        if not named or not all(type(size) is int and 1 <= size < LONGEST for size in self.sizes.values()):
            raise PlanError(f"{self.kind}: {shown(self.sizes)} are no sizes of dimensions by name")

    @property
    def told(self) -> str:
        """For people: 'batch=1, sequence=128'."""
        return ", ".join(f"{name}={size}" for name, size in self.sizes.items())

    @classmethod
    def total(cls, found: Sequence[Self]) -> str:
        """What several do together, for people: '2 sizes fixed (batch=1, sequence=128), 57 operators folded'."""
        count, nodes = sum(len(one.sizes) for one in found), sum(len(one.nodes) for one in found)
        folded = f", {counted(nodes, 'operator')} folded" if nodes else ""
        return f"{counted(count, 'size')} fixed ({', '.join(one.told for one in found)}){folded}"

    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""
        return {"sizes": [[name, size] for name, size in self.sizes.items()]}

    @classmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing or nonsense."""
        pairs = record.items("sizes")
        if not all(isinstance(one, list) and len(one) == 2 and isinstance(one[0], str) for one in pairs):
            raise record.wrong(f"'sizes' is {shown(pairs)}, which is no list of names with sizes")
        sizes = dict(pairs)
        if len(sizes) < len(pairs):
            twice = next(name for place, (name, _) in enumerate(pairs) if name in dict(pairs[:place]))
            raise record.wrong(f"'sizes' names {shown(twice)} twice; keep one of them")
        return cls(nodes=nodes, gain=gain, reason=reason, sizes=sizes)
