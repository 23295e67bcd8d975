"""How far the weights of one operator went between two checkpoints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.findings.difference import Drift

__all__ = ["drift"]

CHUNK = 1 << 15  # entries at a time, so that differences stay in the cache and single precision adds up few of them


def drift(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> Drift:
    """The drift between two arrays of one shape; numbers other than of `share` are None where they are not finite.

    Entries that are NaN in both are the same. In single precision as long as nothing overflows, in double after that.

    >>> drift(np.float32([3, 4]), np.float32([3, 5]))
    Drift(relative=0.2, max_abs=1.0, share=0.5)
    """
    if before.dtype.kind not in "fiuV" or not before.size:
        return Drift(relative=None, max_abs=None, share=float(np.mean(before != after)) if before.size else 0.0)
    half = before.dtype.itemsize < 4 and before.dtype.kind != "i" and before.dtype.kind != "u"
    narrow = np.float32 if half or before.dtype == np.float32 else np.float64
    square, norm, largest, changed = _sums(before.reshape(-1), after.reshape(-1), narrow)
    if narrow is np.float32 and not math.isfinite(square + norm):
        square, norm, largest, changed = _sums(before.reshape(-1), after.reshape(-1), np.float64)
    relative = math.sqrt(square / norm) if norm else math.inf if square else 0.0
    return Drift(
        relative=relative if math.isfinite(relative) else None,
        max_abs=largest if math.isfinite(largest) and not math.isnan(square) else None,
        share=changed / before.size,
    )


def _sums(a: npt.NDArray[Any], b: npt.NDArray[Any], kind: type[np.floating[Any]]) -> tuple[float, float, float, int]:
    """Squares of the difference and of `a`, the largest difference, and how many entries differ."""
    square = norm = largest = 0.0
    changed = 0
    with np.errstate(invalid="ignore", over="ignore"):
        for at in range(0, a.size, CHUNK):
            one, other = (x[at : at + CHUNK].astype(kind, copy=False) for x in (a, b))
            gap = other - one
            changed += int(np.count_nonzero(gap))
            square += float(np.dot(gap, gap))
            norm += float(np.dot(one, one))
            largest = max(largest, float(gap.max()), -float(gap.min()))
            if math.isnan(square):
                changed -= int(np.count_nonzero(np.isnan(gap) & ((one == other) | (np.isnan(one) & np.isnan(other)))))
    return square, norm, largest, changed
