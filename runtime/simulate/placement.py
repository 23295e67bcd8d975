"""On how many machines each part lies, and on which: as many as its share of the load, the fullest of them last.

The longest are placed first, each on the machines that have least to do (LPT: R. L. Graham, Bounds on multiprocessing
timing anomalies, 1969).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["placed", "replicas_for"]


def replicas_for(load: npt.NDArray[np.float64], machines: int) -> list[int]:
    """On how many of so many machines each part is to lie: by its share of `load`, at least one, at most all.

    >>> replicas_for(np.array([6.0, 3.0, 1.0, 0.0]), 10)
    [6, 3, 1, 1]
    """
    total = float(load.sum()) or 1.0
    return [min(max(round(machines * float(one) / total), 1), machines) for one in load]


def placed(load: npt.NDArray[np.float64], replicas: Sequence[int], machines: int) -> list[tuple[int, ...]]:
    """The machines that each part lies on: `replicas` of it on as many machines, which share its load.

    >>> placed(np.array([6.0, 3.0, 1.0]), [2, 1, 1], 3)
    [(0, 1), (2,), (0,)]
    """
    filled = [(0.0, machine) for machine in range(machines)]
    found: list[tuple[int, ...]] = [()] * len(replicas)
    for part in sorted(range(len(replicas)), key=lambda one: (-float(load[one]) / replicas[one], one)):
        taken = [heapq.heappop(filled) for _ in range(replicas[part])]
        each = float(load[part]) / replicas[part]
        for busy, machine in taken:
            heapq.heappush(filled, (busy + each, machine))
        found[part] = tuple(sorted(machine for _, machine in taken))
    return found
