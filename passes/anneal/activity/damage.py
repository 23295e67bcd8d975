"""What changing a weight costs, as far as calibration samples tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .activity import ActivityError

__all__ = ["relative_error"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"

CHUNK = 1 << 22  # entries of weights turned into float64 at a time


def relative_error(weight: Array, other: Array, gram: Float64) -> float:
    """‖X (W - V)‖_F / ‖X W‖_F for two weights W and V (K, N), from gram = XᵀX (K, K).

    Infinite when nothing but V reaches the output; biases do not count.
    Raises ActivityError when shapes differ or a weight is NaN or infinite.

    >>> relative_error(np.array([[3.0], [4.0]]), np.array([[3.0], [0.0]]), np.eye(2))
    0.8
    """
    _fit(other, weight.shape)
    if gram.shape != (weight.shape[0],) * 2:
        raise ActivityError(f"the normal equations have shape {gram.shape}, the weight {weight.shape}")
    error = sum(_energy(part - new, gram) for part, new in zip(_columns(weight), _columns(other), strict=True))
    whole = sum(_energy(part, gram) for part in _columns(weight))
    if not error > 0:
        return 0.0
    return float(np.sqrt(error / whole)) if whole > 0 else float("inf")


def _energy(weight: Float64, gram: Float64) -> float:
    """‖X W‖² as trace(Wᵀ G W)."""
    return float(np.vdot(weight, gram @ weight))


def _columns(weight: Array) -> Iterator[Float64]:
    """A weight in float64, a run of columns at a time."""
    step = max(1, CHUNK // max(weight.shape[0], 1))
    for start in range(0, weight.shape[1], step):
        part = weight[:, start : start + step].astype(np.float64)
        if not np.isfinite(part).all():
            raise ActivityError("the weight holds a NaN or an Inf, so no error can be foretold; leave it dense")
        yield part


def _fit(weight: Array, shape: tuple[int, ...]) -> None:
    if weight.shape != shape:
        raise ActivityError(f"the weight has shape {weight.shape}, its evidence is for {shape}")
