"""Parts put together to fewer that run as one: equal loads, and those that are activated together in one of them.

A group is called where any of its members is on, and then computes all of them; so it trades calls, of which each costs
something, against members that rest. Loads are packed by the longest first (LPT: Graham, Bounds on multiprocessing
timing anomalies, 1969), which is within a third of the best; among the groups that stay within that, a part goes where
it is activated together with most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["grouped"]

MORE = 1.1  # times the heaviest load of the plain packing, which keeping parts together may cost
Pairs = Mapping[tuple[int, int], int]


def grouped(loads: Sequence[float], count: int, together: Pairs | None = None) -> list[list[int]]:
    """So many groups of places, or fewer where there are fewer, none of them empty, in the order of their first place.

    loads: of each part; together: how often two parts are activated by the same row, by their places, the smaller one
    first.

    >>> grouped([5, 4, 3, 3, 3], 2), grouped([1, 1, 1, 1], 2, {(0, 3): 9, (1, 2): 9})
    ([[0, 3], [1, 2, 4]], [[0, 3], [1, 2]])
    """
    plain = _packed(loads, count, {}, 0.0)
    most = _heaviest(loads, plain)
    near = _packed(loads, count, together or {}, most) if together else plain
    chosen = near if _heaviest(loads, near) <= MORE * most else plain
    return sorted((sorted(group) for group in chosen if group), key=lambda group: group[0])


def _packed(loads: Sequence[float], count: int, together: Pairs, limit: float) -> list[list[int]]:
    """The longest first, each to the group that it is activated with most, or the lightest, of those that it fits."""
    groups: list[list[int]] = [[] for _ in range(min(count, len(loads)))]
    weights = [0.0] * len(groups)
    order = sorted(range(len(loads)), key=lambda at: (-loads[at], at))
    for left, at in zip(range(len(order), 0, -1), order, strict=True):
        empty = [index for index, group in enumerate(groups) if not group]
        fits = [index for index in range(len(groups)) if weights[index] + loads[at] <= limit]
        open_ = empty if len(empty) >= left else fits or list(range(len(groups)))
        shared = {
            index: sum(together.get((min(at, other), max(at, other)), 0) for other in groups[index]) for index in open_
        }
        chosen = min(open_, key=lambda index: (-shared[index], weights[index], len(groups[index]), index))
        groups[chosen].append(at)
        weights[chosen] += loads[at]
    return groups


def _heaviest(loads: Sequence[float], groups: Sequence[Sequence[int]]) -> float:
    return max(sum(loads[at] for at in group) for group in groups)
