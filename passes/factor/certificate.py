"""Whether factors may stand for a weight: their product is it, and rounding is no worse than that of the dense product.

For inputs of magnitude one or less, the error of output n is at most

    dense       K · u · Σ |W[k, n]|
    factored    depth · u · Σ over all paths of absolute products  +  Σ |W[k, n] - product[k, n]|

to first order in the unit of rounding u (Higham, Accuracy and Stability of Numerical Algorithms, 3.5). What is summed
for nothing, as zeros are, counts in neither. Each output is held against itself, and each input too: what is small
beside others is not small where it is used, once it was normalised or had been large before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .classes import UNIT
from .stages import Array

__all__ = ["NOTHING", "RESIDUAL", "Certified", "RoundingCertificate", "certify"]

RESIDUAL = 8 * UNIT  # of the largest entry of a weight: how far a product may be from it; and of the sum of a row
NOTHING = 2.0**-40  # of the largest row or column: what float64 leaves of zeros, as of sines of multiples of pi


class Certified(Protocol):
    """Factors of a weight (K, N), of whatever kind."""

    @property
    def roundings(self) -> int:
        """Those that one term goes through at most, of factors too."""

    def product(self) -> Array:
        """The weight that they make together."""

    def magnitude(self) -> Array:
        """(N,): for each output the sum over all paths of the absolute products along them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundingCertificate:
    """residual: the largest difference of an entry and of the product's, over the largest entry, or of a row over the
    row; bound: of the error of the factored product over that of the dense one, of the output where it is worst."""

    residual: float
    bound: float

    @property
    def holds(self) -> bool:
        """Whether the product is the weight, and rounds no worse."""
        return self.residual <= RESIDUAL and self.bound <= 1


def certify(weight: npt.NDArray[np.floating], factors: Certified) -> RoundingCertificate:
    """How near the factors (K, N), once they are rounded to float32, come to a weight."""
    whole: Array = weight.astype(np.float64)
    away = abs(whole - factors.product())
    columns = abs(whole).sum(axis=0)
    staged = factors.roundings * UNIT * factors.magnitude() + away.sum(axis=0)
    return RoundingCertificate(
        residual=max(float(away.max() / abs(whole).max()), _most(away.sum(axis=1), abs(whole).sum(axis=1))),
        bound=_most(staged, whole.shape[0] * UNIT * columns),
    )


def _most(part: Array, whole: Array) -> float:
    """The largest ratio of one of some sums, those of next to nothing to the largest one."""
    return float((part / np.where(whole > NOTHING * whole.max(), whole, whole.max())).max())
