"""How much faster one model is than another: a ratio, an interval that may be looked at any time, and what it shows."""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .sequential import ALPHA, median_interval

__all__ = ["MARGIN", "UNCLEAR", "Comparison", "Speed", "compare_times"]

MARGIN = 1.03  # two sessions of one file differ by up to so much, wherever their memory comes to lie
VAGUE = 1.5  # ends of an interval further apart leave no digits of the ratio worth telling
UNCLEAR = "unclear"  # what is told of a ratio instead
INSTANT = 1e-12  # seconds, below what any clock tells


class Speed(enum.StrEnum):
    """What a comparison shows of the second model."""

    FASTER = "faster"
    SLOWER = "slower"
    EQUAL = "equal"  # within the margin, or so near its edge that this machine tells no difference
    UNMEASURABLE = "unmeasurable"  # on this machine, in this time


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How many times faster a model is than the one it is compared with, above 1 when it is.

    ratio: median over pairs of measurements; low, high: the interval in which the true median lies, 0 and infinity
    where pairs were too few to say; pairs: how many there were.
    """

    ratio: float
    low: float
    high: float
    pairs: int

    @property
    def speed(self) -> Speed:
        """What the interval shows: clear of the margin, inside of it, or neither."""
        if self.low > MARGIN:
            return Speed.FASTER
        if self.high < 1 / MARGIN:
            return Speed.SLOWER
        if (self.low >= 1 / MARGIN and self.high <= MARGIN) or self.narrow(MARGIN):
            return Speed.EQUAL
        return Speed.UNMEASURABLE

    @property
    def decided(self) -> bool:
        """Whether it shows anything."""
        return self.speed is not Speed.UNMEASURABLE

    @property
    def reversed(self) -> Comparison:
        """The same seen from the other model."""
        high = 1 / self.low if self.low else math.inf
        return Comparison(ratio=1 / self.ratio, low=1 / self.high, high=high, pairs=self.pairs)

    @property
    def figure(self) -> str:
        """The ratio for people, as far as it is known.

        >>> [Comparison(ratio=2.0, low=low, high=2.5, pairs=20).figure for low in (1.9, 1.25, 0.5)]
        ['2.00x', 'over 1.25x', 'unclear']
        """
        if self.narrow(VAGUE):
            return f"{self.ratio:.2f}x"
        if self.speed is Speed.FASTER:
            return f"over {self.low:.2f}x"
        return f"under {self.high:.2f}x" if self.speed is Speed.SLOWER else UNCLEAR

    @property
    def range(self) -> str:
        """The interval for people.

        >>> Comparison(ratio=2.0, low=1.9, high=2.125, pairs=20).range
        '1.90-2.12x'
        """
        if self.low > 0 and self.high < math.inf:
            return f"{self.low:.2f}-{self.high:.2f}x"
        return f"up to {self.high:.2f}x" if self.high < math.inf else "unknown"

    def narrow(self, factor: float) -> bool:
        """Whether its ends are at most this factor apart."""
        return self.low > 0 and self.high <= self.low * factor

    def to_dict(self) -> dict[str, Any]:
        """For JSON, an end that is not known as null."""
        return {
            "speed": self.speed.value,
            "ratio": self.ratio,
            "low": self.low or None,
            "high": self.high if self.high < math.inf else None,
            "pairs": self.pairs,
        }


def compare_times(first: Sequence[float], second: Sequence[float], alpha: float = ALPHA) -> Comparison:
    """The second model beside the first by their seconds, of which those at the same place make a pair.

    Further ones of either, which have no partner, do not count. Raises ValueError where there is no pair.

    >>> found = compare_times([2.0, 2.1, 1.9] * 8, [1.0] * 24)
    >>> found.ratio, found.range, found.speed.value
    (2.0, '1.90-2.10x', 'faster')
    """
    pairs = min(len(first), len(second))
    if not pairs:
        raise ValueError("there is no pair of measurements to compare")
    one, other = (np.maximum(np.asarray(seconds[:pairs], np.float64), INSTANT) for seconds in (first, second))
    ratios = np.log(one) - np.log(other)
    low, high = median_interval(ratios, alpha)
    ratio = math.exp(float(np.median(ratios)))
    return Comparison(ratio=ratio, low=min(math.exp(low), ratio), high=max(math.exp(high), ratio), pairs=pairs)
