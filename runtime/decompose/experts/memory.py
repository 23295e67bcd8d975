"""What choosing experts holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

from collections.abc import Sequence

from ....passes.experts.find import ExpertPlace
from ..removal.memory import rows_held
from ..task.memory import require_bytes
from ..task.method import DecomposeTask

__all__ = ["choosing_bytes", "require_memory"]

SINGLE, DOUBLE = 4, 8  # bytes of a number
HIDDEN = 3  # arrays of all hidden units of all rows: they, which of them run, and what runs
GRAMS = 4  # of all hidden units


def require_memory(task: DecomposeTask, places: Sequence[ExpertPlace]) -> None:
    """Raise NoMemoryError where choosing experts takes more than may be used: what the user allows, or half of what is
    free."""
    needed = choosing_bytes(places, len(task.calibration.feeds))
    require_bytes(task, needed, "choosing experts needs up to", "give fewer samples, or ")


def choosing_bytes(places: Sequence[ExpertPlace], feeds: int) -> int:
    """About how many bytes it takes for some networks and so many feeds.

    What each network is to compute stays; everything else is there for one at a time.
    """
    targets, largest = 0, 0
    for place in places:
        (d, H, out), rows = place.shape, rows_held(place.up, feeds)
        targets += SINGLE * rows * out
        largest = max(largest, SINGLE * rows * (d + 2 * out + HIDDEN * H) + DOUBLE * GRAMS * H * H)
    return targets + largest
