"""Weight -> relation: which entries of a weight are edges.

Exact structure only: an entry is an edge unless it is +0.0 or -0.0; NaN and infinities are edges.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.relation import CHUNK, WORD, Relation

__all__ = ["edges", "relate"]


def edges(weight: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """The Boolean matrix of edges, in the shape of `weight`.

    >>> edges(np.array([[0.0, -0.0, np.nan, 2.0]])).tolist()
    [[False, False, True, True]]
    """
    if weight.dtype.itemsize == 2 and weight.dtype.kind not in "iu":
        # Half types compare in software; their zeros are the two patterns without any bit below the sign.
        bits: npt.NDArray[np.bool_] = (weight.view(np.uint16) & 0x7FFF) != 0
        return bits
    relation: npt.NDArray[np.bool_] = weight != 0
    return relation


def relate(weight: npt.NDArray[Any]) -> Relation:
    """The relation of a weight of shape (rows, columns), a cache-sized chunk at a time: one pass, 1 bit an entry.

    >>> relate(np.eye(3)).count
    3
    """
    rows, columns = weight.shape
    if weight.flags.f_contiguous and not weight.flags.c_contiguous:
        # Columns lie together: packed as they come, and turned when they are an eighth of the size.
        step = max(WORD, CHUNK // max(rows, 1) // WORD * WORD)
        parts = ((start, edges(weight[:, start : start + step].T)) for start in range(0, columns, step))
        return Relation.of_columns((rows, columns), parts)
    step = max(1, CHUNK // max(columns, 1))
    chunks = (edges(weight[start : start + step]) for start in range(0, rows, step))
    return Relation.of_rows((rows, columns), chunks)
