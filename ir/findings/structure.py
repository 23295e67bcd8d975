"""The structure of a directed graph over one set of states: its node table, condensation and permutation.

As in the paper, row i of an adjacency matrix lists the in-edges of state i: entry (i, j) is the edge j -> i. An ONNX
weight (K, N) with inputs in rows is the transpose of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..brief import brief
from ..relation import Relation

__all__ = ["Labels", "Parts", "Row", "Structure"]

Labels = npt.NDArray[np.int64]


class Parts(NamedTuple):
    """What an engine finds: the SCC of every state (n,), the component and layer of every SCC (r,), and the
    condensation (r, r); numbered as in `Structure`."""

    scc: Labels
    component: Labels
    layer: Labels
    condensation: Relation


class Row(NamedTuple):
    """One row of the node table; `new` is the index of the node after the permutation."""

    node: int
    scc: int
    component: int
    layer: int
    isolated: bool
    new: int


@dataclass(frozen=True, eq=False)
class Structure:
    """What every state of a digraph belongs to, numbered from 0, and the order that shows it.

    scc (n,): strongly connected component, numbered by smallest member; component (n,): weakly connected component,
    numbered by smallest SCC; layer (n,): of the SCC in the condensation, 0 for those without in-edges, else one more
    than the highest layer with an edge into it; isolated (n,): no edge at all, not even to itself; order (n,): the
    node at each new index; condensation (r, r): entry (s, t) is an edge from SCC t to SCC s; engine: what found it.

    The permuted adjacency is block diagonal over components and, inside each, block lower triangular over layers, with
    the irreducible SCCs on its diagonal (Frobenius normal form; paper 4.1, 4.3 and appendix A).
    """

    scc: Labels
    component: Labels
    layer: Labels
    isolated: npt.NDArray[np.bool_]
    order: Labels
    condensation: Relation
    engine: str

    __repr__ = brief

    @property
    def size(self) -> int:
        """Number of states n."""
        return self.scc.size

    @property
    def sccs(self) -> int:
        """Number of strongly connected components r."""
        return self.condensation.shape[0]

    @cached_property
    def components(self) -> int:
        """Number of weakly connected components, isolated states among them."""
        return int(self.component.max(initial=-1)) + 1

    @cached_property
    def layers(self) -> int:
        """Number of layers of the condensation."""
        return int(self.layer.max(initial=-1)) + 1

    @cached_property
    def giant(self) -> float:
        """Share of the states in the largest weak component, 0 to 1."""
        return float(np.bincount(self.component).max() / self.size) if self.size else 0.0

    @cached_property
    def new(self) -> Labels:
        """The new index of every state (n,): the inverse of `order`."""
        inverse = np.empty_like(self.order)
        inverse[self.order] = np.arange(self.size)
        return inverse

    @cached_property
    def members(self) -> tuple[Labels, ...]:
        """The states of each SCC, sorted."""
        by_scc = np.argsort(self.scc, kind="stable")
        return tuple(np.split(by_scc, np.cumsum(np.bincount(self.scc, minlength=self.sccs))[:-1]) if self.sccs else [])

    @cached_property
    def scc_order(self) -> Labels:
        """The SCCs in the order of the permuted adjacency's diagonal."""
        labels = self.scc[self.order]
        return labels[np.flatnonzero(np.diff(labels, prepend=-1))]

    @cached_property
    def bounds(self) -> Labels:
        """Where each diagonal block begins in the permuted adjacency, and at the end n; shape (r + 1,)."""
        sizes = np.bincount(self.scc, minlength=self.sccs)[self.scc_order]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def rows(self) -> Iterator[Row]:
        """The node table in the order of the new indices (Table A.2)."""
        for new, node in enumerate(self.order.tolist()):
            yield Row(
                node,
                int(self.scc[node]),
                int(self.component[node]),
                int(self.layer[node]),
                bool(self.isolated[node]),
                new,
            )

    def permute(self, matrix: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """P M Pᵀ for a matrix over the states, shape (n, n): block lower triangular when M is the adjacency."""
        return matrix[np.ix_(self.order, self.order)]

    def block(self, matrix: npt.NDArray[Any], target: int, source: int | None = None) -> npt.NDArray[Any]:
        """The part of a matrix (n, n) with the edges from SCC `source` into SCC `target`; its diagonal block when they
        are the same. Members are in the order of the permutation."""
        return matrix[np.ix_(self.members[target], self.members[target if source is None else source])]

    def couplings(self) -> Labels:
        """The coupling blocks: (target SCC, source SCC) of every edge of the condensation, shape (edges, 2)."""
        parts = [np.argwhere(chunk) + np.array([start, 0]) for start, chunk in self.condensation.chunks()]
        return np.concatenate(parts).astype(np.int64) if parts else np.empty((0, 2), np.int64)
