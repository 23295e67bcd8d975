"""Parts that a request does not activate: what they read is off, and what they make of that is known.

A part is deterministic, so that what it made of inputs that are off is what it makes of them whenever they have these
shapes. Bits are compared, not numbers: of -0 an operator may make something else than of 0.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.parts.activation import OffWord

__all__ = ["MOST", "SHAPES", "Key", "Off", "OffResults", "differing", "is_off", "key_of"]

Array = npt.NDArray[Any]
Off: TypeAlias = "float | Array | OffWord"  # a number, or one for each place of the last axes, or MASKED
Results: TypeAlias = "dict[str, Any]"
Key: TypeAlias = "tuple[tuple[str, np.dtype[Any], tuple[int, ...]], ...]"

WORDS = (1, 2, 4, 8)  # bytes of a number whose bits are compared
KINDS = "biufV"  # of NumPy's types, those that may be numbers; V: bfloat16 and the like
MOST = 1 << 20  # bytes of the results that are kept for one shape
SHAPES = 8  # of inputs that are off, for which results are kept


def is_off(array: Array, value: Off) -> bool:
    """Whether every entry of an array is this number, bit by bit; never where it cannot hold that number.

    value: a number, or an array of them that lines up with the last axes, or MASKED: whatever it holds.

    >>> is_off(np.zeros(3), 0.0), is_off(np.array([0.0, -0.0]), 0.0), is_off(np.array([[7, 7]]), 7.0)
    (True, False, True)
    """
    if isinstance(value, OffWord):
        return True
    bits = differing(array, value)
    return bits is not None and not bits.any()


def differing(array: Array, value: float | Array) -> Array | None:
    """The bits in which each entry of an array differs from this number; None where it cannot hold that number."""
    if array.dtype.itemsize not in WORDS or array.dtype.kind not in KINDS:
        return None
    given = np.asarray(value)
    with np.errstate(all="ignore"):
        off = given.astype(array.dtype)
        held = np.array_equal(off.astype(np.float64), given.astype(np.float64))
    if not held or given.ndim > array.ndim or given.shape != array.shape[array.ndim - given.ndim :]:
        return None
    word = f"u{array.dtype.itemsize}"
    bits = np.ascontiguousarray(array).view(word).reshape(array.shape)
    own = np.ascontiguousarray(off).view(word).reshape(off.shape)
    return bits if not own.any() else bits ^ own


def key_of(inputs: Mapping[str, Array]) -> Key:
    """What results for inputs that are off depend on: their names, types and shapes."""
    return tuple([(name, array.dtype, array.shape) for name, array in inputs.items()])


@dataclass(frozen=True, slots=True, eq=False)
class OffResults:
    """What a part makes of inputs that are off, by their types and shapes: the last few of those that are small."""

    kept: dict[Key, Results] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, fed: Mapping[str, Array], run: Callable[[], Results]) -> Results:
        """The results for these inputs, all of which are off; run: makes them where they are not known."""
        # Requests come in several threads: two of them may make the same results, but none sees the table half changed.
        key = key_of(fed)
        found = self.kept.get(key)
        if found is None:
            found = run()
            if sum(np.asarray(one).nbytes for one in found.values()) > MOST:
                return found
            with self.lock:
                while len(self.kept) >= SHAPES:
                    del self.kept[next(iter(self.kept))]
                self.kept[key] = found
        return found
