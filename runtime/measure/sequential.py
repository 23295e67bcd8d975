"""An interval for a median that may be looked at after every sample: the sign test, made valid at any time.

Of n samples each lies above the true median with probability 1/2, however they are distributed. For a fair coin with
any bias in the alternative, uniformly mixed, the likelihood ratio of s heads among n is 2^n / ((n + 1) C(n, s)), which
is a martingale under the fair coin, so that it ever reaches 1/alpha with probability alpha at most (Ville 1939;
Robbins, Statistical methods related to the law of the iterated logarithm, 1970). Whoever measures until the interval
shows what he hoped for is therefore wrong in alpha of the cases at most, and outliers count by their side only.

Samples need not be independent: it is enough that each lies on either side of the median as if by a coin of its own,
which the order of two measurements, drawn anew for each pair, sees to whatever the noise of the machine looks like.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

__all__ = ["ALPHA", "least_samples", "median_interval"]

ALPHA = 0.005  # of all intervals, looked at as often as wanted, so many ever miss their median


def evidence(heads: int, count: int) -> float:
    """Natural logarithm of the likelihood ratio against a fair coin.

    >>> round(math.exp(evidence(0, 12)), 2)  # 4096 / 13
    315.08
    """
    choose = math.lgamma(count + 1) - math.lgamma(heads + 1) - math.lgamma(count - heads + 1)
    return count * math.log(2) - math.log(count + 1) - choose


@functools.lru_cache(maxsize=4096)
def excess(count: int, alpha: float = ALPHA) -> int:
    """How many samples at either end lie outside the interval of so many, -1 where they are too few for an interval.

    >>> excess(11), excess(12), excess(100)
    (-1, 0, 30)
    """
    low, high = -1, count // 2
    while low < high:  # evidence falls from 0 heads to half of them
        middle = (low + high + 1) // 2
        low, high = (middle, high) if evidence(middle, count) >= -math.log(alpha) else (low, middle - 1)
    return low


@functools.cache
def least_samples(alpha: float = ALPHA) -> int:
    """The fewest samples that have an interval: all of them on one side are then no chance.

    >>> least_samples()
    12
    """
    return next(count for count in range(1, 1 << 12) if excess(count, alpha) >= 0)


def median_interval(samples: npt.ArrayLike, alpha: float = ALPHA) -> tuple[float, float]:
    """Where the median of what samples are drawn from lies, from -inf to inf where they are too few to say.

    >>> median_interval(range(12)), median_interval(range(11))
    ((0.0, 11.0), (-inf, inf))
    """
    values = np.asarray(samples, np.float64)
    outside = excess(values.size, alpha)
    if outside < 0:
        return -math.inf, math.inf
    places = outside, values.size - 1 - outside
    found = np.partition(values, places)
    return float(found[places[0]]), float(found[places[1]])
