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

    @staticmethod
    def of_columns(shape: tuple[int, int], chunks: Iterable[tuple[int, npt.NDArray[np.bool_]]]) -> Relation:
        """Pack columns, given as (first column, columns as rows of Booleans); each starts at a multiple of 8."""
        rows, columns = shape
        words = np.zeros((rows, -(-columns // WORD)), np.uint64)
        octets = words.view(np.uint8)
        count = 0
        for start, chunk in chunks:
            ones = chunk.view(np.uint8)
            packed = np.zeros((-(-len(ones) // 8), rows), np.uint8)
            for bit in range(8):  # eight times faster than packbits along this axis
                lines = ones[bit::8]
                packed[: len(lines)] |= lines << bit
            octets[:, start // 8 : start // 8 + len(packed)] = packed.T
            count += int(np.count_nonzero(chunk))
        return Relation(words, shape, count)

    @property
    def density(self) -> float:
        """Share of true entries, 0 to 1."""
        return self.count / max(self.shape[0] * self.shape[1], 1)

    @property
    def diagonal(self) -> npt.NDArray[np.bool_]:
        """The entries (i, i)."""
        at = np.arange(min(self.shape))
        return (self.words[at, at // WORD] >> (at % WORD).astype(np.uint64) & np.uint64(1)).astype(bool)

    def chunks(self) -> Iterator[tuple[int, npt.NDArray[np.bool_]]]:
        """(first row, some consecutive rows as Booleans)."""
        step = max(1, CHUNK // max(self.shape[1], 1))
        for start in range(0, self.shape[0], step):
            octets = self.words[start : start + step].view(np.uint8)
            yield start, np.unpackbits(octets, axis=1, count=self.shape[1], bitorder="little").view(bool)

    def transposed(self) -> Relation:
        """The relation with rows and columns exchanged."""
        rows, columns = self.shape
        step = max(WORD, CHUNK // max(columns, 1) // WORD * WORD)
        lines = ((at, self.words[at : at + step].view(np.uint8)) for at in range(0, rows, step))
        unpacked = ((at, np.unpackbits(part, axis=1, count=columns, bitorder="little")) for at, part in lines)
        return Relation.of_columns((columns, rows), ((at, part.view(bool)) for at, part in unpacked))

    def dense(self) -> npt.NDArray[np.bool_]:
        """The whole matrix, one byte an entry."""
        parts = [chunk for _, chunk in self.chunks()]
        return np.concatenate(parts) if parts else np.zeros(self.shape, bool)


def columns_of(mask: Bits, columns: int) -> npt.NDArray[np.int64]:
    """The columns whose bits are set in one packed row, sorted."""
    return np.flatnonzero(np.unpackbits(mask.view(np.uint8), count=columns, bitorder="little"))
