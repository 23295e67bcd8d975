"""A relation as scipy's sparse matrix."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array

from ...ir.relation import Relation

__all__ = ["sparse"]


def sparse(relation: Relation) -> csr_array:
    """The edges of a relation as a compressed sparse matrix of ones, in the relation's shape.

    >>> from .edges import relate
    >>> sparse(relate(np.array([[0, 2], [0, 0]]))).toarray().tolist()
    [[0, 1], [0, 0]]
    """
    rows, columns = relation.shape
    starts = np.zeros(rows + 1, np.int64)
    found = np.empty(relation.count, np.int32)
    filled = 0
    for start, chunk in relation.chunks():
        row, column = np.divmod(np.flatnonzero(chunk), columns)
        starts[start + 1 : start + 1 + len(chunk)] = np.bincount(row, minlength=len(chunk))
        found[filled : filled + column.size] = column
        filled += column.size
    return csr_array((np.ones(relation.count, np.int8), found, np.cumsum(starts)), shape=(rows, columns))
