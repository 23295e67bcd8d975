"""Does an edge carry an equal share of its source's influence, as in a random walk (paper 3.2.2 and 3.3.2)?

Influence is normalised for each source: p_kn = |w_kn| / sum over m of |w_km|, expected 1/N. The band
|p - 1/N| <= delta* is the widest in which the population is still uniform by Pearson's test; edges in it are random,
above it preferred, below it suppressed. On Gaussian initialisation the test calls much of pure noise preferred: a large
influence is rare, not impossible. It is here because the paper has it, and its evidence says how much.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ....ir.evidence.null import Null
from ...connectivity.chunked import Array, as_real, empty_mask, histogram, row_chunks, to_host
from .methods import Source

__all__ = [
    *("Band", "Source", "band", "in_band", "not_finite", "preference", "random_channels", "tails"),
    "untouched_preference",
]

BINS = 10  # of Pearson's test
STEPS = 100  # bandwidths tried, from 1/STEPS of 1/N up to 1/N
ROUNDING = 1e-6  # of 1/N: equal influences are equal only up to the rounding of float32
NODES = 40  # of the quadrature over the influence of the other edges of a source
FEWEST = 5  # expected entries in a bin below which Pearson's test says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """delta*, in units of 1/N, and what lies where.

    width: delta* times N, 0 to 1; held: whether the null was accepted at any width; suppressed, random, preferred:
    entries below, inside and above the band, all of them together; idle: how many of the random ones have a source
    without any weight, whose equal shares are of nothing; wild: how many of the preferred ones are NaN or infinite;
    p0: share of the population, idle and wild entries not in it, inside; windows: widths tested.
    """

    width: float
    held: bool
    suppressed: int
    random: int
    preferred: int
    windows: int
    idle: int = 0
    wild: int = 0

    @property
    def p0(self) -> float:
        """Share of the population in the band, the probability of 3.3.2 that a channel looks random."""
        everything = self.suppressed + self.random + self.preferred
        return (self.random - self.idle) / max(everything - self.idle - self.wild, 1)


def band(channels: Sequence[Array], level: float, source: Source = "inputs") -> Band:
    """delta* of the merged population of one or more matrices (K, N) of one shape.

    level: alpha of Pearson's test; source: whose influence sums to one, rows ('inputs') or columns ('outputs'). Sources
    without any weight have no influence and are not in the population, NaN and infinities neither. Source: paper 3.2.2
    as in 3.3.2.

    >>> found = band([np.ones((50, 50))], 0.05)
    >>> found.width, found.held
    (0.0, False)
    """
    fine = np.zeros(STEPS * BINS, np.int64)
    for weight in channels:
        for u in _Shares(weight, source):
            fine += histogram(u, -1.0, 1.0, fine.size)
    width, tried = _widest(fine, level)
    # Counted again: whole cells would put what lies on the border of the band, or at 0 of an empty one, on one side.
    reach = width + ROUNDING
    low = inside = high = wild = entries = 0
    for weight in channels:
        shares = _Shares(weight, source)
        entries += math.prod(weight.shape)
        for rows in row_chunks(weight):
            u, odd = shares.chunk(rows), _not_finite(weight[rows])
            wild += int(odd.sum())
            low += int((u < -reach).sum())
            inside += int((abs(u) <= reach).sum())
            high += int(((u > reach) & ~odd).sum())
    idle = entries - low - inside - high - wild
    return Band(
        width=width,
        held=width > 0,
        suppressed=low,
        random=inside + idle,
        preferred=high + wild,
        windows=tried,
        idle=idle,
        wild=wild,
    )


def _widest(fine: npt.NDArray[np.int64], level: float) -> tuple[float, int]:
    """(The last width accepted before the first that is rejected, how many were tested)."""
    from scipy.stats import chi2

    limit = float(chi2.isf(level, BINS - 1))
    middle, accepted, tested = fine.size // 2, 0, 0
    for step in range(1, STEPS + 1):
        reach = step * BINS // 2
        counts = fine[middle - reach : middle + reach].reshape(BINS, step).sum(1)
        expected = counts.sum() / BINS
        if expected >= FEWEST:
            tested += 1
            if float(((counts - expected) ** 2).sum() / expected) > limit:
                break
            accepted = step
    return accepted / STEPS, tested


class _Shares:
    """p N - 1 of a matrix, a chunk of rows at a time."""

    def __init__(self, weight: Array, source: Source) -> None:
        self._weight, self._source = weight, source
        self._sums = None if source == "inputs" else _column_sums(weight)

    def __iter__(self) -> Iterator[Array]:
        for rows in row_chunks(self._weight):
            yield self.chunk(rows)

    def chunk(self, rows: slice) -> Array:
        """p N - 1 of some rows; NaN where the source has no weight."""
        magnitude = abs(as_real(self._weight[rows]))
        if self._sums is None:
            mean = _total(magnitude, 1)[:, None] / magnitude.shape[1]
        else:
            mean = self._sums[None, :] / self._weight.shape[0]
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            return magnitude / _as(magnitude, mean) - 1


def _column_sums(weight: Array) -> Array:
    total = None
    for rows in row_chunks(weight):
        part = _total(abs(as_real(weight[rows])), 0)
        total = part if total is None else total + part
    return total


def _total(magnitude: Array, axis: int) -> Array:
    """Sums of the finite magnitudes along an axis, in float64: those of float32 may overflow, and lose digits."""
    if isinstance(magnitude, np.ndarray):
        total = magnitude.sum(axis, dtype=np.float64)
        if np.isfinite(total).all():
            return total
        return np.where(np.isfinite(magnitude), magnitude, 0).sum(axis, dtype=np.float64)
    import torch

    return magnitude.nan_to_num(0.0, 0.0, 0.0).sum(axis, dtype=torch.float64)


def _as(like: Array, values: Array) -> Array:
    return values.astype(like.dtype) if isinstance(values, np.ndarray) else values.to(like.dtype)


def preference(weight: Array, found: Band, source: Source = "inputs") -> Array:
    """Edges above the band: structural preference (paper 3.2.2), a Boolean matrix; NaN and infinities are edges."""
    mask = empty_mask(weight)
    shares = _Shares(weight, source)
    for rows in row_chunks(weight):
        mask[rows] = (shares.chunk(rows) > found.width + ROUNDING) | _not_finite(weight[rows])
    return mask


def in_band(weight: Array, found: Band, source: Source = "inputs") -> Array:
    """Edges inside the band: a random walk, a Boolean matrix; those of a source without any weight are equal too."""
    mask = empty_mask(weight)
    shares = _Shares(weight, source)
    for rows in row_chunks(weight):
        mask[rows] = ~(abs(shares.chunk(rows)) > found.width + ROUNDING) & ~_not_finite(weight[rows])
    return mask


def _not_finite(chunk: Array) -> Array:
    return ~(abs(as_real(chunk)) < math.inf)


def not_finite(channels: Sequence[Array]) -> Array:
    """Edges with NaN or an infinity in any channel, a Boolean matrix."""
    mask = empty_mask(channels[0])
    for rows in row_chunks(channels[0]):
        for weight in channels:
            mask[rows] |= _not_finite(weight[rows])
    return mask


def random_channels(channels: Sequence[Array], found: Band, source: Source = "inputs") -> npt.NDArray[np.uint8]:
    """T = how many of an edge's r channels look random (paper 3.3.2), uint8 of shape (K, N), on the host.

    A channel in which the source has no weight at all says nothing against chance, and counts as random.
    """
    shares = [_Shares(weight, source) for weight in channels]
    counts = np.zeros(tuple(channels[0].shape), np.uint8)
    for rows in row_chunks(channels[0]):
        total = sum(
            (~(abs(one.chunk(rows)) > found.width + ROUNDING) & ~_not_finite(weight[rows])) * 1
            for one, weight in zip(shares, channels, strict=True)
        )
        counts[rows] = to_host(total)
    return counts


def untouched_preference(found: Band, family: str, features: int) -> float:
    """Share of weights that nothing ever trained which lie above a band, and so are called preferred.

    family: of the null, 'normal' or 'uniform'; features: N, the edges that share the influence of a source. An edge
    takes more than (1 + delta)/N of the sum where |w| > c S, with S the sum of the N - 1 others and
    c = (1 + delta)/(N - 1 - delta). S is taken for normal (central limit), so that the first decimals hold from four
    edges on.

    >>> at = Band(width=0.2, held=True, suppressed=0, random=1, preferred=0, windows=1)
    >>> round(untouched_preference(at, "normal", 4096), 2), round(untouched_preference(at, "uniform", 4096), 2)
    (0.34, 0.4)
    """
    others = features - 1
    if others - found.width <= 0:
        return 0.0
    law = Null(family=family, scale=1.0, source="unit")
    # Mean and deviation of |x|.
    mean, spread = (0.5, 12**-0.5) if family == "uniform" else (math.sqrt(2 / math.pi), math.sqrt(1 - 2 / math.pi))
    nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
    total = np.maximum(others * mean + math.sqrt(others) * spread * nodes, 0.0)
    tail = law.p_value((1 + found.width) / (others - found.width) * total)
    return float((weights * tail).sum() / weights.sum())


def tails(found: Band, channels: int) -> npt.NDArray[np.float64]:
    """P(Binomial(r, p0) <= T) for T = 0 to r: the p-value of an edge of which T channels look random (paper 3.3.2).

    >>> tails(Band(width=0.1, held=True, suppressed=90, random=10, preferred=0, windows=1), 2).round(2).tolist()
    [0.81, 0.99, 1.0]
    """
    from scipy.stats import binom

    return np.asarray(binom.cdf(np.arange(channels + 1), channels, found.p0))
