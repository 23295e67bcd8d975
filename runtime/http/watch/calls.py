"""How often each of several things was called and how long that took, so far and in the last minute.

second      57   58   59   60   61
part0        3    0    0    1    2      a ring of as many seconds as count as now
part1        0    0    9    9    0
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Called", "Calls"]

NOW = 60  # seconds that count as now


@dataclass(frozen=True, slots=True)
class Called:
    """One of them. calls, seconds: so far; per_second: calls of the last minute; busy: how many ran at once then, on
    average."""

    calls: int
    seconds: float
    per_second: float
    busy: float


class Calls:
    """Calls of `count` things, told from any thread."""

    def __init__(self, count: int) -> None:
        self._lock, self._began = threading.Lock(), time.monotonic()
        self._calls, self._seconds = np.zeros((NOW, count), np.int64), np.zeros((NOW, count))
        self._all_calls, self._all_seconds = np.zeros(count, np.int64), np.zeros(count)
        self._last = int(self._began)

    def add(self, index: int, seconds: float) -> None:
        """One of them was called, and it took so long."""
        with self._lock:
            slot = self._turned() % NOW
            self._calls[slot, index] += 1
            self._seconds[slot, index] += seconds
            self._all_calls[index] += 1
            self._all_seconds[index] += seconds

    def told(self) -> tuple[Called, ...]:
        """Each of them."""
        with self._lock:
            self._turned()
            span = min(max(time.monotonic() - self._began, 1.0), float(NOW))
            columns: list[npt.NDArray[Any]] = [
                self._all_calls,
                self._all_seconds,
                self._calls.sum(axis=0) / span,
                self._seconds.sum(axis=0) / span,
            ]
            return tuple(Called(*one) for one in zip(*(column.tolist() for column in columns), strict=True))

    def _turned(self) -> int:
        """The second that it is now; those that came since the last one hold nothing yet."""
        now = int(time.monotonic())
        fresh = np.arange(max(self._last + 1, now - NOW + 1), now + 1) % NOW
        self._calls[fresh], self._seconds[fresh] = 0, 0.0
        self._last = now
        return now
