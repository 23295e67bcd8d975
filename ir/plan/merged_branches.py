"""Branches that are alike, carried out as one of a longer batch or as a stack of products."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ..plural import counted
from ..reason import Reason
from ..record import Record, shown
from .decomposition import PlanError
from .preparation import Preparation

__all__ = ["MergedBranches"]

FEWEST = 2  # branches that can be merged


@dataclass(frozen=True, slots=True, kw_only=True)
class MergedBranches(Preparation):
    """Branches of the main graph that become one.

    branches: the addresses of their nodes, place by place: `branches[p][b]` stands at place p of branch b; all nodes
    that go, with those that cut branches out and join them, are `nodes`; turned: whether matrices are held as their
    transposes, so that an input that several branches read is multiplied once; sha256: of all constants that they read.
    Raises PlanError when a place has fewer than two nodes, or one twice.
    """

    kind: ClassVar[str] = "branches"
    became: ClassVar[str] = "merged with its likes in other branches"
    branches: tuple[tuple[str, ...], ...]
    turned: bool = False
    sha256: str

    def __post_init__(self) -> None:
        Preparation.__post_init__(self)
        for place in self.branches:
            if len(place) < FEWEST or len(set(place)) < len(place):
                raise PlanError(f"branches of {self.nodes[0]}: a place needs a node of each of several branches")
        if not self.branches:
            raise PlanError(f"branches of {self.nodes[0]}: they have no operators")

    @classmethod
    def total(cls, found: Sequence[Self]) -> str:
        """What several do together: '186 branches of 942 operators in all merged into 12'."""
        lanes = sum(len(one.branches[0]) for one in found)
        operators = counted(sum(len(one.nodes) for one in found), "operator")
        return f"{counted(lanes, 'branch', 'branches')} of {operators} in all merged into {len(found)}"

    def contents(self) -> dict[str, Any]:
        """The fields of the kind, for JSON."""
        places = [list(place) for place in self.branches]
        return {"branches": places, "turned": self.turned, "sha256": self.sha256}

    @classmethod
    def of(cls, record: Record, *, nodes: tuple[str, ...], gain: float | None, reason: Reason) -> Self:
        """Inverse of `contents`; raises PlanError when a field is missing or nonsense."""
        places, sha256, turned = record.items("branches"), record.text("sha256"), record.flag("turned", default=False)
        if not all(isinstance(place, list) and all(isinstance(node, str) for node in place) for place in places):
            raise record.wrong(f"'branches' is {shown(places)}, which is no list of lists of names")
        branches = tuple(tuple(place) for place in places)
        return cls(nodes=nodes, gain=gain, reason=reason, branches=branches, turned=turned, sha256=sha256)
