"""Circulant weights: each row is the one before, shifted by one place around.

Such a weight is a transform of Fourier, a product with one number for each frequency, and the transform back, whose
rounding is bounded by what all frequencies take part in:

    W[i, j] = c[(j - i) mod n]          error of an output  ≤  depth · u · Σ |ĉ[k]|,    dense:  n · u · Σ |c[j]|

For inputs of magnitude one a frequency may be n, of which n-th parts come back.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt

from .classes import UNIT

__all__ = ["is_circulant", "may_be_circulant", "shifts_bound"]

ROUNDINGS = 2  # of a product of complex numbers with one


def is_circulant(weight: npt.NDArray[np.floating]) -> bool:
    """Whether each row of a weight (n, n) is the one before, shifted by one place.

    >>> is_circulant(np.float32([[1, 2, 3], [3, 1, 2], [2, 3, 1]]))
    True
    """
    if weight.ndim != 2 or weight.shape[0] != weight.shape[1] or len(weight) < 2:
        return False
    return all(np.array_equal(below, np.roll(above, 1)) for above, below in itertools.pairwise(weight))


def may_be_circulant(weight: npt.NDArray[np.floating]) -> bool:
    """Whether the first entries of a weight (K, N) allow that it is circulant."""
    K, N = weight.shape
    if K != N or K < 2:
        return False
    return bool(weight[0, 0] == weight[1, 1] and weight[0, -1] == weight[1, 0])


def shifts_bound(weight: npt.NDArray[np.floating]) -> float | None:
    """The bound of the rounding error by way of transforms over that of the dense product; None where a weight (n, n)
    is not circulant.

    The transforms are taken apart into stages of the primes of n, each a sum of as many terms, real and imaginary.
    """
    if not is_circulant(weight):
        return None
    n = len(weight)
    row: npt.NDArray[np.float64] = weight[0].astype(np.float64)
    depth = 2 * sum(2 * prime for prime in primes(n)) + ROUNDINGS
    dense = n * UNIT * abs(row).sum()
    return float(depth * UNIT * abs(np.fft.fft(row)).sum() / dense) if dense else math.inf


def primes(number: int) -> list[int]:
    """The prime factors of a number, in order.

    >>> primes(360)
    [2, 2, 2, 3, 3, 5]
    """
    found, least = [], 2
    while least * least <= number:
        if number % least:
            least += 1
        else:
            found.append(least)
            number //= least
    return [*found, number] if number > 1 else found
