"""Channels that are left out: which places of which axes go, since they do nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from ..brief import brief
from ..plural import counted
from ..reason import Reason
from ..record import Record, shown
from .decomposition import LARGEST, Indices, PlanError, in_order, to_ranges
from .preparation import Preparation

__all__ = ["CutAxis", "RemovedChannels"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CutAxis:
    """Places that go along an axis of a value, and along all that are cut alike.

    node: the address of the operator that makes one of those; slot: which of its results that is; axis: the dimension,
    counted from the first, 0; size: how many places it has, at most LARGEST; removed: those that go, sorted; counts:
    whether they are told as channels, not as another view of channels of another axis; inside: whether it is an axis of
    a constant that the operator reads as its operand `slot`, as of units between two products of one operator.
    Raises PlanError when they are no places of the axis, or all of it.

    >>> one = CutAxis(node="up", axis=1, size=6, removed=[1, 2, 3])
    >>> CutAxis.from_dict(one.to_dict()).removed.tolist(), one.to_dict()["removed"]
    ([1, 2, 3], '1-3')
    """

    node: str
    slot: int = 0
    axis: int
    size: int
    removed: Indices
    counts: bool = True
    inside: bool = False

    __repr__ = brief

    def __post_init__(self) -> None:
        removed = np.array(self.removed, dtype=np.int64).reshape(-1)
        removed.setflags(write=False)
        object.__setattr__(self, "removed", removed)
        if not isinstance(self.node, str) or not self.node:
            raise PlanError(f"an axis to cut is of the results of no operator, but of {shown(self.node)}")
        numbers = {"slot": (self.slot, 0), "axis": (self.axis, 0), "size": (self.size, 1)}
        for name, (number, least) in numbers.items():
            if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= LARGEST:
                told = f"{name} of an axis to cut is {shown(number)}, not from {least} to {LARGEST:,}"
                raise PlanError(f"{self.node}: {told}")
        ordered = removed.size and (np.diff(removed) > 0).all() and removed[0] >= 0 and removed[-1] < self.size
        if not ordered or removed.size >= self.size:
            raise PlanError(f"{self.node}: what goes are no sorted places of {self.size}, of which one stays")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CutAxis) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.node, self.slot, self.axis, self.size, self.removed.tobytes()))

    def to_dict(self) -> dict[str, Any]:
        """For JSON, the places as ranges."""
        own = {"node": self.node, "slot": self.slot, "axis": self.axis, "size": self.size}
        head = own | {"removed": to_ranges(self.removed)}
        head |= {} if self.counts else {"counts": False}
        return head | {"inside": True} if self.inside else head

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> CutAxis:
        """Inverse of `to_dict`; raises PlanError when a field is missing, unknown or nonsense."""
        if not isinstance(data, Mapping) or not isinstance(data.get("removed"), str):
            raise PlanError("an axis to cut is no object with places such as '4-7,9'")
        if unknown := sorted(set(data) - {"node", "slot", "axis", "size", "removed", "counts", "inside"}):
            raise PlanError(f"axis of {shown(data.get('node'))} to cut: unknown field {unknown[0]!r}")
        removed = in_order(data["removed"], LARGEST)
        counts = data.get("counts", True)
        node, slot, axis, size = data.get("node", ""), data.get("slot", -1), data.get("axis", -1), data.get("size", 0)
        told = {"counts": counts is not False, "inside": data.get("inside", False) is True}
        return CutAxis(node=node, slot=slot, axis=axis, size=size, removed=removed, **told)


@dataclass(frozen=True, slots=True, kw_only=True)
class RemovedChannels(Preparation):
    """All channels of a model that are left out, since they are dead or constant.

    nodes: the products that become smaller; axes: what goes, one entry for all axes that are cut alike; weights: the
    SHA-256 of the weight of each of `nodes`; exact: whether only what is exactly zero counts as zero.
    """

    kind: ClassVar[str] = "channels"
    became: ClassVar[str] = "made smaller by channels that do nothing"
    axes: tuple[CutAxis, ...]
    weights: tuple[str, ...]
    exact: bool = False

    __repr__ = brief

    def __post_init__(self) -> None:
        super(RemovedChannels, self).__post_init__()
        if not self.axes or len(self.weights) != len(self.nodes):
            raise PlanError("channels: it needs axes to cut, and the SHA-256 of the weight of each operator")

    @property
    def count(self) -> int:
        """How many channels go."""
        return sum(one.removed.size for one in self.axes if one.counts)

    @classmethod
    def total(cls, found: Sequence[Self]) -> str:
        """'1,843 channels removed'."""
        return f"{counted(sum(one.count for one in found), 'channel')} removed"

    def contents(self) -> dict[str, Any]:
        """For JSON."""
        axes = [one.to_dict() for one in self.axes]
        return {"axes": axes, "weights": list(self.weights), "exact": self.exact}

    @classmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing or nonsense."""
        axes, weights, exact = record.items("axes"), record.texts("weights"), record.flag("exact")
        cut = tuple(CutAxis.from_dict(one) for one in axes)
        return cls(nodes=nodes, gain=gain, reason=reason, axes=cut, weights=weights, exact=exact)
