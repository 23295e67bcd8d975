"""The axis of a chart of speeds: how far it goes, and where its round numbers stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..measure.bench import Bench

__all__ = ["Scale", "scale_of"]

LEFT, RIGHT = 18.0, 98.0  # of a chart that is 100 wide
REACH = 1.6  # an interval that goes on beyond so many times the largest median is cut, so that medians can be read
STEPS = (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
TICKS = 6  # at most so many between 0 and the end


@dataclass(frozen=True, slots=True)
class Scale:
    """From 0 to `most`; ticks: round numbers from 0 on; cut: whether an interval goes on beyond the end."""

    most: float
    ticks: tuple[float, ...]
    cut: bool

    def place(self, value: float) -> float:
        """Where a value lies in a chart that is 100 wide; beyond the end at the end.

        >>> Scale(2.0, (0.0, 1.0, 2.0), False).place(1.0)
        58.0
        """
        return round(LEFT + min(value, self.most) / self.most * (RIGHT - LEFT), 2)


def scale_of(benches: Sequence[Bench]) -> Scale:
    """An axis on which all medians lie, and 1, and the intervals as far as they leave the medians readable."""
    highest = max(one.speedup for one in benches)
    widest = max(one.comparison.high for one in benches)
    reach = max(1.2, highest, min(widest, highest * REACH))
    step = next((step for step in STEPS if reach <= step * TICKS), 10 ** math.ceil(math.log10(reach / TICKS)))
    count = math.ceil(reach / step)
    return Scale(most=count * step, ticks=tuple(index * step for index in range(count + 1)), cut=widest > count * step)
