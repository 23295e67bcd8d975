"""A page of memory that a supervised process writes on and its supervisor looks at: what runs, since when, how long.

Writing costs less than a microsecond and wakes nobody, so that what is timed does not feel it.
"""

from __future__ import annotations

import mmap
import struct
import time
from enum import Enum
from typing import NamedTuple

__all__ = ["Act", "Board", "Running"]

PAGE = 4096
WHAT, STAGE = 64, 3072  # where the two texts begin, each behind its length
HEAD = struct.Struct("dd")  # since when something runs, 0 for nothing; seconds that it may take, 0 for any
SECONDS = struct.Struct("d")
GRACE = HEAD.size  # where the seconds stand that are to pass between a signal and the end
LENGTH = struct.Struct("H")


class Act(Enum):
    """What is done with a model, as it is said afterwards and meanwhile."""

    OPEN = "opened", "opening"
    RUN = "ran", "running"


class Running(NamedTuple):
    """who: what runs or opens a model; model: what messages call it."""

    who: str
    act: Act
    model: str


class Board:
    """The page; it is shared with processes that are forked afterwards."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, PAGE)
        self._last: Running | None = None

    def begin(self, what: Running) -> None:
        """Something runs from now on."""
        self.end()
        if what != self._last:
            self._write(WHAT, f"{what.who}\0{what.act.name}\0{what.model}", STAGE)
            self._last = what
        SECONDS.pack_into(self._page, 0, time.monotonic())

    def end(self) -> None:
        """It runs no longer."""
        SECONDS.pack_into(self._page, 0, 0.0)

    def since(self) -> float | None:
        """When what runs began, on the monotonic clock; None where nothing runs."""
        began, _ = HEAD.unpack_from(self._page, 0)
        return began or None

    def running(self) -> Running | None:
        """What runs or ran last, None for nothing as yet."""
        who, _, rest = self._read(WHAT, STAGE).partition("\0")
        act, _, model = rest.partition("\0")
        return Running(who, Act[act], model) if act in Act.__members__ else None

    @property
    def limit(self) -> float:
        """Seconds that one run may take, 0 for any number of them."""
        return float(HEAD.unpack_from(self._page, 0)[1])

    @limit.setter
    def limit(self, seconds: float) -> None:
        SECONDS.pack_into(self._page, SECONDS.size, seconds)

    @property
    def grace(self) -> float:
        """Seconds that the work may take to end by itself once it is told to, 0 for what everything may take."""
        return float(SECONDS.unpack_from(self._page, GRACE)[0])

    @grace.setter
    def grace(self, seconds: float) -> None:
        SECONDS.pack_into(self._page, GRACE, seconds)

    @property
    def stage(self) -> str:
        """Which part of the work is done, empty for none that has a name."""
        return self._read(STAGE, PAGE)

    @stage.setter
    def stage(self, name: str) -> None:
        self._write(STAGE, name, PAGE)

    def _write(self, place: int, text: str, end: int) -> None:
        data = text.encode("utf-8", "surrogateescape")[: end - place - LENGTH.size]
        start = place + LENGTH.size
        LENGTH.pack_into(self._page, place, len(data))
        self._page[start : start + len(data)] = data

    def _read(self, place: int, end: int) -> str:
        (count,) = LENGTH.unpack_from(self._page, place)
        start = place + LENGTH.size
        return self._page[start : min(start + count, end)].decode("utf-8", "replace")
