"""Weight -> relation: which entries of a weight are edges.

Exactly, an entry is an edge unless it is +0.0 or -0.0; NaN and infinities are edges. A threshold makes it |w| > t.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.relation import CHUNK, WORD, Relation

__all__ = ["edges", "floor", "relate"]


def edges(weight: npt.NDArray[Any], threshold: float = 0.0) -> npt.NDArray[np.bool_]:
    """The Boolean matrix of edges, |w| > threshold, in the shape of `weight`; NaN is one at every threshold.

    >>> edges(np.array([[0.0, -0.0, np.nan, 2.0]])).tolist()
    [[False, False, True, True]]
    >>> edges(np.array([[0.0, -0.5, np.nan, 2.0]]), 0.5).tolist()
    [[False, False, True, True]]
    """
    if not weight.dtype.isnative:
        weight = weight.astype(weight.dtype.newbyteorder("="))
    if threshold > 0:
        wide = weight.astype(np.float64) if weight.dtype.kind in "iub" else weight  # the magnitude of -128 is no int8
        with np.errstate(invalid="ignore"):  # NaN is below nothing, which is meant
            below: npt.NDArray[np.bool_] = abs(wide) <= floor(threshold, wide.dtype)
        return ~below
    if weight.dtype.itemsize == 2 and weight.dtype.kind not in "iu":
        # Half types compare in software; their zeros are the two patterns without any bit below the sign.
        bits: npt.NDArray[np.bool_] = (weight.view(np.uint16) & 0x7FFF) != 0
        return bits
    relation: npt.NDArray[np.bool_] = weight != 0
    return relation


def floor(threshold: float, dtype: np.dtype[Any]) -> Any:
    """The largest number of a type that is not above a threshold: a number of that type exceeds both or neither."""
    if dtype.kind == "c":
        return threshold
    with np.errstate(over="ignore"):
        nearest = dtype.type(threshold)
    return np.nextafter(nearest, dtype.type(-np.inf)) if float(nearest) > threshold else nearest


def relate(weight: npt.NDArray[Any], threshold: float = 0.0) -> Relation:
    """The relation of a weight of shape (rows, columns), a cache-sized chunk at a time: one pass, 1 bit an entry.

    >>> relate(np.eye(3)).count
    3
    """
    rows, columns = weight.shape
    if weight.flags.f_contiguous and not weight.flags.c_contiguous:
        # Columns lie together: packed as they come, and turned when they are an eighth of the size.
        step = max(WORD, CHUNK // max(rows, 1) // WORD * WORD)
        parts = ((start, edges(weight[:, start : start + step].T, threshold)) for start in range(0, columns, step))
        return Relation.of_columns((rows, columns), parts)
    step = max(1, CHUNK // max(columns, 1))
    chunks = (edges(weight[start : start + step], threshold) for start in range(0, rows, step))
    return Relation.of_rows((rows, columns), chunks)
