"""Energies: squared normal scores of a weight, on which co-clustering works whatever the null is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ..ir.null import Null
from .chunked import as_real, row_chunks

__all__ = ["CAP", "FLOOR", "Energies", "Sample", "energies", "moments"]

Energies = npt.NDArray[np.float32]
FLOOR = 1e-4  # of an energy: a hundredth of sigma, below which one noise is as good as another
CAP = 12.0  # of one energy: a handful of outliers must not decide which block a feature is in


def energies(weight: npt.NDArray[np.floating], null: Null) -> Energies:
    """min(z^2, CAP) of every entry, float32 (K, N): z is standard normal where the weight was never trained.

    For a uniform null z is the normal score of the p-value, so that a weight outside the support has the largest
    energy. NaN and infinities have it as well.

    >>> energies(np.array([[2.0, -1.0, 100.0]]), Null(family="normal", scale=1, source="example")).tolist()
    [[4.0, 1.0, 12.0]]
    """
    out = np.empty(weight.shape, np.float32)
    for rows in row_chunks(weight):
        part = as_real(weight[rows])
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # what is beyond the type is beyond CAP
            score = part / null.scale
            if null.family == "uniform":
                from scipy.special import ndtri

                score = ndtri(np.maximum(1 - np.abs(score), 0) / 2)
            out[rows] = np.fmin(score * score, CAP)
    return out


@lru_cache(maxsize=1)
def moments() -> tuple[float, float]:
    """Mean and variance of an energy under the null: those of min(chi-square with one degree of freedom, CAP).

    >>> [round(value, 3) for value in moments()]
    [0.999, 1.974]
    """
    from scipy.stats import chi2

    above = chi2.sf(CAP, 1)
    mean = chi2.cdf(CAP, 3) + CAP * above
    square = 3 * chi2.cdf(CAP, 5) + CAP * CAP * above
    return float(mean), float(square - mean * mean)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """The energies, where they are known (None: everywhere), how many are, and their sum."""

    energy: Energies
    known: Energies | None
    entries: float
    total: float

    @property
    def shape(self) -> tuple[int, int]:
        """(K, N)."""
        K, N = self.energy.shape
        return K, N

    @property
    def mean(self) -> float:
        """Mean energy of what is known."""
        return self.total / self.entries

    def outside(self, energy: float, area: float) -> float:
        """Mean energy of what is left when blocks take so much energy and so many entries."""
        rest = self.entries - area
        return max((self.total - energy) / rest if rest >= 1 else self.mean, FLOOR)
