"""An order of the outputs of a weight in which few inputs are read early: the layers of a hidden triangular form.

The rows and columns of one product may be permuted independently, so its layers need no shared states.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ....ir.findings.structure import Labels
from ....ir.relation import Relation

__all__ = ["eliminate"]

NEVER = np.int32(1 << 30)


def eliminate(relation: Relation, worth: float = 0.0) -> Labels | None:
    """The layer of every output of a relation (K, N), -1 for dormant ones; (N,).

    Each step opens the output that reads the fewest inputs not read so far, and its layer is all outputs that read
    nothing else by then. A triangular matrix, whatever the order of its rows and columns, opens one input a step; in
    an autoregressive mask a step opens one degree. None as soon as reading only the inputs opened so far can no
    longer save the share `worth` of the entries. Greedy; O(K N) time.

    >>> from ...connectivity.edges import relate
    >>> hidden = np.tril(np.ones((4, 4)))[[2, 0, 3, 1]]  # input k is read by outputs 0..p(k)
    >>> eliminate(relate(hidden)).tolist()
    [3, 2, 1, 0]
    """
    K, N = relation.shape
    uses: npt.NDArray[np.uint8] = relation.dense().view(np.uint8)
    missing = uses.sum(0, dtype=np.int32)
    layer = np.full(N, -1, np.int64)
    missing[missing == 0] = NEVER
    covered = np.zeros(K, bool)
    closed, left = K, int((missing < NEVER).sum())
    saved = depth = 0
    while left:
        if saved + left * closed < worth * K * N:
            return None
        opened = np.flatnonzero(uses[:, int(missing.argmin())].view(bool) & ~covered)
        covered[opened] = True
        closed -= opened.size
        missing -= uses[opened].sum(0, dtype=np.int32) if opened.size > 1 else uses[opened[0]]
        done = np.flatnonzero(missing == 0)
        missing[done] = NEVER
        layer[done] = depth
        saved += done.size * closed
        left -= done.size
        depth += 1
    return layer
