"""Connected components of the bipartite graph of a weight: inputs and outputs joined by its edges.

Rows and columns may be permuted independently, so the graph has K + N nodes. Two engines give the same labels: a
frontier search over the packed Boolean matrix, which sees a dense weight in little more than one pass, and scipy's
search over the sparse matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.relation import Bits, Relation, columns_of
from .edges import relate

__all__ = ["Components", "Engine", "by_smallest_member", "components", "numbered", "weak"]

Engine = Literal["auto", "frontier", "graph"]
Labels: TypeAlias = "npt.NDArray[np.int64]"

SPARSE = 0.004  # below this density the sparse matrix is small, and is searched in linear time
WORDS = 1 << 17  # 64-bit words looked at together: 1 MiB


@dataclass(frozen=True, slots=True, eq=False)
class Components:
    """Which component every input (K,) and output (N,) belongs to, -1 for dormant ones; numbered by smallest input."""

    inputs: Labels
    outputs: Labels
    count: int
    nonzeros: int

    @property
    def dormant(self) -> int:
        """How many features have no edge."""
        return int((self.inputs < 0).sum() + (self.outputs < 0).sum())

    @property
    def giant(self) -> float:
        """Share of all K + N features in the largest component, 0 to 1."""
        if not self.count:
            return 0.0
        members = np.bincount(self.inputs[self.inputs >= 0], minlength=self.count)
        members += np.bincount(self.outputs[self.outputs >= 0], minlength=self.count)
        return float(members.max() / (self.inputs.size + self.outputs.size))


def components(weight: npt.NDArray[Any] | Relation, engine: Engine = "auto") -> Components:
    """Components of a weight of shape (K, N), or of its relation, inputs in rows.

    engine: 'frontier', 'graph', or the faster of the two for the weight's density. A transposed view is searched in
    the order in which it lies in memory. Raises ValueError when the weight is not two-dimensional.

    >>> found = components(np.array([[0.0, 1.0], [2.0, 0.0], [0.0, 0.0]]))
    >>> found.inputs.tolist(), found.outputs.tolist(), found.count
    ([0, 1, -1], [1, 0], 2)
    """
    if isinstance(weight, Relation):
        relation, swap = weight, False
    elif weight.ndim != 2:
        raise ValueError(f"a weight has two dimensions, not {weight.ndim}")
    else:
        swap = weight.flags.f_contiguous and not weight.flags.c_contiguous
        relation = relate(weight.T if swap else weight)
    if engine == "auto":
        engine = "graph" if relation.density < SPARSE else "frontier"
    rows, columns = _graph(relation) if engine == "graph" else _frontier(relation)
    return numbered(*((columns, rows) if swap else (rows, columns)), relation.count)


def numbered(inputs: Labels, outputs: Labels, nonzeros: int) -> Components:
    """Components from any labels of inputs (K,) and outputs (N,), -1 for dormant ones; renumbered in place."""
    return Components(inputs, outputs, _number(inputs, outputs), nonzeros)


def weak(relation: Relation) -> Labels:
    """Weak components of a digraph (n, n), numbered by smallest member; a state without any edge is one of its own.

    Row i and column i are the same state, so the components of the bipartite graph are joined where they share one.

    >>> weak(relate(np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]))).tolist()
    [0, 0, 1]
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = relation.shape[0]
    rows, columns = _graph(relation) if relation.density < SPARSE else _frontier(relation)
    both = (rows >= 0) & (columns >= 0)
    size = max(rows.max(initial=-1), columns.max(initial=-1)) + 1
    joined = coo_array((np.ones(int(both.sum()), np.int8), (rows[both], columns[both])), (size, size))
    table = connected_components(joined, directed=False)[1] if size else np.empty(0, np.int64)
    label = np.where(rows >= 0, rows, columns)
    lone = label < 0
    found = np.empty(n, np.int64)
    found[~lone] = table[label[~lone]]
    found[lone] = size + np.arange(int(lone.sum()))
    return by_smallest_member(found)


