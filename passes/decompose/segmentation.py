"""Groups of a cover as runs of an order: for a given order of the supports the best runs are found exactly.

Dynamic programming over where runs end, as in the optimal partition of a sequence (Bellman, On the Approximation of
Curves by Line Segments, 1961).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.findings.structure import Labels
from .cover_cost import CoverCost

__all__ = ["Run", "cheapest", "evenly", "unions"]

Run = tuple[int, int]  # from which place of the order up to which, the latter not included


def unions(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """How many inputs each run reads together: entry (i, j) of the run from i to j, both included; (m, m).

    words: (m, W) the inputs of each place, packed. What lies below the diagonal has no meaning.
    """
    m = len(words)
    found = np.zeros((m, m), np.int64)
    for i in range(m):
        union = np.bitwise_or.accumulate(words[i:], axis=0)
        found[i, i:] = np.bitwise_count(union).sum(axis=1, dtype=np.int64)
    return found


def cheapest(words: npt.NDArray[np.uint64], sizes: Labels, cost: CoverCost) -> tuple[list[Run], float]:
    """The runs of least total cost, and that; sizes: (m,) outputs of each place.

    >>> words = np.array([[1], [1], [2]], np.uint64)
    >>> cheapest(words, np.array([1, 1, 1]), CoverCost(read=1, write=0, launch=0))
    ([(0, 2), (2, 3)], 5.0)
    """
    costs = _costs(words, sizes, cost)
    m = len(sizes)
    best = np.zeros(m + 1)
    start = np.zeros(m + 1, np.int64)
    for end in range(1, m + 1):
        totals = best[:end] + costs[:end, end - 1]
        start[end] = int(totals.argmin())
        best[end] = totals[start[end]]
    runs, end = [], m
    while end:
        runs.append((int(start[end]), end))
        end = int(start[end])
    return runs[::-1], float(best[m])


def evenly(words: npt.NDArray[np.uint64], sizes: Labels, count: int) -> list[Run]:
    """The `count` runs with the fewest entries, inputs times outputs; count: at most as many as there are places."""
    area = _costs(words, sizes, CoverCost(mac=1, read=0, write=0, launch=0))
    best = area[0]
    cuts = []
    for _ in range(count - 1):
        total = best[:-1, None] + area[1:]  # the last run begins behind place i
        cut = total.argmin(axis=0)
        cuts.append(cut)
        best = total[cut, np.arange(len(sizes))]
    runs, stop = [], len(sizes)
    for cut in reversed(cuts):
        start = int(cut[stop - 1]) + 1
        runs.append((start, stop))
        stop = start
    return [(0, stop), *runs[::-1]]


def _costs(words: npt.NDArray[np.uint64], sizes: Labels, cost: CoverCost) -> npt.NDArray[Any]:
    """The cost of the run from i to j, infinite where j comes before i."""
    ends = np.cumsum(sizes)
    outputs = ends[None, :] - (ends - sizes)[:, None]
    costs = np.asarray(cost.of(unions(words), outputs), np.float64)
    costs[np.tril_indices(len(sizes), -1)] = np.inf
    return costs
