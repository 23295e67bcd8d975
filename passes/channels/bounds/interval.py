"""What is known of the numbers in a value before anything runs: bounds, which meet where it is constant."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Floats", "Interval", "constant", "hull_of", "unknown", "where_sure"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

LARGEST = 6e4  # beyond it a number of 16 bits is infinite
ENTRIES = 1 << 20  # of the bounds of one value; where there were more, they are taken together along an axis


@dataclass(frozen=True, slots=True, eq=False)
class Interval:
    """Bounds of every element of a value: low ≤ element ≤ high, up to the rounding of the operators that compute it.

    low, high: float64, of the rank of the value; along each axis they are of its extent, or 1 where they are the same
    all along it, whatever its extent. unit: an axis along which elements are not negative and add up to one.
    """

    #     value   (batch, positions, 4)         low, high   (1, 1, 4):   [-inf, inf]  [2, 2]  [0, 1]  [-inf, inf]
    #                                                                        any     constant  bounded     any
    low: Floats
    high: Floats
    unit: int | None = None

    @property
    def rank(self) -> int:
        """How many axes the value has."""
        return self.low.ndim

    @property
    def known(self) -> Bools:
        """Where the element is a constant."""
        found: Bools = (self.low == self.high) & np.isfinite(self.low)
        return found

    @property
    def is_unknown(self) -> bool:
        """Whether nothing is known of any element."""
        return self.unit is None and not (np.isfinite(self.low).any() or np.isfinite(self.high).any())

    def moved(self, move: Callable[[Floats], Floats]) -> Interval:
        """The same elements elsewhere."""
        return Interval(move(self.low), move(self.high))

    def hull(self, axes: Iterable[int]) -> Interval:
        """Bounds that hold all along some axes."""
        over = tuple(axes)
        return Interval(self.low.min(over, keepdims=True), self.high.max(over, keepdims=True))

    def along(self, axis: int, extent: int) -> tuple[Floats, Floats]:
        """Bounds of the elements at each place of an axis, wherever they are along the others; of shape (extent,)."""
        flat = self.hull(other for other in range(self.rank) if other != axis)
        low, high = (np.broadcast_to(side.reshape(-1), (extent,)) for side in (flat.low, flat.high))
        return low, high


@functools.cache
def unknown(rank: int) -> Interval:
    """What is known of a value of which nothing is known."""
    everything = np.full((1,) * rank, np.inf)
    return Interval(-everything, everything)


def constant(array: npt.NDArray[np.generic]) -> Interval:
    """The bounds of a constant; coarser ones where it is large."""
    low = high = array
    while low.size > ENTRIES:  # as they are stored: a table of words is large enough
        widest = int(np.argmax(low.shape))
        low, high = low.min(widest, keepdims=True), high.max(widest, keepdims=True)
    return tidied(Interval(low.astype(np.float64), high.astype(np.float64)))


def where_sure(sure: Bools, low: Floats | float, high: Floats | float | None = None) -> Interval:
    """Bounds where they are sure, none elsewhere; high: the same as low unless given."""
    return Interval(np.where(sure, low, -np.inf), np.where(sure, low if high is None else high, np.inf))


def hull_of(some: Iterable[Interval]) -> Interval:
    """Bounds that hold of each of several values that broadcast."""
    low, high = zip(*((one.low, one.high) for one in some), strict=True)
    return tidied(Interval(_folded(np.minimum, low), _folded(np.maximum, high)))


def tidied(found: Interval) -> Interval:
    """The same without NaN, numbers that are too large to be sure of, and more bounds than are worth keeping."""
    low, high = found.low, found.high
    with np.errstate(invalid="ignore"):
        odd = ~((low <= high) & (low >= -LARGEST))
        low = np.where(odd | (low > LARGEST), -np.inf, low)
        high = np.where(~((high >= found.low) & (high <= LARGEST)) | (found.high < -LARGEST), np.inf, high)
    while low.size > ENTRIES:
        widest = int(np.argmax(low.shape))
        low, high = low.min(widest, keepdims=True), high.max(widest, keepdims=True)
    return Interval(low, high, found.unit)


def _folded(function: Callable[[Floats, Floats], Floats], arrays: Iterable[Floats]) -> Floats:
    first, *others = arrays
    for one in others:
        first = function(first, one)
    return first
