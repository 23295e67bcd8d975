"""Co-clustering of the units of several axes at once into groups of equal size: what weights keep within groups.

Weights in a chain share axes, and a group is the units of all axes that have its label, so that the results of a
group's block are what its block in the next weight reads:

    axes   x (6)        h (6)        y (6)            kept: energy[k, n] where label[k] = label[n]
           a a b b      a a b b      a a b b
              └── W1 ────┘  └── W2 ───┘               of each weight the share of its energy, added up

Finding the best labels is a quadratic assignment, so this climbs: one axis at a time, two units of different groups
change places while more is kept. It starts from the leading singular vectors of the energies, and from labels drawn at
random. Source of the start: Dhillon, Co-clustering documents and words using bipartite spectral graph partitioning,
2001; of changing places: Kernighan and Lin, An efficient heuristic procedure for partitioning graphs, 1970.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.plan.decomposition import Indices
from .spectral_start import kmeans

__all__ = ["AxisGroups", "Tie", "equal_groups", "kept_share"]

Float64: TypeAlias = "npt.NDArray[np.float64]"

POWER, SPARE = 40, 8  # iterations that separate the eigenvectors, and more of them than are wanted
ROUNDS = 50  # over all axes; it settles after a few
STARTS = 3  # from labels drawn at random
LEAST = 1e-12  # of what is kept by which it must become more


@dataclass(frozen=True, slots=True, eq=False)
class Tie:
    """A weight between two different axes, by their places: energy (K, N), none below 0, of its entries."""

    source: int
    target: int
    energy: Float64


@dataclass(frozen=True, slots=True, eq=False)
class AxisGroups:
    """labels: of the units of each axis, 0 to count - 1; kept: the share of its energy that each weight keeps."""

    count: int
    labels: tuple[Indices, ...]
    kept: tuple[float, ...]


def equal_groups(sizes: Sequence[int], ties: Sequence[Tie], count: int, rng: np.random.Generator) -> AxisGroups:
    """The groups within which the weights keep the largest shares of their energies, added up, as far as it is found.

    sizes: units of each axis, `count` at the least; groups of an axis differ by one unit at most. No two units of one
    axis could change places to keep more. Deterministic given `rng`. Memory: one more copy of the energies.

    >>> energy = np.kron(np.eye(2), np.ones((2, 3)))[:, [0, 3, 1, 4, 2, 5]]
    >>> found = equal_groups([4, 6], [Tie(0, 1, energy)], 2, np.random.default_rng(0))
    >>> found.kept, len(set(found.labels[1][[0, 2, 4]]))
    ((1.0,), 1)
    """
    shares = [Tie(one.source, one.target, one.energy / max(float(one.energy.sum()), 1e-300)) for one in ties]
    starts = [_spectral(sizes, shares, count, rng)]
    starts += [[rng.permutation(_even(size, count)) for size in sizes] for _ in range(STARTS)]
    best, most = starts[0], -1.0
    for start in starts:
        labels = _climbed(start, shares, count)
        kept = sum(kept_share(one, labels) for one in shares)
        if kept > most * (1 + LEAST):
            best, most = labels, kept
    return AxisGroups(count, tuple(best), tuple(kept_share(one, best) for one in shares))


def kept_share(tie: Tie, labels: Sequence[Indices]) -> float:
    """The share of a weight's energy that lies between units of the same group; 0 where it has none."""
    same = labels[tie.source][:, None] == labels[tie.target][None, :]
    return float(tie.energy[same].sum() / max(float(tie.energy.sum()), 1e-300))


def _even(size: int, count: int) -> Indices:
    """Labels of groups one behind the other, whose sizes differ by one at most."""
    return np.arange(size, dtype=np.int64) * count // size


def _climbed(start: Sequence[Indices], ties: Sequence[Tie], count: int) -> list[Indices]:
    labels = [one.copy() for one in start]
    for _ in range(ROUNDS):
        changed = False
        for axis in range(len(labels)):
            changed |= _exchange(labels[axis], _gains(axis, labels, ties, count))
        if not changed:
            break
    return labels


def _gains(axis: int, labels: Sequence[Indices], ties: Sequence[Tie], count: int) -> Float64:
    """(units, count): what is kept of the energy of each unit of an axis in each group, given all other axes."""
    found = np.zeros((labels[axis].size, count))
    for one in ties:
        if one.source == axis:
            found += one.energy @ _members(labels[one.target], count)
        elif one.target == axis:
            found += one.energy.T @ _members(labels[one.source], count)
    return found


def _members(labels: Indices, count: int) -> Float64:
    found: Float64 = (labels[:, None] == np.arange(count)).astype(np.float64)
    return found


def _exchange(labels: Indices, gains: Float64) -> bool:
    """Let units of two groups change places, in place, while that gains; whether any did.

    What a unit keeps depends on its own group alone, so of two groups those that gain most change places at once.
    """
    least = LEAST * max(float(np.abs(gains).max(initial=0)), 1e-300)
    count, any_, again = gains.shape[1], False, True
    while again:
        again = False
        for a in range(count):
            for b in range(a + 1, count):
                own, other = np.flatnonzero(labels == a), np.flatnonzero(labels == b)
                first = gains[own, b] - gains[own, a]
                second = gains[other, a] - gains[other, b]
                own, other = own[np.argsort(-first, kind="stable")], other[np.argsort(-second, kind="stable")]
                pairs = min(own.size, other.size)
                worth = np.sort(first)[::-1][:pairs] + np.sort(second)[::-1][:pairs] > least
                moved = int(worth.sum())  # sums fall, so those that gain come first
                labels[own[:moved]], labels[other[:moved]] = b, a
                again |= moved > 0
        any_ |= again
    return any_


def _spectral(sizes: Sequence[int], ties: Sequence[Tie], count: int, rng: np.random.Generator) -> list[Indices]:
    """Labels of equal groups near the clusters of the leading eigenvectors of the normalised energies of all axes."""
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    places = [slice(first, last) for first, last in pairwise(offsets.tolist())]
    degrees = np.zeros(offsets[-1])
    for one in ties:
        degrees[places[one.source]] += one.energy.sum(1)
        degrees[places[one.target]] += one.energy.sum(0)
    scale = np.divide(1, np.sqrt(degrees), out=np.zeros_like(degrees), where=degrees > 0)[:, None]

    def raised(x: Float64) -> Float64:
        """The normalised energies and the identity, whose eigenvalues lie between 0 and 2, times x."""
        scaled, made = scale * x, np.zeros_like(x)
        for one in ties:
            made[places[one.source]] += one.energy @ scaled[places[one.target]]
            made[places[one.target]] += one.energy.T @ scaled[places[one.source]]
        found: Float64 = scale * made + x
        return found

    total = int(offsets[-1])
    basis = rng.standard_normal((total, min(count + SPARE, total)))
    for _ in range(POWER):
        basis = np.linalg.qr(raised(basis))[0]
    _, turned = np.linalg.eigh(basis.T @ raised(basis))
    points = basis @ turned[:, ::-1][:, :count]
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-300)
    clusters = kmeans(points, count, rng)
    centres = np.stack([points[clusters == g].mean(0) if (clusters == g).any() else points[0] for g in range(count)])
    found = []
    for place, size in zip(places, sizes, strict=True):
        labels = _even(size, count)
        _exchange(labels, points[place] @ centres.T)
        found.append(labels)
    return found
