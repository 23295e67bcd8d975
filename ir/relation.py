"""A Boolean matrix, one bit an entry: the P-adjacency of a weight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Relation", "columns_of"]

Bits: TypeAlias = "npt.NDArray[np.uint64]"
WORD = 64
CHUNK = 1 << 18  # entries handled together: small enough to stay in the cache


@dataclass(frozen=True, slots=True, eq=False)
class Relation:
    """Rows packed into 64-bit words, bit j of a row is column j; `count` is the number of true entries.

    words: (rows, ceil(columns / 64)); bits past the last column are zero.

    >>> r = Relation.of_rows((2, 3), [np.array([[True, False, True], [False, False, False]])])
    >>> r.count, r.dense().tolist()
    (2, [[True, False, True], [False, False, False]])
    """

    words: Bits
    shape: tuple[int, int]
    count: int

    @staticmethod
    def of_rows(shape: tuple[int, int], chunks: Iterable[npt.NDArray[np.bool_]]) -> Relation:
        """Pack consecutive rows, given in chunks (n, columns) of Booleans."""
        rows, columns = shape
        words = np.zeros((rows, -(-columns // WORD)), np.uint64)
        octets = words.view(np.uint8)
        at = count = 0
        for chunk in chunks:
            octets[at : at + len(chunk), : -(-columns // 8)] = np.packbits(chunk, axis=1, bitorder="little")
            count += int(np.count_nonzero(chunk))
            at += len(chunk)
        return Relation(words, shape, count)

    @property
    def density(self) -> float:
        """Share of true entries, 0 to 1."""
        return self.count / max(self.shape[0] * self.shape[1], 1)

    def chunks(self) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
        """(first row, some consecutive rows as Booleans)."""
        step = max(1, CHUNK // max(self.shape[1], 1))
        for start in range(0, self.shape[0], step):
            octets = self.words[start : start + step].view(np.uint8)
            yield start, np.unpackbits(octets, axis=1, count=self.shape[1], bitorder="little").view(bool)

    def dense(self) -> npt.NDArray[np.bool_]:
        """The whole matrix, one byte an entry."""
        parts = [chunk for _, chunk in self.chunks()]
        return np.concatenate(parts) if parts else np.zeros(self.shape, bool)


def columns_of(mask: Bits, columns: int) -> npt.NDArray[np.int64]:
    """The columns whose bits are set in one packed row, sorted."""
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), count=columns, bitorder="little"))
