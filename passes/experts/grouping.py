"""Hidden units that are active together, in groups of one size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["balanced_groups", "coactivation"]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

DIRECTIONS = 48  # of correlation between units that are told apart
ROUNDS = 30  # of assignment; it settles after a few
STARTS = 3  # of which the tightest groups are taken
RARE = 1e-4  # variance of a unit below which its correlation with others says nothing


def coactivation(active: npt.NDArray[np.bool_], directions: int = DIRECTIONS) -> Float64:
    """Points (H, directions) whose inner products are nearest to the correlations of units' activity (M, H).

    Source: principal components of the correlation matrix; units active together are experts by Zhang et al.,
    MoEfication, 2022.
    """
    active_share = active.mean(axis=0, dtype=np.float64)
    spread = np.sqrt(np.maximum(active_share * (1 - active_share), RARE))
    seen = active.astype(np.float32)
    both = (seen.T @ seen).astype(np.float64) / len(active)
    correlation = (both - np.outer(active_share, active_share)) / spread / spread[:, None]
    values, vectors = np.linalg.eigh(correlation)
    points: Float64 = vectors[:, -directions:] * np.sqrt(np.maximum(values[-directions:], 0))
    return points


def balanced_groups(points: Float64, count: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Points (n, F) in `count` groups of n / count, each sorted, (count, n / count), nearest to the means of their own.

    Balanced k-means: points take places in turn, those first that lose most by the second nearest group. Raises
    ValueError where `count` does not divide n. Source: Bradley, Bennett and Demiriz, Constrained k-means clustering,
    2000, with a greedy assignment.

    >>> points = np.array([[0.0], [9.0], [0.1], [9.1]])
    >>> sorted(balanced_groups(points, 2, np.random.default_rng(0)).tolist())
    [[0, 2], [1, 3]]
    """
    n = len(points)
    if count < 1 or n % count:
        raise ValueError(f"{n} units cannot be in {count} groups of one size")
    best: tuple[float, Array] | None = None
    for _ in range(STARTS):
        labels = _settled(points, _spread_out(points, count, rng))
        means = _means(points, labels, count)
        loss = float(((points - means[labels]) ** 2).sum())
        if best is None or loss < best[0]:
            best = loss, labels
    assert best is not None
    return np.argsort(best[1], kind="stable").reshape(count, n // count)


def _spread_out(points: Float64, count: int, rng: np.random.Generator) -> Float64:
    """Points far from one another to begin with: each drawn by its squared distance from the nearest before it."""
    chosen = [int(rng.integers(len(points)))]
    nearest = ((points - points[chosen[0]]) ** 2).sum(1)
    while len(chosen) < count:
        total = nearest.sum()
        chosen.append(int(rng.choice(len(points), p=nearest / total) if total > 0 else rng.integers(len(points))))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(1))
    return points[chosen]


def _settled(points: Float64, means: Float64) -> Array:
    labels = np.zeros(0, np.int64)
    for _ in range(ROUNDS):
        found = _assigned(points, means)
        if np.array_equal(found, labels):
            break
        labels, means = found, _means(points, found, len(means))
    return labels


def _assigned(points: Float64, means: Float64) -> Array:
    """The group of each point: in turn, those first that would lose most; a full group sends the others on."""
    distance = ((means**2).sum(1) - 2 * points @ means.T).astype(np.float64)
    n, count = distance.shape
    room = np.full(count, n // count)
    labels = np.full(n, -1)
    while (left := np.flatnonzero(labels < 0)).size:
        open_ = np.where(room > 0, distance[left], np.inf)
        nearest = open_.argmin(1)
        best = open_[np.arange(left.size), nearest]
        open_[np.arange(left.size), nearest] = np.inf
        second = open_.min(1)
        regret = np.where(np.isfinite(second), second - best, 0.0)
        for group in range(count):
            own = np.flatnonzero(nearest == group)
            taken = own[np.argsort(-regret[own], kind="stable")[: room[group]]]
            labels[left[taken]] = group
            room[group] -= taken.size
    return labels


def _means(points: Float64, labels: Array, count: int) -> Float64:
    sums = np.zeros((count, points.shape[1]))
    np.add.at(sums, labels, points)
    return sums * (count / len(points))
