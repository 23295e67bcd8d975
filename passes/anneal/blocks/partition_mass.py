"""How much of a weight equal blocks could hold at best, and how much of that a search finds in mere noise."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...connectivity.chunked import as_real

__all__ = ["LARGEST", "kept_mass", "masses", "shuffled_mass"]

Array = npt.NDArray[Any]
Float32: TypeAlias = "npt.NDArray[np.float32]"
Labels: TypeAlias = "npt.NDArray[np.int64]"

SPECTRAL = 3  # starts from singular vectors
RANDOM = 2  # starts from nothing
ROUNDS = 10  # of the alternation, which mostly settles before
POWER = 4  # iterations that bring out the leading singular vectors
SHUFFLES = 3
TINY = 1e-30  # so that equal energies, which have no singular vectors, divide by something
LARGEST = 1 << 22  # entries that `masses` searches


def kept_mass(energy: Array, blocks: int = 2, seed: int = 0) -> float:
    """Share of the mass of a matrix (K, N) inside the best partition found into equal blocks, 0 to 1.

    energy: non-negative and finite, such as squared weights; rows and columns are free, each block has as many of
    either as the others, up to one. The search alternates: rows go to the blocks where they have the most mass, then
    columns do, in the best way that keeps the sizes (for two blocks; for more, best for each pair of blocks), from a
    few starts. A search finds structure in any noise, so the share means nothing without that of `shuffled_mass`; and
    features that are stronger than others raise it without any blocks. 1 where there is no mass. Raises ValueError
    when there are fewer rows or columns than blocks, or an entry is negative or not finite.

    >>> kept_mass(np.kron(np.eye(2), np.ones((3, 3)))[:, ::-1])
    1.0
    """
    if not 1 <= blocks <= min(energy.shape):
        raise ValueError(f"a matrix of shape {energy.shape} has no {blocks} equal blocks")
    if not (np.isfinite(energy).all() and energy.min() >= 0):
        raise ValueError("energies are finite and not negative")
    top = float(energy.max())
    if blocks == 1 or not top:
        return 1.0
    return _search((energy / top).astype(np.float32), blocks, np.random.default_rng(seed))


def shuffled_mass(energy: Array, blocks: int = 2, seed: int = 0, shuffles: int = SHUFFLES) -> float:
    """What `kept_mass` finds in the same entries in random places: the mean over a few shuffles.

    >>> rng = np.random.default_rng(0)
    >>> noise = rng.normal(size=(64, 64)) ** 2
    >>> abs(kept_mass(noise) - shuffled_mass(noise)) < 0.02
    True
    """
    rng = np.random.default_rng([seed, 1])
    found = [kept_mass(rng.permutation(energy.ravel()).reshape(energy.shape), blocks, seed) for _ in range(shuffles)]
    return float(np.mean(found))


def masses(weight: Array, seed: int = 0, largest: int = LARGEST) -> tuple[float, float] | None:
    """(`kept_mass`, `shuffled_mass`) of the squared weight for two blocks; None where that has no meaning.

    It has none when a side has fewer than two features, an entry is not finite, or all are zero. Of a weight with more
    than `largest` entries a random part of its rows and columns is taken, of the same proportions.
    """
    K, N = weight.shape
    if min(K, N) < 2:
        return None
    if weight.size > largest:
        rng, share = np.random.default_rng([seed, 2]), math.sqrt(largest / weight.size)
        rows, columns = (np.sort(rng.choice(side, max(int(side * share), 2), replace=False)) for side in (K, N))
        weight = weight[np.ix_(rows, columns)]
    size = np.abs(as_real(weight))
    top = size.max()
    if not (np.isfinite(top) and top):
        return None
    energy = (size / top) ** 2
    return kept_mass(energy, 2, seed), shuffled_mass(energy, 2, seed)


def _search(energy: Float32, blocks: int, rng: np.random.Generator) -> float:
    """All starts at once, so that every round is two products of matrices."""
    columns = list(_starts(energy, blocks, rng))
    rows = [_equal(energy.shape[0], blocks) for _ in columns]
    for _ in range(ROUNDS):
        rows, moved = _alternate(energy, rows, columns, blocks)
        columns, also = _alternate(energy.T, columns, rows, blocks)
        if not moved and not also:
            break
    total = float(energy.sum(dtype=np.float64))
    sums = energy @ _indicators(columns, blocks)
    inside = [
        float(sums[np.arange(one.size), start * blocks + one].sum(dtype=np.float64)) for start, one in enumerate(rows)
    ]
    return min(max(inside) / total, 1.0)


def _alternate(energy: Float32, labels: list[Labels], others: list[Labels], blocks: int) -> tuple[list[Labels], bool]:
    """The labels of rows that suit those of the columns best, for every start; whether any changed."""
    sums = energy @ _indicators(others, blocks)
    found = [_assign(sums[:, start * blocks : (start + 1) * blocks], one, blocks) for start, one in enumerate(labels)]
    return found, any(not np.array_equal(now, then) for now, then in zip(found, labels, strict=True))


def _assign(scores: Array, labels: Labels, blocks: int) -> Labels:
    """Labels of the same sizes with a higher sum of scores: each pair of blocks shares out its features anew."""
    found = labels.copy()
    for one, other in combinations(range(blocks), 2):
        members = np.flatnonzero((found == one) | (found == other))
        size = int(np.count_nonzero(found[members] == one))
        order = np.argsort(scores[members, other] - scores[members, one], kind="stable")
        found[members] = other
        found[members[order[:size]]] = one
    return found


def _starts(energy: Float32, blocks: int, rng: np.random.Generator) -> Iterator[Labels]:
    """Equal labels of the columns, from more and more of the leading singular vectors, then from nothing."""
    N = energy.shape[1]
    equal = _equal(N, blocks)
    vectors = _leading(energy, min(blocks - 1 + SPECTRAL, *energy.shape), rng)
    for start in range(SPECTRAL):
        used = vectors[:, : blocks - 1 + start]
        yield _assign(used @ rng.standard_normal((used.shape[1], blocks)), equal, blocks)
    for _ in range(RANDOM):
        yield rng.permutation(equal)


def _leading(energy: Float32, count: int, rng: np.random.Generator) -> Array:
    """Leading right singular vectors (N, count), by their values, of the energies less the means of rows and columns.

    Source: subspace iteration as in Halko, Martinsson and Tropp, Finding structure with randomness, 2011.
    """
    rows, columns = energy.mean(1, keepdims=True), energy.mean(0, keepdims=True)
    centred = energy - rows - columns + energy.mean()
    basis = rng.standard_normal((energy.shape[1], min(count + 4, *energy.shape))).astype(np.float32)
    for _ in range(POWER):
        basis = centred.T @ (centred @ basis)
        basis /= max(float(np.abs(basis).max()), TINY)
    basis = np.linalg.qr(basis)[0]
    _, values, turned = np.linalg.svd(centred @ basis, full_matrices=False)
    return np.asarray(((basis @ turned.T) * values)[:, :count])


def _equal(size: int, blocks: int) -> Labels:
    """Labels in order, as many of each as of the others, up to one."""
    return np.arange(size, dtype=np.int64) * blocks // size


def _indicators(labels: list[Labels], blocks: int) -> Float32:
    """One column for each block of each start."""
    out = np.zeros((labels[0].size, len(labels) * blocks), np.float32)
    for start, one in enumerate(labels):
        out[np.arange(one.size), start * blocks + one] = 1
    return out
