"""Replicas shared out among parts by how often each is called."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

__all__ = ["shared_out"]


def shared_out(calls: Sequence[float], total: int) -> list[int]:
    """How many of `total` replicas each part gets: one each, the others where most calls fall on one replica.

    That is the method of highest averages of Jefferson and D'Hondt, with one seat for everybody to begin with. Where
    nothing is called all get as many.

    >>> shared_out([6, 3, 2], 11), shared_out([100, 1, 0], 5), shared_out([0, 0], 4)
    ([6, 3, 2], [3, 1, 1], [2, 2])
    """
    found = [1] * len(calls)
    least = 1e-9 if any(calls) else 1.0
    fullest = [(-max(one, least) / 1, place) for place, one in enumerate(calls)]
    heapq.heapify(fullest)
    for _ in range(total - len(calls)):
        _, place = fullest[0]
        found[place] += 1
        heapq.heapreplace(fullest, (-max(calls[place], least) / found[place], place))
    return found
