"""A weight as the product of stages that it is, whatever it takes to multiply with them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ...passes.factor.certificate import certify
from ...passes.factor.diagonals import Butterfly, butterfly
from ...passes.factor.entries import DENSE_SHARE, may_split
from ...passes.factor.factorise import factorise
from ...passes.factor.find import LARGEST_ENTRIES

__all__ = ["as_product"]


def as_product(matrix: npt.NDArray[np.generic]) -> Butterfly | None:
    """The block-diagonal factors of a matrix (K, N) with the fewest multiply-adds, as far as float32 tells; None where
    it is no such product, has more than 67 million entries, or is not of finite real numbers."""
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating) or not 0 < matrix.size <= LARGEST_ENTRIES:
        return None
    weight = matrix.astype(np.float32)
    dense = np.count_nonzero(weight) >= DENSE_SHARE * weight.size
    if not dense or not np.isfinite(weight).all() or not may_split(weight):
        return None
    made = factorise(weight, lambda factors: factors.macs)
    if made is None or made[1].macs >= weight.size or not certify(weight, made[1]).holds:
        return None
    return butterfly(made[1])
