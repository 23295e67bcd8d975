"""How far the weights of one operator went between two checkpoints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.difference import Drift

__all__ = ["drift"]

CHUNK = 1 << 18  # entries at a time, so that differences stay in the cache


def drift(before: npt.NDArray[Any], after: npt.NDArray[Any]) -> Drift:
    """The drift between two arrays of one shape; numbers other than of `share` are None where they are not finite.

    Differences are taken in double precision, entries that are NaN in both are the same.

    >>> drift(np.float32([3, 4]), np.float32([3, 5]))
    Drift(relative=0.2, max_abs=1.0, share=0.5)
    """
    if before.dtype.kind not in "fiubV" or before.dtype.kind == "b":
        return Drift(relative=None, max_abs=None, share=float(np.mean(before != after)) if before.size else 0.0)
    square = norm = largest = 0.0
    changed = 0
    a, b = before.reshape(-1), after.reshape(-1)
    wide = np.float64 if before.dtype.itemsize >= 4 else np.float32
    for at in range(0, a.size, CHUNK):
        with np.errstate(invalid="ignore", over="ignore"):
            one, other = (np.asarray(x[at : at + CHUNK]).astype(wide) for x in (a, b))
            gap = other - one
            changed += int(np.count_nonzero(gap)) - int(np.count_nonzero(np.isnan(one) & np.isnan(other)))
            square += float(np.dot(gap, gap))
            norm += float(np.dot(one, one))
            largest = max(largest, float(np.abs(gap, out=gap).max()))
    relative = math.sqrt(square / norm) if norm else math.inf if square else 0.0
    return Drift(
        relative=relative if math.isfinite(relative) else None,
        max_abs=largest if math.isfinite(largest) and not math.isnan(square) else None,
        share=changed / a.size if a.size else 0.0,
    )
