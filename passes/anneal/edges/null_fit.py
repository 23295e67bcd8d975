"""How well a null describes a weight: Kolmogorov-Smirnov distance, quantiles, and the share of entries it fits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ....ir.evidence.evidence import Fit
from ....ir.evidence.null import Null
from ...connectivity.chunked import Array, as_real, histogram, row_chunks

__all__ = ["null_fit"]

CELLS = 4096
REACH = 8.0  # sigma; what lies beyond is counted in one cell
AT = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
INSIDE = 0.9544997361036416  # of a normal law lies within two deviations
CUT = 0.8796256610342398  # deviation of a normal law that is cut off there
TINY = 1e-12
COARSE = 4  # cells at once where distributions are compared as curves: a hundredth is what counts
UPPER = 0.5  # p-values above it are taken to come from untouched weights (Storey's lambda)


def null_fit(weight: Array, null: Null) -> Fit:
    """Compare the magnitudes of all finite entries with those the null would give, from one pass over the weight.

    surplus is how far the distribution is from convex as a function of that of the null, G = F o F0^-1: with density
    g0 and any symmetric change D that is independent of the initial weight, g/g0 of a normal null is
    E exp(-D^2/2) cosh(xD), which grows with |x|, and so is that of a mixture. A uniform null has g <= g0 inside its
    support instead. Less the largest cell, since rounding gathers entries in a few magnitudes; what initialisers cut
    off at two deviations, scaled up again or not, is normal here. share is Storey's estimate of the share of true nulls
    (A direct approach to false discovery rates, 2002): the p-values above 1/2 over half of the entries. Quantiles are
    those of |w| / sigma.

    >>> untouched = np.random.default_rng(0).normal(size=(200, 200))
    >>> null_fit(untouched, Null(family="normal", scale=1, source="example")).ks < 0.01
    True
    """
    counts = np.zeros(CELLS, np.int64)
    total = zeros = 0
    for rows in row_chunks(weight):
        with np.errstate(over="ignore"):
            z = abs(as_real(weight[rows])) / null.sigma
        counts += histogram(z, 0.0, REACH, CELLS)
        total += int((z < np.inf).sum())
        zeros += int((z == 0).sum())
    grid = np.linspace(0, REACH, CELLS + 1)
    observed = np.concatenate([[0], np.cumsum(counts)]) / max(total, 1)
    expected = 1 - np.asarray(null.p_value(grid * null.sigma))
    middle = int(np.searchsorted(expected, UPPER))
    # Above p = 1/2 lie the small magnitudes; cell borders do not fall on 1/2, so both counts stop at the same border.
    share = min(1.0, float(observed[middle] / expected[middle])) if expected[middle] > 0 else 1.0
    seen = _quantiles(observed, grid)
    meant = _quantiles(expected, grid)
    drawn = total - zeros  # exact zeros are pruned and not drawn from any law
    below = np.maximum(observed * total - zeros, 0) / max(drawn, 1)
    return Fit(
        ks=round(float(np.abs(observed - expected).max()), 6),
        share=round(share, 6),
        ratio=round(seen[AT.index(0.5)] / meant[AT.index(0.5)], 6),
        at=AT,
        observed=seen,
        expected=meant,
        surplus=round(_surplus(below, expected, null, grid), 6),
        entries=drawn,
    )


def _surplus(
    below: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], null: Null, grid: npt.NDArray[np.float64]
) -> float:
    """How much of a distribution on a grid no learning on top of the null explains, 0 to 1."""
    lump = float(np.diff(below).max(initial=0.0))
    if null.family == "uniform":
        rise = (below - expected)[: int(np.searchsorted(expected, 1.0)) + 1]
        return max(float((rise - np.minimum.accumulate(rise)).max()) - lump, 0.0)
    scaled = 1 - np.asarray(null.p_value(grid * null.sigma * CUT))
    laws = (expected, np.minimum(expected / INSIDE, 1), np.minimum(scaled / INSIDE, 1))
    return max(min(_bend(below[::COARSE], law[::COARSE]) for law in laws) - lump, 0.0)


def _bend(below: npt.NDArray[np.float64], law: npt.NDArray[np.float64]) -> float:
    """Largest distance of one distribution function, taken as a function of another, from its convex minorant."""
    inside = law < 1 - TINY
    u, g = np.append(law[inside], 1.0), np.append(below[inside], 1.0)
    corners = [0]
    for at in range(1, u.size):
        while len(corners) > 1:
            one, last = corners[-2], corners[-1]
            if (g[last] - g[one]) * (u[at] - u[one]) < (g[at] - g[one]) * (u[last] - u[one]):
                break
            corners.pop()
        corners.append(at)
    return float((g - np.interp(u, u[corners], g[corners])).max())


def _quantiles(distribution: npt.NDArray[np.float64], grid: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """The magnitude at each probability of `AT`; REACH for what lies beyond."""
    at = np.minimum(np.searchsorted(distribution, AT), grid.size - 1)
    return tuple(round(float(value), 4) for value in grid[at])
