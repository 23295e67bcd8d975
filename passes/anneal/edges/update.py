"""The edges that training changed, where the weights that it began with are known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.evidence.evidence import Evidence
from ...connectivity.chunked import Array, as_real, empty_mask, row_chunks
from .decision import AnnealError, Decision, beside, confirmed_share

__all__ = ["updated"]


def updated(
    weight: Array, initial: npt.NDArray[Any], tolerance: tuple[float, float] = (0.0, 0.0), *, level: float = 0.05
) -> Decision:
    """Which edges of a weight (K, N), a numpy array or a tensor on any torch device, differ from the initial ones.

    initial: the weight before training, of the same shape and any float type; tolerance: what is no update, relative to
    |w0| and absolute; level: what the evidence says of the run, of no effect here. Works a chunk at a time. NaN and
    infinities are always edges. Raises AnnealError when the shapes differ.

    >>> updated(np.array([[1.0, 0.1], [0.2, 3.0]]), np.array([[1.0, 0.0], [0.2, 2.0]])).confirmed.tolist()
    [[False, True], [False, True]]
    """
    if tuple(initial.shape) != tuple(weight.shape):
        raise AnnealError(f"the initial weight has shape {tuple(initial.shape)}, the trained one {tuple(weight.shape)}")
    mask = empty_mask(weight)
    for rows in row_chunks(weight):
        now, then = as_real(weight[rows]), beside(weight, as_real(initial[rows]))
        with np.errstate(invalid="ignore", over="ignore"):
            change = abs(now - then)
            same = (change <= tolerance[0] * abs(then) + tolerance[1]) & (change < math.inf)
        mask[rows] = ~same
    evidence = Evidence(
        test="update",
        level=level,
        correction="none",
        confirmed=confirmed_share(mask),
        expected_false=0.0,
        smallest=tolerance[1],
        power="any update is seen; weight decay, Adam with a shared loss and normalisation update every edge",
    )
    return Decision(mask, evidence)
