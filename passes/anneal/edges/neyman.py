"""Is a weight, or a sequence of them, larger than chance made it (paper 3.2.1 and 3.3.1)?

Both tests have a threshold: an edge is kept when its statistic is above the one at the level. That costs one comparison
an entry, and no p-value is computed unless it is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ....ir.evidence.null import Null
from ...connectivity.chunked import Array, as_real, empty_mask, row_chunks

__all__ = ["above", "count_above", "norm_p_values", "norm_squares", "norm_threshold", "p_values"]

CELLS = 4096  # of the squared uniform variable, whose sums have no closed form


def above(weight: Array, threshold: float) -> Array:
    """The Boolean matrix |w| > threshold, where the weight lies; NaN is above everything.

    >>> above(np.array([[0.5, -2.0]]), 1.0).tolist()
    [[False, True]]
    """
    mask = empty_mask(weight)
    for rows in row_chunks(weight):
        mask[rows] = ~(abs(as_real(weight[rows])) <= threshold)
    return mask


def count_above(weight: Array, threshold: float) -> int:
    """How many entries are at or above a threshold in magnitude, NaN among them."""
    return sum(int((~(abs(as_real(weight[rows])) < threshold)).sum()) for rows in row_chunks(weight))


def p_values(weight: Array, null: Null) -> Array:
    """P(|X| >= |w|) of every entry under the null, float32, where the weight lies; 0 for NaN.

    Source: paper 3.2.1. The smallest positive number of float32 is 1e-45; what is smaller is 0.
    """
    out = _like(weight)
    for rows in row_chunks(weight):
        out[rows] = _tail(abs(as_real(weight[rows])), null)
    return out


def _like(weight: Array) -> Array:
    if isinstance(weight, np.ndarray):
        return np.empty(weight.shape, np.float32)
    import torch

    return torch.empty(tuple(weight.shape), dtype=torch.float32, device=weight.device)


def _tail(magnitude: Array, null: Null) -> Array:
    if null.family == "uniform":
        p = 1 - magnitude / null.scale
        return np.where(p > 0, p, 0) if isinstance(p, np.ndarray) else p.clamp(min=0).nan_to_num(0.0)
    z = magnitude / (null.scale * math.sqrt(2))
    if isinstance(z, np.ndarray):
        from scipy.special import erfc

        return np.nan_to_num(erfc(z), nan=0.0)
    return z.erfc().nan_to_num(0.0)


def norm_squares(theta: Sequence[Array], nulls: Sequence[Null]) -> Array:
    """Q = sum over c of (theta_c / sigma_c)^2 for every edge, float32, shape of one channel.

    theta: r matrices of one shape; nulls: one for each. Source: paper 3.3.1.
    """
    out = _like(theta[0])
    for rows in row_chunks(theta[0]):
        with np.errstate(over="ignore"):
            out[rows] = sum((as_real(part[rows]) / null.sigma) ** 2 for part, null in zip(theta, nulls, strict=True))
    return out


def norm_threshold(nulls: Sequence[Null], level: float) -> float:
    """The Q that is exceeded with probability `level` when no component was ever trained.

    Normal components: the quantile of chi-square with r degrees of freedom (paper 3.3.1). Uniform ones are none: their
    sum is convolved numerically, always to one cell of Q, 3/4096, which from four components on is 1e-3 of any level
    down to 1e-9. Raises ValueError when families are mixed.

    >>> round(norm_threshold([Null(family="normal", scale=1, source="example")] * 8, 0.05), 4)
    15.5073
    """
    family = _family(nulls)
    if family == "normal":
        from scipy.stats import chi2

        return float(chi2.isf(level, len(nulls)))
    tail, step = _uniform_tail(len(nulls))
    # The tail of the sum, interpolated on a logarithmic scale between two cells.
    at = int(np.searchsorted(-tail, -level))
    if at == 0 or at >= tail.size or tail[at] <= 0:
        return float(3 * len(nulls)) if level <= 0 or at >= tail.size or tail[at] <= 0 else 0.0
    high, low = math.log(tail[at - 1]), math.log(tail[at])
    part = (high - math.log(level)) / (high - low)
    return float((at - 1 + part) * step)


def norm_p_values(squares: npt.NDArray[np.floating], nulls: Sequence[Null]) -> npt.NDArray[np.float64]:
    """P(Q >= q) under the null, for an array of Q on the host."""
    if _family(nulls) == "normal":
        from scipy.stats import chi2

        return np.asarray(chi2.sf(squares, len(nulls)))
    tail, step = _uniform_tail(len(nulls))
    return np.asarray(np.interp(squares, np.arange(tail.size) * step, tail, left=1.0, right=0.0))


def _family(nulls: Sequence[Null]) -> str:
    families = {null.family for null in nulls}
    if len(families) != 1:
        raise ValueError("the components of a sequence must have one family of null, normal or uniform")
    return families.pop()


@lru_cache(maxsize=8)
def _uniform_tail(components: int) -> tuple[npt.NDArray[np.float64], float]:
    """P(Q >= i * step) for the sum of squares of uniform variables of unit variance, and the step.

    Each square, 3 u^2 on [0, 3], is cut into cells of known mass; convolving positive numbers loses no relative
    accuracy in the tail, as a Fourier transform would. A mass stands for the middle of its cell.
    """
    edges = np.sqrt(np.linspace(0, 1, CELLS + 1))
    mass = np.diff(edges)
    total = mass
    for _ in range(components - 1):
        total = np.convolve(total, mass)
    tail = np.append(np.cumsum(total[::-1])[::-1], 0.0)
    # The mass of cell i of a sum of r stands at (i + r/2) steps, and the boundary to the cell below half a step lower.
    step = 3 / CELLS
    shift = (components - 1) / 2
    grid = np.arange(tail.size + components)
    return np.interp(grid - shift, np.arange(tail.size), tail, left=1.0, right=0.0), step
