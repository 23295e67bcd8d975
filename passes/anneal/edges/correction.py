"""Many tests at once: the level for a single edge that keeps the level of the whole matrix.

A weight of 4096x4096 makes 1.7e7 tests. Bonferroni bounds the chance of a single false edge; Benjamini and Hochberg
bound the share of false edges among those kept, which lets through hundreds, and one is enough to glue two blocks.
"""

from __future__ import annotations

from collections.abc import Callable

from .methods import CORRECTIONS, Correction

__all__ = ["Correction", "corrected"]


def corrected(level: float, tests: int, correction: Correction, at_most: Callable[[float], int] | None = None) -> float:
    """The p-value below which a single edge is kept.

    level: alpha of the whole matrix, 0 < alpha < 1; tests: how many there are; at_most(p): how many p-values are at
    most p, which Benjamini-Hochberg needs: its largest k with p_(k) <= k alpha / m is found as the largest fixed point
    of k -> at_most(k alpha / m), from above, a pass over the matrix each time. Source: Benjamini and Hochberg,
    Controlling the False Discovery Rate, 1995. Raises ValueError for a level that is none, or an unknown correction.

    >>> corrected(0.05, 1000, "bonferroni")
    5e-05
    >>> ps = [0.001, 0.012, 0.2, 0.9]
    >>> corrected(0.05, 4, "benjamini-hochberg", lambda p: sum(one <= p for one in ps))
    0.025
    """
    if not 0 < level < 1:
        raise ValueError(f"a level lies between 0 and 1, not at {level}")
    if correction == "none":
        return level
    if correction == "bonferroni":
        return level / max(tests, 1)
    if correction != "benjamini-hochberg":
        raise ValueError(f"unknown correction {correction!r}; use one of {', '.join(CORRECTIONS)}")
    if at_most is None:
        raise ValueError("benjamini-hochberg needs to count p-values")
    count = tests
    while count:
        found = at_most(level * count / tests)
        if found >= count:
            break
        count = found
    return level * count / max(tests, 1)
