"""What removing a part of a weight costs, as far as calibration samples tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.plan.decomposition import Decomposition
from .activity import Activity, ActivityError

__all__ = ["importance", "relative_error", "removed_error", "veto"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"

CHUNK = 1 << 22  # entries of weights turned into float64 at a time


def importance(weight: Array, activity: Activity) -> Array:
    """|w_kn| · ‖x_k‖ of each weight (K, N), in float32 at least.

    Source: Sun et al., A Simple and Effective Pruning Approach for Large Language Models (Wanda), 2023.
    """
    _fit(weight, activity.shape)
    score: Array = np.abs(weight if weight.dtype.itemsize >= 4 else weight.astype(np.float32))
    score *= np.sqrt(activity.squares)[:, None].astype(score.dtype)
    return score


def veto(weight: Array, decomposition: Decomposition, activity: Activity) -> float:
    """Share of the squared importance of a weight (K, N) that lies outside the blocks, 0 to 1.

    What a decomposition would remove, as far as the inputs tell: exact for its output error where inputs are
    uncorrelated. Raises ActivityError when shapes differ or a weight is NaN or infinite.
    """
    _fit(weight, activity.shape)
    _fit(weight, decomposition.shape)
    whole = sum(float(activity.squares @ np.square(part).sum(axis=1)) for _, part in _columns(weight))
    removed = sum(float(activity.squares @ np.square(part).sum(axis=1)) for part in _removed(weight, decomposition))
    return min(removed / whole, 1.0) if removed else 0.0


def removed_error(weight: Array, decomposition: Decomposition, gram: Float64) -> float:
    """‖X R‖_F / ‖X W‖_F for the part R of a weight (K, N) outside the blocks, from gram = XᵀX (K, K).

    The relative error of the product, over the samples, when that part is removed; biases do not count.
    Raises ActivityError when shapes differ or a weight is NaN or infinite.
    """
    _fit(weight, decomposition.shape)
    return _relative(_removed(weight, decomposition), weight, gram)


def relative_error(weight: Array, other: Array, gram: Float64) -> float:
    """‖X (W - V)‖_F / ‖X W‖_F for two weights W and V (K, N), from gram = XᵀX (K, K).

    Infinite when nothing but V reaches the output. Raises ActivityError as `removed_error` does.

    >>> relative_error(np.array([[3.0], [4.0]]), np.array([[3.0], [0.0]]), np.eye(2))
    0.8
    """
    _fit(other, weight.shape)
    pairs = zip(_columns(weight), _columns(other), strict=True)
    return _relative((part - changed for (_, part), (_, changed) in pairs), weight, gram)


def _relative(parts: Iterator[Float64], weight: Array, gram: Float64) -> float:
    if gram.shape != (weight.shape[0],) * 2:
        raise ActivityError(f"the normal equations have shape {gram.shape}, the weight {weight.shape}")
    error = sum(_energy(part, gram) for part in parts)
    whole = sum(_energy(part, gram) for _, part in _columns(weight))
    if not error > 0:
        return 0.0
    return float(np.sqrt(error / whole)) if whole > 0 else float("inf")


def _energy(weight: Float64, gram: Float64) -> float:
    """‖X W‖² as trace(Wᵀ G W)."""
    return float(np.vdot(weight, gram @ weight))


def _columns(weight: Array) -> Iterator[tuple[slice, Float64]]:
    """A weight in float64, a run of columns at a time."""
    step = max(1, CHUNK // max(weight.shape[0], 1))
    for start in range(0, weight.shape[1], step):
        run = slice(start, start + step)
        part = weight[:, run].astype(np.float64)
        if not np.isfinite(part).all():
            raise ActivityError("the weight holds a NaN or an Inf, so no error can be foretold; leave it dense")
        yield run, part


def _removed(weight: Array, decomposition: Decomposition) -> Iterator[Float64]:
    """The same, zero inside the blocks."""
    owner = np.full(weight.shape[1], -1)
    for index, block in enumerate(decomposition.blocks):
        owner[block.outputs] = index
    for run, part in _columns(weight):
        for index in set(owner[run].tolist()) - {-1}:
            part[np.ix_(decomposition.blocks[index].inputs, owner[run] == index)] = 0
        yield part


def _fit(weight: Array, shape: tuple[int, ...]) -> None:
    if weight.shape != shape:
        raise ActivityError(f"the weight has shape {weight.shape}, its evidence is for {shape}")
