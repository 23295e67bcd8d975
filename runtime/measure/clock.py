"""The clocks that models are timed with: processor time where one thread does all the work, else time on the wall."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

__all__ = ["PROCESSOR", "WALL", "Clock", "ClockName", "clock_for"]

ClockName: TypeAlias = Literal["cpu", "wall"]
COARSE = 1e-4  # seconds: a processor clock that ticks more slowly tells runs of models badly
READINGS = 20  # in a row, of which the fastest tells what reading the clock takes


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """name: 'cpu' for processor seconds of this process, 'wall' for seconds that pass; read: the time on it, in
    seconds; limit: the time on the wall, by which a race ends whatever it is timed with."""

    name: ClockName
    read: Callable[[], float]
    limit: Callable[[], float] = time.perf_counter

    def cost(self) -> float:
        """Seconds between two readings of it that follow one another, the least of several."""
        seen = [self.read() for _ in range(READINGS)]
        return max(min(after - before for before, after in itertools.pairwise(seen)), 0.0)


WALL = Clock(name="wall", read=time.perf_counter)
PROCESSOR = Clock(name="cpu", read=time.process_time)


def clock_for(provider: str, threads: int | None, custom_ops: Sequence[Path] = ()) -> Clock:
    """What to time models with.

    One thread on the CPU is timed in processor seconds, which are the same beside other programs: on a machine of its
    own they are the time on the wall. With several threads they are not, since threads that wait for others count as
    well, nor on a GPU, nor where a custom operator may wait for something.
    """
    if provider == "cpu" and threads == 1 and not custom_ops and _fine():
        return PROCESSOR
    return WALL


@functools.cache
def _fine() -> bool:
    """Whether the processor clock moves from one reading to the next, by little."""
    return 0 < PROCESSOR.cost() <= COARSE and time.get_clock_info("process_time").resolution <= COARSE
