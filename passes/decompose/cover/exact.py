"""The cover at least cost by trying every subset of the supports: for few of them only."""

from __future__ import annotations

import numpy as np

from ....ir.findings.structure import Labels
from ..cover_cost import CoverCost
from .row_patterns import Supports

__all__ = ["FEW", "exactly"]

FEW = 12  # supports: 3**12 pairs of a subset and a part of it


def exactly(found: Supports, cost: CoverCost) -> list[Labels]:
    """The groups of supports at least cost, each sorted, in the order of their first supports.

    Outputs of equal support belong together at no loss, so that supports stand for them. Every subset takes the
    group of its first member that leaves least; O(3**m). Raises ValueError for more than twelve supports.

    >>> from ...connectivity.edges import relate
    >>> from .row_patterns import supports
    >>> few = supports(relate(np.array([[1, 0, 1], [0, 1, 0]])))
    >>> [one.tolist() for one in exactly(few, CoverCost(read=0, write=0, launch=1))]
    [[0], [1]]
    >>> [one.tolist() for one in exactly(few, CoverCost(read=0, write=0, launch=9))]
    [[0, 1]]
    """
    m = len(found.members)
    if m > FEW:
        raise ValueError(f"{m} supports are too many to try every subset; at most {FEW}")
    if not m:
        return []
    words = np.zeros((1 << m, found.words.shape[1]), np.uint64)
    sizes = np.zeros(1 << m, np.int64)
    for place in range(m):  # what a subset reads together, from the same without its last member
        bit = 1 << place
        words[bit : 2 * bit] = words[:bit] | found.words[place]
        sizes[bit : 2 * bit] = sizes[:bit] + found.sizes[place]
    costs = np.asarray(cost.of(np.bitwise_count(words).sum(axis=1, dtype=np.int64), sizes), np.float64)
    best, group = np.zeros(1 << m), np.zeros(1 << m, np.int64)
    for subset in range(1, 1 << m):
        first = subset & -subset
        inner = _subsets(subset ^ first)
        totals = costs[inner | first] + best[subset ^ first ^ inner]
        at = int(totals.argmin())
        best[subset], group[subset] = totals[at], inner[at] | first
    groups, left = [], (1 << m) - 1
    while left:
        own = int(group[left])
        groups.append(np.array([place for place in range(m) if own >> place & 1], np.int64))
        left ^= own
    return groups


def _subsets(whole: int) -> Labels:
    """Every subset of a set of bits, itself and the empty one among them."""
    found = np.zeros(1, np.int64)
    for place in range(FEW):
        if whole >> place & 1:
            found = np.concatenate([found, found | 1 << place])
    return found
