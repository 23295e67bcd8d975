"""A random weight pruned entry by entry, without any structure meant."""

from __future__ import annotations

import numpy as np

from ..matrix import Array

__all__ = ["weight"]


def weight(rng: np.random.Generator, shape: tuple[int, int] = (4096, 4096), share: float = 0.01) -> Array:
    """A random normal matrix W (K, N) of which only the given share of entries is left, the largest by magnitude.

    At least one entry is left; all that are as large as the smallest one left are left too. Raises ValueError unless
    the share lies above 0 and not above 1. Source: Han, Pool, Tran, Dally, Learning both Weights and Connections for
    Efficient Neural Networks, NeurIPS 2015, section 3.

    >>> int(np.count_nonzero(weight(np.random.default_rng(0), (10, 20), 0.05)))
    10
    """
    if not 0 < share <= 1:
        raise ValueError(f"the share of entries that are left lies above 0 and not above 1, {share} does not")
    W = rng.standard_normal(shape, np.float32)
    magnitude = np.abs(W)
    first = W.size - max(1, round(share * W.size))
    return np.where(magnitude >= np.partition(magnitude, first, axis=None)[first], W, np.float32(0))
