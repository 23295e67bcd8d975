"""Outputs as they are where every part is off: a request copies them, and only the parts that it activates write."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.parts.share import Share
from .activation import MOST, SHAPES, Key

__all__ = ["Resting"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Outputs:
    """Values that are made, and the parts whose places in them are known."""

    arrays: dict[str, Array] = field(default_factory=dict)
    parts: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True, eq=False)
class Resting:
    """The outputs of parts that are off, for the last few shapes of inputs: where inputs have rows, for one of them."""

    kept: dict[Key, _Outputs] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begun(
        self, key: Key, off: Sequence[int], writes: Callable[[int], Iterable[str]], rows: int | None = None
    ) -> tuple[dict[str, Array], set[int]]:
        """Copies of the values that parts write of those that are off and known, and which parts these are.

        off: the parts that are, in some row at least; writes: tells the names of what a part writes; rows: that the
        values are to have, each the one that is known; None where they are known as they are.
        """
        with self.lock:
            found = self.kept.get(key)
            parts = set() if found is None else found.parts.intersection(off)
            if found is None or not parts:
                return {}, set()
            names = [*found.arrays]
            if len(names) > 1:
                names = [*dict.fromkeys(name for part in sorted(parts) for name in writes(part))]
            return {name: _of_rows(found.arrays[name], rows) for name in names}, parts

    def learn(self, key: Key, part: int, writes: Sequence[Share], made: Mapping[str, Array]) -> None:
        """Keep what a part that is off made, where that is small and fits what others made."""
        if sum(made[share.value].nbytes for share in writes) > MOST:
            return
        with self.lock:
            if key not in self.kept:
                while len(self.kept) >= SHAPES:
                    del self.kept[next(iter(self.kept))]
                self.kept[key] = _Outputs()
            own = self.kept[key]
            found = {share.value: _whole(share, made[share.value], own.arrays.get(share.value)) for share in writes}
            wholes = {name: whole for name, whole in found.items() if whole is not None}
            if len(wholes) == len(found):
                for share in writes:
                    whole = wholes[share.value]
                    whole[share.where(whole.ndim)] = made[share.value]
                own.arrays.update(wholes)
                own.parts.add(part)


def _of_rows(array: Array, rows: int | None) -> Array:
    """A copy; of an array of one row with so many of them."""
    if rows is None:
        return array.copy()
    made = np.empty((rows, *array.shape[1:]), array.dtype)
    made[:] = array
    return made


def _whole(share: Share, made: Array, there: Array | None) -> Array | None:
    """The array of a value that what a part made of it is put in; None where it does not fit."""
    if any(made.ndim <= axis or made.shape[axis] != places.size for axis, places in share.places.items()):
        return None
    shape = tuple(share.size.get(axis, extent) for axis, extent in enumerate(made.shape))
    if there is None:
        return np.empty(shape, made.dtype)
    return there if there.shape == shape and there.dtype == made.dtype else None
