"""Which parts a request activates, for all of them at once: each input is looked at once, whatever many read it.

input x   row 0   0 0 0 0 | 3 0 1 0 | 0 0 0 0
          row 1   0 0 0 0 | 0 0 0 0 | 0 5 0 0
          off     in both   in row 1  in row 0       a part is off in a row where every place that it reads is
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.parts.activation import OffWord
from ...ir.parts.manifest import Manifest
from ...ir.parts.share import Share
from .activation import Off, differing

__all__ = ["PartActivity", "activity_of"]

Array = npt.NDArray[Any]
Bools = npt.NDArray[np.bool_]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """The parts that read some places of a value along one axis: the places of all of them, one part after another;
    None where these are all places in their order."""

    value: str
    axis: int
    size: int
    parts: Ids
    places: Ids | None
    starts: Ids

    def on(self, array: Array, off: float | Array, rowed: bool) -> Bools:
        """(parts, rows) Which of the parts read anything else than what is off; all where the array does not fit.

        One row for all where the value has no rows.
        """
        bits = differing(array, off) if array.ndim > self.axis and array.shape[self.axis] == self.size else None
        if bits is None:
            return np.ones((self.parts.size, 1), bool)
        rows = rowed and self.axis > 0
        others = tuple(axis for axis in range(rows, array.ndim) if axis != self.axis)
        along = np.bitwise_or.reduce(bits, axis=others) if others else bits
        own = (along if self.places is None else along[..., self.places]) != 0
        found: Bools = np.logical_or.reduceat(own, self.starts, axis=-1)
        return found.T if rows else found[:, None]


@dataclass(frozen=True, slots=True, eq=False)
class PartActivity:
    """What the parts of a manifest read.

    reads: the names of all values that each does; cuts: along one axis; others: other shares, by part; sources: for
    each part that reads what other parts make, which these are.
    """

    count: int
    reads: tuple[frozenset[str], ...]
    cuts: tuple[_Cut, ...]
    others: tuple[tuple[int, Share], ...]
    sources: Mapping[int, tuple[int, ...]]

    def of(self, there: Mapping[str, Array], off: Mapping[str, Off], rowed: Collection[str] = ()) -> Bools:
        """(parts, rows) For each part, whether it reads anything that is not off in a row, of inputs, or of what a part
        makes that does.

        rowed: the inputs that have rows, the same number of them, along their first axis; without any there is one row.
        A part of which an input is missing, or has another size, counts as one that is on, and so does one that reads
        nothing but inputs that are masked by others.
        """
        rows = max((there[name].shape[0] for name in rowed if name in there), default=1)
        on = np.zeros((self.count, rows), bool)
        for cut in self.cuts:
            here, own = there.get(cut.value), off.get(cut.value, 0.0)
            if here is None:
                on[cut.parts] = True
            elif not isinstance(own, OffWord):
                on[cut.parts] |= cut.on(here, own, cut.value in rowed)
        for part, share in self.others:
            here, what = there.get(share.value), off.get(share.value, 0.0)
            if here is None:
                on[part] = True
            elif not isinstance(what, OffWord):
                on[part] |= _on(share, here, what, share.value in rowed)
        masked = frozenset(name for name, what in off.items() if isinstance(what, OffWord))
        if masked:
            on[[part for part, names in enumerate(self.reads) if names <= masked]] = True
        for part, sources in self.sources.items():
            on[part] |= on[[*sources]].any(axis=0)
        return on


def activity_of(manifest: Manifest) -> PartActivity:
    """What the parts of a manifest read."""
    given = {value.name for value in manifest.inputs}
    writers: dict[str, list[int]] = {}
    for index, part in enumerate(manifest.parts):
        for share in part.writes:
            writers.setdefault(share.value, []).append(index)
    cuts: dict[tuple[str, int, int], list[tuple[int, Share]]] = {}
    others = []
    for index, part in enumerate(manifest.parts):
        for share in part.reads:
            if share.value not in given:
                continue
            if len(share.places) == 1:
                ((axis, size),) = share.size.items()
                cuts.setdefault((share.value, axis, size), []).append((index, share))
            else:
                others.append((index, share))
    made = tuple(_cut(*key, readers) for key, readers in cuts.items())
    sources = {
        index: found
        for index, part in enumerate(manifest.parts)
        if (found := tuple(sorted({one for share in part.reads for one in writers.get(share.value, ())})))
    }
    reads = tuple(frozenset(share.value for share in part.reads) for part in manifest.parts)
    return PartActivity(len(manifest.parts), reads, made, tuple(others), sources)


def _cut(value: str, axis: int, size: int, readers: Sequence[tuple[int, Share]]) -> _Cut:
    places = [share.places[axis] for _, share in readers]
    starts = np.cumsum([0, *(own.size for own in places[:-1])])
    parts = np.array([index for index, _ in readers])
    every = np.concatenate(places)
    return _Cut(value, axis, size, parts, None if np.array_equal(every, np.arange(size)) else every, starts)


def _on(share: Share, array: Array, off: float | Array, rowed: bool) -> Bools | bool:
    """(rows,) Whether a share of an array is not off, in each row; True where it does not fit."""
    if not all(array.ndim > axis and array.shape[axis] == size for axis, size in share.size.items()):
        return True
    bits = differing(array, off)
    if bits is None:
        return True
    rows = rowed and 0 not in share.places
    own = share.of(bits)
    found: Bools = np.logical_or.reduce(own.reshape(array.shape[0] if rows else 1, -1) != 0, axis=1)
    return found