def by_smallest_member(labels: npt.NDArray[np.integer]) -> Labels:
    """The same classes, numbered from 0 by their smallest members.

    >>> by_smallest_member(np.array([2, 0, 2, 1])).tolist()
    [0, 1, 0, 2]
    """
    found, first = np.unique(labels, return_index=True)
    number = np.empty(int(found.max(initial=-1)) + 1, np.int64)
    number[found[np.argsort(first)]] = np.arange(found.size)
    renumbered: Labels = number[labels]
    return renumbered


def _number(inputs: Labels, outputs: Labels) -> int:
    """Renumber labels in place by each component's smallest input; returns how many there are."""
    found, first = np.unique(inputs, return_index=True)
    order = found[np.argsort(first)]
    order = order[order >= 0]
    # One more entry than there are labels, so that -1 finds the -1 at the end.
    table = np.full(max(inputs.max(initial=-1), outputs.max(initial=-1)) + 2, -1)
    table[order] = np.arange(order.size)
    inputs[:] = table[inputs]
    outputs[:] = table[outputs]
    return int(order.size)


def _graph(relation: Relation) -> tuple[Labels, Labels]:
    """Labels by scipy's breadth-first search over a compressed sparse matrix of K + N nodes."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    from .sparse import sparse

    K, N = relation.shape
    edges = sparse(relation)
    isolated = np.append(np.diff(edges.indptr) == 0, np.ones(N, bool))
    isolated[K + edges.indices] = False
    starts = np.append(edges.indptr, np.full(N, relation.count))  # no edge leads out of an output
    graph = csr_array((edges.data, edges.indices + K, starts), shape=(K + N, K + N))
    labels = connected_components(graph, directed=False)[1].astype(np.int64)
    labels[isolated] = -1
    return labels[:K], labels[K:]


def _frontier(relation: Relation) -> tuple[Labels, Labels]:
    """Labels by growing one component at a time, alternating between rows and columns.

    A row leaves the search when it is reached, and columns are reached 64 a word, so a connected weight costs one
    pass over its bits, and B equal blocks cost about B / 2.
    """
    words = relation.words
    rows = np.full(relation.shape[0], -1, np.int64)
    columns = np.full(relation.shape[1], -1, np.int64)
    occupied = words.any(axis=1)
    free_rows = np.flatnonzero(occupied)
    free_columns = np.bitwise_or.reduce(words, axis=0) if occupied.any() else np.zeros(words.shape[1], np.uint64)
    label = 0
    while free_rows.size:
        frontier, free_rows = free_rows[:1], free_rows[1:]
        while frontier.size:
            rows[frontier] = label
            reached = _reached(words, frontier, free_columns)
            if not reached.any():
                break
            free_columns &= ~reached
            columns[columns_of(reached, columns.size)] = label
            hit = _touched(words, free_rows, reached)
            frontier, free_rows = free_rows[hit], free_rows[~hit]
        label += 1
    return rows, columns


def _reached(words: Bits, frontier: Labels, free: Bits) -> Bits:
    """The free columns with an edge to a row of the frontier."""
    found = np.zeros_like(free)
    step = max(1, WORDS // words.shape[1])
    if not free.any():
        return found
    for start in range(0, frontier.size, step):
        found |= np.bitwise_or.reduce(words[frontier[start : start + step]], axis=0) & free
        if np.array_equal(found, free):
            break
    return found


def _touched(words: Bits, rows: Labels, columns: Bits) -> npt.NDArray[np.bool_]:
    """Which of `rows` have an edge to one of `columns`."""
    hit = np.zeros(rows.size, bool)
    used = np.flatnonzero(columns)  # most words of a small component's mask are zero
    narrow = used.size < columns.size // 4
    mask = columns[used] if narrow else columns
    step = max(1, WORDS // max(words.shape[1], 1))
    for start in range(0, rows.size, step):
        part = rows[start : start + step]
        lines = words[part[:, None], used] if narrow else words[part]
        hit[start : start + step] = (lines & mask).any(axis=1)
    return hit
