"""Sizes at which two models can be timed in a time that somebody waits for."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...ir.errors import option
from ..inputs.sizes.room import Room
from ..notes import LoweredWarning
from ..ort.library import SessionError
from ..ort.session import Session
from .rounds import WARM_UP
from .sequential import least_samples

__all__ = ["shortest_run", "timed_within"]

PATIENCE = 60.0  # seconds that the rounds an interval needs may take, unless more are asked for
QUICK = 1 << 28  # bytes of all values of a run below which no size is tried first
FEW = 3  # runs of which the shortest is taken
TICK = 1e-6  # seconds that a run takes at the least
PART = 16  # how many times smaller than what is asked for the size is that tells how long it takes


def shortest_run(
    session: Session, feed: Mapping[str, Any], enough: float, clock: Callable[[], float] = time.perf_counter
) -> float:
    """Seconds of the shortest of a few runs, or of the first where that takes `enough` of them by itself.

    What else a machine is at makes a run longer, never shorter.
    """
    found: list[float] = []
    while len(found) < FEW and sum(found) < enough:
        start = clock()
        session.run(feed)
        found.append(clock() - start)
    return max(min(found), TICK)


def timed_within(
    sizes: Mapping[str, int],
    seconds: float,
    room: Room,
    sessions: Sequence[Session],
    draw: Callable[[Mapping[str, int]], Mapping[str, Any]],
    clock: Callable[[], float] = time.perf_counter,
) -> Mapping[str, int]:
    """These sizes, or smaller ones where timing all sessions at them would take longer than anybody waits.

    A run at a fraction of the sizes tells how long one takes, in proportion to the bytes of its values; a warning says
    what was lowered. seconds: that may be spent on timing; draw: makes inputs of some sizes. What the user fixes stays.
    """
    whole = room.bytes_of_values(sizes)
    if whole < QUICK:
        return sizes
    smaller = list(room.smaller(sizes))
    part = next((one for one in smaller if PART * room.bytes_of_values(one) <= whole), None)
    if part is None:
        return sizes
    try:
        feed = draw(part)
        start = clock()
        for session in sessions:
            session.run(feed)
    except SessionError:
        return sizes  # what it refuses says nothing of what is asked for
    share = (least_samples() + WARM_UP) * (clock() - start) / room.bytes_of_values(part)
    allowed = max(seconds, PATIENCE)
    if share * whole <= allowed:
        return sizes
    chosen = next((one for one in smaller if share * room.bytes_of_values(one) <= allowed), part)
    changed = (f"{name} {chosen[name]} instead of {size}" for name, size in sizes.items() if chosen[name] != size)
    told = (
        f"{', '.join(changed)}: timing that would take {share * whole:,.0f} s, {allowed:.0f} s are spent at the most; "
    )
    warnings.warn(LoweredWarning(told, "allow more with ", option("seconds")), stacklevel=2)
    return chosen
