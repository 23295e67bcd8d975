"""Energies: squared normal scores of a weight, on which co-clustering works whatever the null is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ...ir.evidence.null import Null
from ..connectivity.chunked import as_real, histogram, row_chunks

__all__ = ["CAP", "FLOOR", "Energies", "Sample", "energies", "learned_moments", "misfit", "moments"]

Energies = npt.NDArray[np.float32]
CELLS = 4096  # of a histogram of magnitudes
REACH = 8.0  # root mean squares; what lies beyond is counted in one cell
FLOOR = 1e-4  # of an energy: a hundredth of sigma, below which one noise is as good as another
SMALLEST = 1e-300  # of a signal: what is smaller is none, and has no inverse
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


@lru_cache(maxsize=256)
def learned_moments(family: str, signal: float) -> tuple[float, float]:
    """Mean and variance of the energy of an entry to which learning added a normal deviate of `signal` sigma.

    family: of the null, 'normal' or 'uniform', in units of its sigma. Of a normal one the energy is (1 + signal^2)
    chi-square, cut off at CAP. A uniform one has the normal score of its p-value, so that what leaves the support has
    the largest energy there is; its density is integrated numerically.

    >>> [round(value, 2) for value in learned_moments("normal", 1.0) + learned_moments("uniform", 1.0)]
    [1.95, 6.59, 3.38, 23.39]
    """
    from scipy.stats import chi2

    if signal < SMALLEST:
        return moments()
    if family == "normal":
        factor = 1 + signal**2
        cut = CAP / factor
        above = float(chi2.sf(cut, 1))
        mean = factor * float(chi2.cdf(cut, 3)) + CAP * above
        square = 3 * factor**2 * float(chi2.cdf(cut, 5)) + CAP * CAP * above
        return mean, max(square - mean * mean, 0.0)
    from scipy.special import ndtr, ndtri

    tau = signal / math.sqrt(3)  # in units of the half width
    edges = np.linspace(0, 1, CELLS + 1)
    at = (edges[1:] + edges[:-1]) / 2
    mass = (ndtr((at + 1) / tau) - ndtr((at - 1) / tau)) / CELLS  # of both signs
    energy = np.minimum(ndtri((1 - at) / 2) ** 2, CAP)
    outside = 1 - float(mass.sum())
    mean = float((mass * energy).sum()) + CAP * outside
    square = float((mass * energy**2).sum()) + CAP * CAP * outside
    return mean, max(square - mean * mean, 0.0)


def misfit(scores: npt.NDArray[np.float32]) -> float:
    """Kolmogorov-Smirnov distance of magnitudes other than 0 from the nearest law that initialisers draw from.

    In units of their own root mean square: normal, uniform, and normal cut off at two deviations. What is not 0 and
    has no signal in it is one of them whatever its scale; a mixture of noise and something larger is none.

    >>> misfit(np.float32(np.random.default_rng(0).uniform(-3, 3, (200, 200)))) < 0.01
    True
    """
    from scipy.special import ndtr

    count = int(np.count_nonzero(scores))
    square = float(np.einsum("ij,ij->", scores, scores, dtype=np.float64))
    if not count or not 0 < square < np.inf:
        return 0.0
    size = np.abs(scores) / np.float32(np.sqrt(square / count))
    counts = histogram(size, 0.0, REACH, CELLS)
    counts[0] -= size.size - count
    grid = np.linspace(0, REACH, CELLS + 1)[1:]
    laws = [2 * ndtr(grid) - 1, np.minimum(grid / np.sqrt(3), 1)]
    cut = 2 * ndtr(2.0) - 1
    spread = np.sqrt(1 - 4 * np.exp(-2.0) / np.sqrt(2 * np.pi) / cut)
    laws.append(np.minimum((2 * ndtr(grid * spread) - 1) / cut, 1))
    seen = np.cumsum(counts) / count
    return min(float(np.abs(seen - law).max()) for law in laws)


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
