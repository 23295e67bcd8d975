"""The supports of a relation: which inputs each output reads, those of equal outputs once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.findings.structure import Labels
from ....ir.relation import Relation

__all__ = ["Supports", "supports"]


@dataclass(frozen=True, eq=False)
class Supports:
    """Distinct sets of inputs, in the order of their first outputs.

    words: (m, ceil(K / 64)) the sets, packed like the rows of a `Relation`; members: for each the outputs that read it,
    sorted; inputs: K.
    """

    words: npt.NDArray[np.uint64]
    members: tuple[Labels, ...]
    inputs: int

    @cached_property
    def sizes(self) -> Labels:
        """How many outputs read each set; (m,)."""
        return np.array([one.size for one in self.members], np.int64)

    @cached_property
    def degrees(self) -> Labels:
        """How many inputs each set has; (m,)."""
        found: Labels = np.bitwise_count(self.words).sum(axis=1, dtype=np.int64)
        return found

    @cached_property
    def dense(self) -> npt.NDArray[np.bool_]:
        """The sets as Booleans, (m, K)."""
        octets = self.words.view(np.uint8)
        return np.unpackbits(octets, axis=1, count=self.inputs, bitorder="little").view(bool)

    @cached_property
    def sparse(self) -> Any:
        """The sets as a sparse matrix of ones, (m, K)."""
        from scipy.sparse import csr_array

        at = np.flatnonzero(self.dense)
        starts = np.concatenate([[0], np.cumsum(self.degrees)])
        return csr_array((np.ones(at.size, np.float32), at % self.inputs, starts), self.dense.shape)


def supports(by_output: Relation) -> Supports:
    """The supports of a relation (N, K) whose row n lists the inputs of output n; dormant outputs have none.

    >>> from ...connectivity.edges import relate
    >>> found = supports(relate(np.array([[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 1, 0]])))
    >>> [one.tolist() for one in found.members], found.degrees.tolist()
    ([[0, 3], [2]], [2, 1])
    """
    words = by_output.words
    live = np.flatnonzero(words.any(axis=1))
    rows = np.ascontiguousarray(words[live])
    if not live.size:
        return Supports(rows, (), by_output.shape[1])
    keys = rows.view(np.dtype((np.void, rows.shape[1] * rows.itemsize))).reshape(-1)
    _, first, label = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)  # of the sets, by their first output
    place = np.empty(order.size, np.int64)
    place[order] = np.arange(order.size)
    label = place[label]
    by_label = np.argsort(label, kind="stable")
    bounds = np.searchsorted(label[by_label], np.arange(1, order.size))
    return Supports(rows[first[order]], tuple(np.split(live[by_label], bounds)), by_output.shape[1])
