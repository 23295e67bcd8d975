"""Columns of slices put into classes: those of one lie in one line or plane of every slice.

Rows of a weight that lie `places` apart make a slice. Where a weight is a product of two stages, the columns of a slice
lie in a few lines (of real products) or planes (of complex ones, real and imaginary parts of which are columns of their
own), the same columns together in every slice:

    columns     0   1   2   3   4   5   6   7
    class       a   b   a   b   a   b   a   b      rank of the columns of one class in any slice: 1 or 2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .stages import Array

__all__ = ["TOLERANCE", "ColumnClass", "classes"]

UNIT = 2.0**-24  # of rounding to float32
TOLERANCE = 16 * UNIT  # of the largest entry of a slice
LOOSE = 1e-4  # the same while a plane is spanned by two of its columns, which may be nearly parallel
PARALLEL = 1e-2  # how far one must be from the other's direction, so that errors are not much larger than they were
REACH = 3  # how many steps away the second column of a plane is looked for
FEWEST = 3  # columns of the first class, without which nothing is gained


@dataclass(frozen=True, slots=True)
class ColumnClass:
    """columns: of one class, sorted; rank: of them in a slice, 1 or 2, or the sum of those that were joined."""

    columns: npt.NDArray[np.int64]
    rank: int


def classes(slices: Array, step: int, most: int | None = None) -> tuple[ColumnClass, ...]:
    """The classes of the columns of some slices (slices, rows, columns), none where they are no few.

    step: how far columns of one class lie from one another, as far as they lie in order; most: classes, None for two
    for each row of a slice.
    """
    rows, columns = slices.shape[1:]
    most = 2 * rows if most is None else most
    peaks = abs(slices).max(axis=(1, 2))
    if not peaks.all():
        return ()
    unit = slices / peaks[:, None, None]
    sizes = abs(unit).max(axis=1).min(axis=0)  # a column that is nothing in one slice says nothing there
    weights = np.linalg.norm(unit, axis=(0, 1))
    left = abs(unit).max(axis=(0, 1)) > TOLERANCE
    silent = np.flatnonzero(~left)
    found: list[ColumnClass] = []
    while left.any():
        first = int(np.argmax(np.where(left, weights * np.minimum(sizes * columns, 1), -1)))
        one = _class_of(unit, left, first, step, found[-1].columns.size / found[-1].rank if found else None)
        if (not found and one.columns.size < FEWEST) or len(found) > most:
            return ()
        left[one.columns] = False
        found.append(one)
    if found and silent.size:  # columns of zeros lie in any class
        least = min(range(len(found)), key=lambda place: found[place].columns.size)
        found[least] = ColumnClass(np.sort(np.concatenate([found[least].columns, silent])), found[least].rank)
    return _joined(found)


def _class_of(unit: Array, left: npt.NDArray[np.bool_], first: int, step: int, enough: float | None) -> ColumnClass:
    """The class of a column among those that are left: of a line or of a plane, whichever holds more for its rank.

    enough: columns for each rank with which nothing else is tried, None where that is not known.
    """
    best, score = ColumnClass(np.array([first]), 1), 0.0
    enough = enough if enough is not None else left.size / unit.shape[1]  # as where each row has a class
    for spanning in _spanning(left, first, step):
        rank = len(spanning)
        bases, sizes = np.linalg.qr(unit[:, :, spanning])
        plain = abs(np.diagonal(sizes, axis1=1, axis2=2)).min(axis=1) > PARALLEL  # of others nothing is spanned
        members = _members(unit[plain], left, bases[plain], LOOSE) if plain.any() else np.empty(0, np.int64)
        if members.size > max(rank, score * rank):
            # One step of subspace iteration: what all members span, which two of them tell roughly.
            held = unit[:, :, members]
            bases = np.linalg.qr(held @ (held.swapaxes(1, 2) @ bases))[0]
            members = _members(unit, left, bases, TOLERANCE)
        if members.size / rank > score and (rank == 1 or members.size > rank):
            best, score = ColumnClass(members, rank), members.size / rank
        if score >= enough:
            break
    return best if first in best.columns else ColumnClass(np.array([first]), 1)


def _spanning(left: npt.NDArray[np.bool_], first: int, step: int) -> Sequence[list[int]]:
    """The column itself, and with each of a few others that may be of its class."""
    others = (first + sign * times * step for times in range(1, REACH + 1) for sign in (1, -1))
    return [[first], *([first, one] for one in others if 0 <= one < left.size and left[one])]


def _members(unit: Array, left: npt.NDArray[np.bool_], bases: Array, tolerance: float) -> npt.NDArray[np.int64]:
    """The columns that are left and lie in the span of a basis in every slice."""
    fits = left.copy()
    for own, basis in zip(unit, bases, strict=True):  # most columns are out after the first slice
        columns = np.flatnonzero(fits)
        rest = own[:, columns] - basis @ (basis.T @ own[:, columns])
        fits[columns] = abs(rest).max(axis=0, initial=0.0) <= tolerance
    return np.flatnonzero(fits)


def _joined(found: Sequence[ColumnClass]) -> tuple[ColumnClass, ...]:
    """Those of rank 1 by twos, where others have rank 2: all are of one size then."""
    most = max((one.rank for one in found), default=0)
    single = sorted((one for one in found if one.rank == 1), key=lambda one: -one.columns.size)
    if most == 1:
        return tuple(sorted(found, key=lambda one: int(one.columns[0])))
    pairs = [
        ColumnClass(np.sort(np.concatenate([one.columns for one in pair])), len(pair))
        for pair in (single[place : place + 2] for place in range(0, len(single), 2))
    ]
    whole = [*(one for one in found if one.rank == most), *pairs]
    return tuple(sorted(whole, key=lambda one: int(one.columns[0])))
