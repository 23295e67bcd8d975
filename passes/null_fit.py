"""How well a null describes a weight: Kolmogorov-Smirnov distance, quantiles, and the share of entries it fits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..ir.evidence import Fit
from ..ir.null import Null
from .chunked import Array, as_real, histogram, row_chunks

__all__ = ["null_fit"]

CELLS = 4096
REACH = 8.0  # sigma; what lies beyond is counted in one cell
AT = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999)
UPPER = 0.5  # p-values above it are taken to come from untouched weights (Storey's lambda)


def null_fit(weight: Array, null: Null) -> Fit:
    """Compare the magnitudes of all finite entries with those the null would give, from one pass over the weight.

    share is Storey's estimate of the share of true nulls (A direct approach to false discovery rates, 2002): the
    p-values above 1/2 over half of the entries. Quantiles are those of |w| / sigma.

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
        surplus=round(max(float((below - expected).max()), 0.0), 6),
        entries=drawn,
    )


def _quantiles(distribution: npt.NDArray[np.float64], grid: npt.NDArray[np.float64]) -> tuple[float, ...]:
    """The magnitude at each probability of `AT`; REACH for what lies beyond."""
    at = np.minimum(np.searchsorted(distribution, AT), grid.size - 1)
    return tuple(round(float(value), 4) for value in grid[at])
