"""Which parts a request activates, for all of them at once: each input is looked at once, whatever many read it.

input        0 0 0 0 | 3 0 1 0 | 0 0 0 0      (over all rows)
off             yes       no        yes       a part is off where every place that it reads is
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.parts.manifest import Manifest
from ...ir.parts.share import Share
from .activation import differing, is_off

__all__ = ["Activity", "activity_of"]

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """The parts that read some places of a value along one axis: the places of all of them, one part after another."""

    value: str
    axis: int
    size: int
    parts: npt.NDArray[np.int64]
    places: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def on(self, array: Array, off: float) -> Bools:
        """Which of the parts read anything else than what is off; all where the array does not fit."""
        bits = differing(array, off) if array.ndim > self.axis and array.shape[self.axis] == self.size else None
        if bits is None:
            return np.ones(self.parts.size, bool)
        others = tuple(axis for axis in range(array.ndim) if axis != self.axis)
        along = np.bitwise_or.reduce(bits, axis=others) if others else bits
        found: Bools = np.logical_or.reduceat(along[self.places] != 0, self.starts)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Activity:
    """What the parts of a manifest read: cuts along one axis, other shares by part, and the parts that read what other
    parts make."""

    count: int
    cuts: tuple[_Cut, ...]
    others: tuple[tuple[int, Share], ...]
    inner: tuple[int, ...]

    def of(self, there: Mapping[str, Array], off: Mapping[str, float]) -> Bools:
        """For each part, whether it reads anything that is not off, of inputs or of what another part makes.

        A part of which an input is missing, or has another size, counts as one that does.
        """
        on = np.zeros(self.count, bool)
        on[[*self.inner]] = True
        for cut in self.cuts:
            here = there.get(cut.value)
            on[cut.parts] |= True if here is None else cut.on(here, off.get(cut.value, 0.0))
        for part, share in self.others:
            here = there.get(share.value)
            on[part] |= here is None or not _fits(share, here) or not is_off(share.of(here), off.get(share.value, 0.0))
        return on


def activity_of(manifest: Manifest) -> Activity:
    """What the parts of a manifest read."""
    given = {value.name for value in manifest.inputs}
    inner = [
        index for index, part in enumerate(manifest.parts) if any(share.value not in given for share in part.reads)
    ]
    cuts: dict[tuple[str, int, int], list[tuple[int, Share]]] = {}
    others = []
    for index, part in enumerate(manifest.parts):
        for share in part.reads if index not in inner else ():
            if len(share.places) == 1:
                ((axis, size),) = share.size.items()
                cuts.setdefault((share.value, axis, size), []).append((index, share))
            else:
                others.append((index, share))
    made = tuple(_cut(*key, readers) for key, readers in cuts.items())
    return Activity(len(manifest.parts), made, tuple(others), tuple(inner))


def _cut(value: str, axis: int, size: int, readers: Sequence[tuple[int, Share]]) -> _Cut:
    places = [share.places[axis] for _, share in readers]
    starts = np.cumsum([0, *(own.size for own in places[:-1])])
    parts = np.array([index for index, _ in readers])
    return _Cut(value, axis, size, parts, np.concatenate(places), starts)


def _fits(share: Share, array: Array) -> bool:
    return all(array.ndim > axis and array.shape[axis] == size for axis, size in share.size.items())
