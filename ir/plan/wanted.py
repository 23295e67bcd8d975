"""Lowerings by name, and those that a user asks for instead of leaving them to prices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from ..record import shown
from .decomposition import PlanError

__all__ = ["WAYS", "LoweringName", "Wanted"]

LoweringName: TypeAlias = Literal[
    "dense", "scatter", "split", "permute", "batched", "grouped", "select", "scatternd", "stacked", "cells", "region"
]
WAYS: tuple[LoweringName, ...] = tuple(name for name in get_args(LoweringName) if name not in ("cells", "region"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The lowerings that linears have to have: every: of all of them; nodes: of single ones, by the address or name of
    the node, or the name of its weight, which go first.

    Raises PlanError for a lowering that linears cannot have.

    >>> Wanted.of("split", "ffn/up=dense").to_dict()
    {'every': 'split', 'nodes': {'ffn/up': 'dense'}}
    """

    every: LoweringName | None = None
    nodes: tuple[tuple[str, LoweringName], ...] = ()

    def __post_init__(self) -> None:
        for name in (*([self.every] if self.every is not None else []), *(way for _, way in self.nodes)):
            if name not in WAYS:
                raise PlanError(f"{shown(name)} is no lowering of a linear; use one of {', '.join(WAYS)}")

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self.every is not None or bool(self.nodes)

    @staticmethod
    def of(*texts: str) -> Wanted:
        """What texts NAME and NODE=NAME ask for; of two about one node the last."""
        every: str | None = None
        nodes: dict[str, str] = {}
        for text in texts:
            node, sign, name = text.rpartition("=")
            if sign and node:
                nodes[node] = name
            else:
                every = text
        return Wanted(every=cast("LoweringName | None", every), nodes=cast("Any", tuple(nodes.items())))

    def way(self, *names: str | None) -> LoweringName | None:
        """What is asked for of a linear that goes by some names, the first of which counts most."""
        known = dict(self.nodes)
        return next((known[name] for name in names if name in known), self.every)

    def unknown(self, names: Iterable[str | None]) -> tuple[str, ...]:
        """The nodes that nothing is called by."""
        known = set(names)
        return tuple(node for node, _ in self.nodes if node not in known)

    def to_dict(self) -> dict[str, Any]:
        """What is asked for, for JSON."""
        every = {} if self.every is None else {"every": self.every}
        return every | ({"nodes": dict(self.nodes)} if self.nodes else {})

    @staticmethod
    def from_dict(data: Any) -> Wanted:
        """Inverse of `to_dict`; raises PlanError when the data is no such object."""
        nodes = data.get("nodes", {}) if isinstance(data, Mapping) else None
        if not isinstance(nodes, Mapping) or not data.keys() <= {"every", "nodes"}:
            raise PlanError(f"wanted is {shown(data)}, which is no object of every and nodes")
        return Wanted(every=data.get("every"), nodes=tuple(nodes.items()))
