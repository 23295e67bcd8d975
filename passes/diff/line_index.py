"""Rows and columns of many constants, sorted by their sums once, so that no two need to be looked at together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .model_constants import Held, layers_of, line_sums

__all__ = ["LineIndex"]


@dataclass(frozen=True, slots=True, eq=False)
class LineIndex:
    """Which constants have a row or a column of some sum.

    row sums of A   17  4  9        sorted   4  4  9  17  17      a wanted row of sum 4:
    row sums of B    4 17           of       A  B  A   A   B      A and B, by two binary searches
    """

    constants: Sequence[Held]
    _sorted: dict[str, tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]] = field(default_factory=dict)

    def voted(self, kind: str, wanted: npt.NDArray[np.uint64], most: int) -> list[Held]:
        """The `most` constants of a type with most of some sums of rows and columns, the best first."""
        # A sum that more constants than that have, such as that of a row of ones, says nothing of any of them.
        hits = self.owners(kind, wanted, most)
        found, counts = np.unique(hits, return_counts=True)
        return [self.constants[index] for index in found[np.argsort(-counts, kind="stable")[:most]]]

    def owners(self, kind: str, wanted: npt.NDArray[np.uint64], most: int) -> npt.NDArray[np.int64]:
        """Numbers of the constants of a type with lines of some sums; of sums that more than `most` have, none."""
        if kind not in self._sorted:
            self._sorted[kind] = self._sums(kind)
        sums, numbers = self._sorted[kind]
        first, last = (np.searchsorted(sums, wanted, side) for side in ("left", "right"))
        found = np.flatnonzero((last > first) & (last - first <= most))
        parts = [numbers[first[index] : last[index]] for index in found]
        return np.concatenate([np.empty(0, np.int64), *parts])

    def _sums(self, kind: str) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
        """All sums of rows and columns of the constants of a type, sorted, and whose each is."""
        some = [
            (number, part)
            for number, one in enumerate(self.constants)
            if one.at.dtype == kind
            for part in layers_of(one)
        ]
        each = [line_sums(part) for _, part in some]
        sums = np.concatenate([np.empty(0, np.uint64), *each])
        order = np.argsort(sums, kind="stable")
        numbers = np.repeat(np.array([number for number, _ in some], np.int64), [one.size for one in each])
        return sums[order], numbers[order]
