"""Percolation of a weight: how far its edges are from falling apart, and where the giant component goes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .chunked import as_real

__all__ = ["HalfGiant", "distance", "half_giant"]

Array = npt.NDArray[Any]
Indices: TypeAlias = "npt.NDArray[np.int64]"


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfGiant:
    """The weight where its largest component first holds fewer than half of the features.

    threshold: of |w|, in the units of the weight; what is larger is kept; kept: its share of the non-zero entries;
    giant: share of the K + N features in the largest component there; components: how many there are, features without
    an edge not among them.
    """

    threshold: float
    kept: float
    giant: float
    components: int


def half_giant(weight: Array) -> HalfGiant:
    """The smallest threshold t so that the entries |w| > t of a weight (K, N) leave no component of half the features.

    Exact: edges are added from the largest on, and t is the size of the first with which a component holds half of the
    K + N features; 0 where the whole weight has no such component. NaN counts as infinite. Only as many of the largest
    entries are sorted as are needed, some multiples of K + N.

    >>> found = half_giant(np.array([[9.0, 1.0, 0.0], [0.0, 8.0, 2.0], [0.5, 0.0, 7.0]]))
    >>> found.threshold, found.components, round(found.giant, 2), found.kept
    (2.0, 3, 0.33, 0.5)
    """
    size = np.abs(as_real(weight)).ravel()
    size[np.isnan(size)] = np.inf
    nonzeros = int(np.count_nonzero(size))
    if not nonzeros:
        return HalfGiant(threshold=0.0, kept=1.0, giant=0.0, components=0)
    count = min(sum(weight.shape), nonzeros)
    while True:
        order = _largest(size, count)
        if _largest_component(weight.shape, order)[0] >= 0.5:
            break
        if count == nonzeros:
            giant, components = _largest_component(weight.shape, order)
            return HalfGiant(threshold=0.0, kept=1.0, giant=giant, components=components)
        count = min(2 * count, nonzeros)
    without, with_ = 0, count  # that many edges leave no giant, or do
    while with_ - without > 1:
        middle = (without + with_) // 2
        if _largest_component(weight.shape, order[:middle])[0] >= 0.5:
            with_ = middle
        else:
            without = middle
    threshold = float(size[order[without]])
    left = order[:without][size[order[:without]] > threshold]  # equal ones go together
    giant, components = _largest_component(weight.shape, left)
    return HalfGiant(threshold=threshold, kept=left.size / nonzeros, giant=giant, components=components)


def _largest(size: Array, count: int) -> Indices:
    """Where the `count` largest values are, the largest first."""
    top = np.argpartition(size, size.size - count)[size.size - count :] if count < size.size else np.arange(size.size)
    return top[np.argsort(-size[top], kind="stable")]


def _largest_component(shape: tuple[int, ...], edges: Indices) -> tuple[float, int]:
    """(Share of all features in the largest component, number of components) of edges given by flat indices."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if not edges.size:
        return 0.0, 0
    K, N = shape
    rows, columns = np.divmod(edges, N)
    graph = coo_array((np.ones(edges.size, np.int8), (rows, columns + K)), shape=(K + N, K + N))
    members = np.bincount(connected_components(graph, directed=False)[1])
    return float(members.max()) / (K + N), int(np.count_nonzero(members > 1))


def distance(nonzeros: int, K: int, N: int) -> float:
    """Density times sqrt(K N): how many times denser a weight is than where a random one falls apart.

    At 1 the mean degrees of inputs and outputs multiply to 1, where the giant component of a random bipartite graph
    begins. Source: Newman, Strogatz and Watts, Random graphs with arbitrary degree distributions, 2001.

    >>> distance(384 * 384, 384, 384)
    384.0
    """
    return nonzeros / math.sqrt(K * N) if K and N else 0.0
