"""Rows of a large matrix a few at a time, whether numpy or a torch device holds it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "as_real", "empty_mask", "histogram", "row_chunks", "to_host"]

Array: TypeAlias = Any  # numpy.ndarray or torch.Tensor: both know +, abs, >, sum and slices

HOST_ENTRIES = 1 << 18  # handled together on the host: they stay in the cache
DEVICE_SHARE = 8  # on a device an eighth of the matrix at a time, since every launch costs


def row_chunks(weight: Array) -> Iterator[slice]:
    """Slices of the first axis; all of them together are the matrix, each small beside it.

    >>> [chunk.stop for chunk in row_chunks(np.zeros((3, 200_000)))]
    [1, 2, 3]
    """
    rows = weight.shape[0]
    width = max(int(np.prod(weight.shape[1:])), 1)
    entries = HOST_ENTRIES if isinstance(weight, np.ndarray) else max(HOST_ENTRIES, rows * width // DEVICE_SHARE)
    step = max(1, entries // width)
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def as_real(chunk: Array) -> Array:
    """A chunk in float32, or float64 where it is that: half types add up to nothing, integers do not divide.

    >>> as_real(np.ones(2, np.float16)).dtype
    dtype('float32')
    """
    if isinstance(chunk, np.ndarray):
        native = chunk if chunk.dtype.isnative else chunk.astype(chunk.dtype.newbyteorder("="))
        return native if native.dtype in (np.float32, np.float64) else native.astype(np.float32)
    return chunk if chunk.element_size() >= 4 and chunk.is_floating_point() else chunk.float()


def empty_mask(weight: Array, shape: tuple[int, ...] | None = None) -> Array:
    """A Boolean matrix that lies where the weight does, a quarter of its size in float32."""
    shape = tuple(weight.shape) if shape is None else shape
    if isinstance(weight, np.ndarray):
        return np.zeros(shape, bool)
    import torch

    return torch.zeros(shape, dtype=torch.bool, device=weight.device)


def histogram(values: Array, low: float, high: float, bins: int) -> npt.NDArray[np.int64]:
    """How many values of [low, high) fall into each of `bins` equal bins; NaN and all others fall into none.

    >>> histogram(np.array([0.0, 0.5, 0.9, 1.0, np.nan]), 0, 1, 2).tolist()
    [1, 2]
    """
    scale = bins / (high - low)
    at = (values - low) * scale
    at = at[(at >= 0) & (at < bins)]
    if isinstance(values, np.ndarray):
        return np.bincount(at.astype(np.int64), minlength=bins)
    import torch

    counts: npt.NDArray[np.int64] = torch.bincount(at.long(), minlength=bins).cpu().numpy()
    return counts


def to_host(mask: Array) -> npt.NDArray[Any]:
    """The same as a numpy array."""
    return mask if isinstance(mask, np.ndarray) else np.asarray(mask.cpu().numpy())
