"""Where one matrix lies inside another: which rows and columns, in which order, transposed or not."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

__all__ = ["Lines", "Placement", "locate"]

Array = npt.NDArray[Any]
Words = npt.NDArray[np.uint64]
Index = npt.NDArray[np.int64]

MIXER = np.uint64(0x9E3779B97F4A7C15)  # odd, from the golden ratio: Knuth's multiplicative hash
FOLD = np.uint64(0xFF51AFD7ED558CCD)  # of MurmurHash3
CHUNK = 1 << 18  # entries at a time, so that they stay in the cache
SPARSE = 0.5  # density up to which components may tell blocks apart
STARTS = 16  # places at which a run is looked for


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """`part` is `whole` at rows x columns, or its transpose is; -1 for lines of the part that hold nothing but zeros.

    Lines may be there more than once.
    """

    rows: Index
    columns: Index
    transposed: bool
    shape: tuple[int, int]

    @property
    def is_whole(self) -> bool:
        """Whether the part has all rows and columns of the whole."""
        sizes = [np.unique(lines[lines >= 0]).size for lines in (self.rows, self.columns)]
        return sizes == list(self.shape) and self.rows.size * self.columns.size == self.shape[0] * self.shape[1]

    @property
    def is_ordered(self) -> bool:
        """Whether rows and columns stand in their order."""
        return all(bool((np.diff(lines[lines >= 0]) > 0).all()) for lines in (self.rows, self.columns))

    def __str__(self) -> str:
        both = zip(("rows", "columns"), (self.rows, self.columns), self.shape, strict=True)
        told = [(what, _told(lines, size)) for what, lines, size in both if size > 1 or lines.size > 1]
        if self.shape[1] == 1 and self.columns.size == 1:
            told = [("", _told(self.rows, self.shape[0]))]
        parts = [f"{what} {which}".lstrip() for what, which in told if which != "all"] or ["all"]
        return ", ".join(parts) + (", transposed" if self.transposed else "")


def _told(lines: Index, size: int) -> str:
    zeros = int((lines < 0).sum())
    padded = f" and {zeros} of zeros" if zeros else ""
    lines = lines[lines >= 0]
    steps = np.diff(lines)
    if lines.size == size and bool((steps == 1).all()):
        return f"all{padded}"
    if bool((steps == 1).all()):
        return f"{lines[0]}:{lines[-1] + 1}{padded}" if lines.size else f"none{padded}"
    order = "" if bool((steps > 0).all()) else ", permuted"
    order += ", repeated" if np.unique(lines).size < lines.size else ""
    return f"{lines.size} of {size}{padded}{order}"


@dataclass(slots=True, eq=False)
class Lines:
    """A matrix and the sums over its rows and columns that tell where they may lie; each is computed once.

    Sums are of mixed bits modulo 2^64, zeros counting nothing: they neither see the order of entries nor zeros between.
    """

    array: Array
    _sums: dict[int, Words] = field(default_factory=dict)
    _components: list[tuple[Index, Index]] | None = None
    _density: float | None = None

    def density(self) -> float:
        """The share of entries that are not zero."""
        if self._density is None:
            self._density = np.count_nonzero(self.array) / max(1, self.array.size)
        return self._density

    def sums(self, axis: int) -> Words:
        """Per row (axis 0) or column (axis 1)."""
        if axis not in self._sums:
            self._sums[0], self._sums[1] = line_sums(self.array)
        return self._sums[axis]

    def components(self) -> list[tuple[Index, Index]]:
        """Rows and columns of each connected component of the nonzero entries, those without entries left out."""
        if self._components is None:
            self._components = _components(self.array)
        return self._components


def bits(array: Array) -> Words:
    """The entries as mixed words, zero of either sign as 0."""
    flat = np.ascontiguousarray(array)
    words = flat.view(f"u{flat.dtype.itemsize}").astype(np.uint64)
    with np.errstate(over="ignore"):
        words = (words + np.uint64(1)) * MIXER
        words ^= words >> np.uint64(29)
        words *= FOLD
    words[flat == 0] = 0
    return words


def line_sums(array: Array) -> tuple[Words, Words]:
    """The sums of all rows and of all columns."""
    rows, columns = (np.zeros(extent, np.uint64) for extent in array.shape)
    step = max(1, CHUNK // max(1, array.shape[1]))
    for at in range(0, array.shape[0], step):
        words = bits(array[at : at + step])
        rows[at : at + step] = words.sum(1)
        columns += words.sum(0)
    return rows, columns


def _ordered_sums(array: Array) -> Words:
    """Per row, a sum that sees the order of its entries as well."""
    weights = np.random.default_rng(array.shape[1]).integers(0, 1 << 63, array.shape[1], np.uint64)
    weights |= np.uint64(1)
    sums = np.zeros(array.shape[0], np.uint64)
    step = max(1, CHUNK // max(1, array.shape[1]))
    for at in range(0, array.shape[0], step):
        sums[at : at + step] = (bits(array[at : at + step]) * weights).sum(1)
    return sums


def locate(part: Lines, whole: Lines, thorough: bool = True) -> Placement | None:
    """Where a part lies in a whole, exactly: every entry is compared at the end. None where no place was found.

    Both two-dimensional and of one type. Lines of the part with nothing but zeros may lie anywhere. Found are whole
    rows or columns of the other, in any order; blocks whose rows or columns have no entries elsewhere; components; and
    any rows x columns where entries are mostly different from one another, if `thorough`: that goes through the whole.
    Source: the hash of lines is Zobrist's, sums of random words (1970).

    >>> W = np.arange(1, 13.0).reshape(3, 4)
    >>> print(locate(Lines(W[[2, 0]].T), Lines(W)))
    rows 2 of 3, permuted, transposed
    """
    if part.array.dtype != whole.array.dtype or not part.array.size:
        return None
    filled = part.array != 0
    kept = np.flatnonzero(filled.any(1)), np.flatnonzero(filled.any(0))
    if not kept[0].size:
        return None
    bare = (
        part
        if all(k.size == n for k, n in zip(kept, part.array.shape, strict=True))
        else Lines(part.array[np.ix_(*kept)])
    )
    for way in (_by_lines, _by_components, _by_values)[: 3 if thorough else 2]:
        for transposed in (False, True):
            small = Lines(bare.array.T, {1 - k: v for k, v in bare._sums.items()}) if transposed else bare
            if any(a > b for a, b in zip(small.array.shape, whole.array.shape, strict=True)):
                continue
            found = way(small, whole)
            if found is not None and _holds(small.array, whole.array, *found):
                ends = [np.full(extent, -1, np.int64) for extent in part.array.shape]
                order = found[::-1] if transposed else found
                for lines, where, place in zip(ends, kept, order, strict=True):
                    lines[where] = place
                rows, columns = ends[::-1] if transposed else ends
                return Placement(rows, columns, transposed, (whole.array.shape[0], whole.array.shape[1]))
    return None


def _holds(part: Array, whole: Array, rows: Index, columns: Index) -> bool:
    step = max(1, CHUNK // max(1, columns.size))
    for at in range(0, rows.size, step):
        if not np.array_equal(whole[np.ix_(rows[at : at + step], columns)], part[at : at + step]):
            return False
    return True


def _by_lines(part: Lines, whole: Lines) -> tuple[Index, Index] | None:
    """Columns by their sums, then rows by their entries in these columns; or the other way round."""
    for axis in (1, 0):
        lines = _matched(part.sums(axis), whole.sums(axis))
        if lines is None:
            continue
        inner = whole.array[:, lines] if axis else whole.array[lines].T
        others = _matched(_ordered_sums(part.array if axis else part.array.T), _ordered_sums(inner))
        if others is not None:
            return (others, lines) if axis else (lines, others)
    return None


def _matched(wanted: Words, given: Words) -> Index | None:
    """For each wanted sum the index of a given one, runs where there are some, else the first that is still free."""
    for start in np.flatnonzero(given == wanted[0])[:STARTS] if wanted.size else ():
        if start + wanted.size <= given.size and np.array_equal(given[start : start + wanted.size], wanted):
            return np.arange(start, start + wanted.size)
    order, mine = np.argsort(given, kind="stable"), np.argsort(wanted, kind="stable")
    _, firsts = np.unique(wanted[mine], return_index=True)
    number = np.arange(wanted.size) - np.repeat(firsts, np.diff([*firsts, wanted.size]))
    ranked = given[order]
    first, last = (np.searchsorted(ranked, wanted[mine], side) for side in ("left", "right"))
    if bool((first == last).any()):
        return None
    place = np.minimum(first + number, last - 1)  # more than there are: blocks are padded with lines they have
    found = np.empty(wanted.size, np.int64)
    found[mine] = order[place]
    return found


def _by_components(part: Lines, whole: Lines) -> tuple[Index, Index] | None:
    """Component by component, each in its order; those of the same form are interchangeable."""
    if whole.density() > SPARSE:
        return None
    free = defaultdict(list)
    for rows, columns in reversed(whole.components()):
        free[_form(whole, rows, columns)].append((rows, columns))
    places = np.full(part.array.shape[0], -1, np.int64), np.full(part.array.shape[1], -1, np.int64)
    for mine in part.components():
        content = part.array[np.ix_(*mine)]
        alike = free[_form(part, *mine)]
        for index in range(len(alike) - 1, -1, -1):
            if np.array_equal(whole.array[np.ix_(*alike[index])], content):
                for place, own, other in zip(places, mine, alike.pop(index), strict=True):
                    place[own] = other
                break
        else:
            return None
    return places


def _form(lines: Lines, rows: Index, columns: Index) -> tuple[int, int, int]:
    return rows.size, columns.size, int(lines.sums(0)[rows].sum())


def _components(array: Array) -> list[tuple[Index, Index]]:
    rows, columns = np.nonzero(array)
    height, width = array.shape
    graph = coo_matrix((np.ones(rows.size, np.int8), (rows, columns + height)), shape=(height + width,) * 2)
    count, labels = connected_components(graph, directed=False)
    order = np.argsort(labels, kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(labels, minlength=count))[:-1])
    split = ((part[part < height], part[part >= height] - height) for part in parts)
    return [(rows, columns) for rows, columns in split if rows.size and columns.size]


def _by_values(part: Lines, whole: Lines) -> tuple[Index, Index] | None:
    """One full column and one full row, looked up entry by entry; zeros are filled from lines that are known then."""
    small, large = part.array, whole.array
    column = int((small != 0).sum(0).argmax())
    seen = np.flatnonzero(small[:, column] != 0)
    at = _lookup(large, small[seen, column])
    if at is None:
        return None
    counts = np.bincount(at[1], minlength=large.shape[1])
    home = int(counts.argmax())
    if counts[home] < seen.size or seen.size < small.shape[0]:
        return None
    rows = at[0]
    columns = _matched(_ordered_sums(small.T), _ordered_sums(large[rows].T))
    return None if columns is None else (rows, columns)


def _lookup(whole: Array, values: Array) -> tuple[Index, Index] | None:
    """Row and column of each value where it stands exactly once in a matrix; None where one does not."""
    order = np.argsort(values)
    ranked = values[order]
    if ranked.size > 1 and bool((ranked[1:] == ranked[:-1]).any()):
        return None
    found = np.full(values.size, -1, np.int64)
    wanted = np.zeros(1 << 16, bool)  # by the last bits of an entry: nearly all others are out at once
    word = f"u{whole.dtype.itemsize}"
    wanted[(ranked.view(word) & 0xFFFF).astype(np.int64)] = True
    step = max(1, CHUNK // max(1, whole.shape[1]))
    for start in range(0, whole.shape[0], step):
        flat = whole[start : start + step].ravel()
        likely = np.flatnonzero(wanted[(flat.view(word) & 0xFFFF).astype(np.uint16)])
        place = np.minimum(np.searchsorted(ranked, flat[likely]), ranked.size - 1)
        match = ranked[place] == flat[likely]
        for hit, which in zip(likely[match], order[place[match]], strict=True):
            if found[which] >= 0:
                return None
            found[which] = start * whole.shape[1] + hit
    if bool((found < 0).any()):
        return None
    rows, columns = np.divmod(found, whole.shape[1])
    return rows, columns
