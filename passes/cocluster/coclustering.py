"""Co-clustering: rows and columns of a matrix of energies that belong together, found through noise.

Blocks are places of higher energy. What untouched entries have is taken away, and of what is left the singular vectors
that stand out of the noise give a first partition, as each block is one of them. K-means reads it, and then features
move one by one to the block in which they are likeliest until none does. Blocks are put together while the energy
between them is more than noise, so the number of blocks comes out of the test. Sources: Dhillon, Co-clustering
documents and words using bipartite spectral graph partitioning, 2001; Gao, Ma, Zhang and Zhou, Achieving optimal
misclassification proportion in stochastic block models, 2017 (spectral start, likelihood refinement); Benaych-Georges
and Nadakuditi, 2012 (what stands out of the noise).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .energies import FLOOR, Energies, Sample
from .spectral_start import MARGIN, kmeans, standing_out

__all__ = ["Partition", "cocluster", "masses", "membership", "same_block", "strips", "without"]

# From noise to blocks, for 2 blocks in a matrix whose rows and columns are shuffled:
#
#     energy (K, N)          singular vectors         k-means            refine, merge
#     ▒ █ ▒ █ ▒              that stand out of        rows   0 1 0 1     █ █ ▒ ▒ ▒
#     █ ▒ █ ▒ █      ──►     noise: a feature  ──►    cols   1 0 1 0 ──► █ █ ▒ ▒ ▒
#     ▒ █ ▒ █ ▒              is a point               each to the block  ▒ ▒ █ █ █
#     █ ▒ █ ▒ █                                       it is likeliest in ▒ ▒ █ █ █
#
# Spectral clustering sees the whole matrix at once but treats all entries alike; the likelihood weighs them right but
# only finds the next hill. So the one starts and the other finishes. Too many clusters are started with on purpose:
# merging two halves of a block is easy, since the energy between them is that inside, and cutting a wrong one is not.

Labels = npt.NDArray[np.int64]
Float = npt.NDArray[np.float64]

ROUNDS = 40  # of refinement; it settles after a few
GLUED = 4.5  # standard errors by which the energy between two blocks exceeds the noise for them to be one
LEAST = 1.02  # energy of a block over that outside, so that likelihoods stay defined


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Partition:
    """Which block every input (K,) and output (N,) is in, -1 for none, and how sure that is.

    inside: mean energy of each block; outside: of all other entries; edge: the largest singular value over that of
    noise; misplaced: expected share of features in a wrong block, by their likelihoods; gain: log likelihood over one
    block.
    """

    inputs: Labels
    outputs: Labels
    count: int
    inside: tuple[float, ...]
    outside: float
    edge: float
    misplaced: float
    gain: float


def cocluster(energy: Energies, rng: np.random.Generator, known: Energies | None = None) -> Partition:
    """The likeliest partition into blocks of a matrix of energies (K, N); one of `count` 1 where nothing stands out.

    known: 1 where an entry may be used and 0 where not, where the energy must be 0 as well. Deterministic given `rng`.
    Memory: one more copy of the matrix.

    >>> rng = np.random.default_rng(0)
    >>> noise = np.random.default_rng(1).chisquare(1, (60, 80))
    >>> found = cocluster(np.float32(noise * (1 + 8 * np.kron(np.eye(2), np.ones((30, 40))))), rng)
    >>> found.count, np.bincount(found.inputs).tolist(), np.bincount(found.outputs).tolist()
    (2, [30, 30], [40, 40])
    """
    K, N = energy.shape
    entries = float(K * N) if known is None else float(known.sum(dtype=np.float64))
    sample = Sample(energy, known, entries, float(energy.sum(dtype=np.float64)))
    if min(K, N) < 2 or not entries:  # two blocks need two rows and two columns
        return _whole(sample, 0.0)
    left, values, right, edge = standing_out(sample, rng)
    # No blocks at all is a hypothesis as well, and the one to beat.
    best = _whole(sample, float(values[0] / edge) if edge > 0 else 0.0)
    factors = int((values > MARGIN * edge).sum())
    # Scaled by root of the other side, so that points of rows and of columns have one unit and cluster together.
    scaled = left[:, :factors] * values[:factors] / math.sqrt(N), right[:, :factors] * values[:factors] / math.sqrt(K)
    points = np.concatenate(scaled)
    # How many blocks a number of directions stands for is not known; where there are too many, they are merged again.
    for clusters in sorted({factors + 1, factors + 2, 2 * factors} if factors else ()):
        labels = kmeans(points, clusters, rng)
        found = _settle(sample, labels[:K], _matched(sample, labels[:K], labels[K:], clusters), clusters, best.edge)
        if found.count > 1 and found.gain > best.gain:
            best = found
    return best


def without(energy: Energies, found: Partition, blocks: npt.NDArray[np.bool_]) -> Partition:
    """A partition of all energies (K, N) with some of its blocks taken apart.

    blocks: (count,) which; their features go where they are likeliest among the others, or into none.
    """
    sample = Sample(energy, None, float(energy.size), float(energy.sum(dtype=np.float64)))
    table = np.append(np.where(blocks, -1, np.cumsum(~blocks) - 1), -1)
    count = int((~blocks).sum())
    if count < 2:
        return _whole(sample, found.edge)
    return _settle(sample, table[found.inputs], table[found.outputs], count, found.edge)


def strips(matrix: npt.NDArray[Any]) -> list[slice]:
    """Some rows at a time, a million entries together."""
    step = max(1, (1 << 20) // max(matrix.shape[1], 1))
    return [slice(start, start + step) for start in range(0, matrix.shape[0], step)]


def same_block(partition: Partition, rows: slice) -> npt.NDArray[np.bool_]:
    """Where some rows and all columns are in one block."""
    labels = partition.inputs[rows, None]
    same: npt.NDArray[np.bool_] = (labels == partition.outputs[None, :]) & (labels >= 0)
    return same


def _whole(sample: Sample, edge: float) -> Partition:
    K, N = sample.shape
    return Partition(
        inputs=np.zeros(K, np.int64),
        outputs=np.zeros(N, np.int64),
        count=1,
        inside=(sample.mean if sample.entries else 0.0,),
        outside=0.0,
        edge=edge,
        misplaced=0.0,
        gain=0.0,
    )


def _matched(sample: Sample, rows: Labels, columns: Labels, count: int) -> Labels:
    """The columns with their clusters numbered as the rows' with which they have the most energy.

    Source of a start from rows and columns matched: Zhou and Amini, Analysis of spectral clustering algorithms for
    community detection: the general bipartite setting, 2019.
    """
    from scipy.optimize import linear_sum_assignment

    sums, sizes = masses(sample.energy, rows, columns, count, sample.known)
    means = sums / np.maximum(sizes, 1.0)
    # The median of all pairs is the noise: blocks are on the diagonal, which has few of the pairs.
    ratio = np.maximum(means / max(float(np.median(means[sizes > 0])), FLOOR), 1.0)
    # Rows and columns were clustered together, but a weak block may have its halves under two numbers.
    own, other = linear_sum_assignment(-_worth(sizes, ratio))
    table = np.empty(count, np.int64)
    table[other] = own
    return table[columns]


def _worth(sizes: Float, ratio: Float) -> Float:
    """Log likelihood that entries have `ratio` times the energy of noise over that they have the same."""
    return 0.5 * sizes * (ratio - 1 - np.log(ratio))


def _settle(sample: Sample, rows: Labels, columns: Labels, count: int, edge: float) -> Partition:
    """Refine, put together what is glued, drop what is not worth its features, until nothing changes."""
    while True:
        rows, columns, misplaced = _refine(sample, rows, columns, count)
        sums, sizes = masses(sample.energy, rows, columns, count, sample.known)
        # Blocks out of nothing cost more nats to describe than they explain: this is what keeps noise from having any.
        price = _price(_members(rows, count), rows.size) + _price(_members(columns, count), columns.size)
        table = _merge(sample, sums, sizes, price)
        fewer = int(table.max()) + 1
        if fewer == count:
            break
        rows, columns, count = table[rows], table[columns], fewer
        if count < 2:
            return _whole(sample, edge)
    own, area = np.diag(sums), np.diag(sizes)
    inside, outside = _levels(sample, own, area)
    return Partition(
        inputs=rows,
        outputs=columns,
        count=count,
        inside=tuple(inside.tolist()),
        outside=outside,
        edge=edge,
        misplaced=misplaced,
        gain=_gain(sample, own, area),
    )


def _members(labels: Labels, count: int) -> Labels:
    """How many features each block has."""
    return np.bincount(labels[labels >= 0], minlength=count)


def membership(labels: Labels, count: int) -> Energies:
    """Indicator matrix (features, blocks), float32, of labels with -1 for none."""
    found: Energies = (labels[:, None] == np.arange(count)).astype(np.float32)
    return found


def masses(
    energy: Energies, rows: Labels, columns: Labels, count: int, known: Energies | None = None
) -> tuple[Float, Float]:
    """(Energy, number of entries) of every pair of a block of rows and a block of columns, both (blocks, blocks)."""
    left, right = membership(rows, count), membership(columns, count)
    return _tallied(left, energy @ right), _tallied(left, _sizes(known, right, rows.size))


def _tallied(left: Energies, sums: Any) -> Float:
    """Sums of features (features, blocks) added up over the blocks that the features are in."""
    return np.asarray(left.T.astype(np.float64) @ sums.astype(np.float64))


def _levels(sample: Sample, own: Float, area: Float) -> tuple[Float, float]:
    """Mean energy of each block, and of everything outside of all."""
    outside = sample.outside(own.sum(), area.sum())
    return np.maximum(own / np.maximum(area, 1.0), LEAST * outside), outside


def _gain(sample: Sample, own: Float, area: Float) -> float:
    """Log likelihood of blocks with energies of their own over one level for all, energies being scaled chi-squares."""
    # Energies are sigma^2 times chi-square with one degree: half the entries times log of the level, and a constant.
    used = area > 0
    levels = np.maximum(own[used] / area[used], FLOOR)
    rest = (sample.entries - area.sum()) * math.log(sample.outside(own.sum(), area.sum()))
    whole = sample.entries * math.log(max(sample.mean, FLOOR))
    return float(0.5 * (whole - (area[used] * np.log(levels)).sum() - rest))


def _refine(sample: Sample, rows: Labels, columns: Labels, count: int) -> tuple[Labels, Labels, float]:
    """Move every feature to its likeliest block, rows and columns in turn, until none moves.

    Returns the labels and the expected share of features in a wrong block.
    """
    known = sample.known
    turned = None if known is None else known.T
    misplaced = 0.0
    for _ in range(ROUNDS):
        before = rows, columns
        left, right = membership(rows, count), membership(columns, count)
        sums, sizes = sample.energy @ right, _sizes(known, right, rows.size)
        # Rows and columns take turns against the same levels; both at once could swap two blocks for ever.
        levels = _levels(sample, np.diag(_tallied(left, sums)), np.diag(_tallied(left, sizes)))
        rows, doubt = _likeliest(sums, sizes, *levels, rows)
        left = membership(rows, count)
        columns, other = _likeliest(sample.energy.T @ left, _sizes(turned, left, columns.size), *levels, columns)
        misplaced = (doubt + other) / (rows.size + columns.size)
        if np.array_equal(rows, before[0]) and np.array_equal(columns, before[1]):
            break
    return rows, columns, misplaced


def _sizes(known: Energies | None, members: Energies, features: int) -> Any:
    """How many entries a feature shares with each block, (features, blocks)."""
    if known is None:
        return np.broadcast_to(members.sum(0, dtype=np.float64), (features, members.shape[1]))
    return known @ members


def _likeliest(sums: Any, sizes: Any, inside: Float, outside: float, labels: Labels) -> tuple[Labels, float]:
    """(The likeliest block of each feature, -1 where it is in none; how many are expected to be wrong).

    The entries of a feature with a block are normal with variance `inside` there and `outside` elsewhere; how many
    features a block has is its prior.
    """
    count = inside.size
    prior = np.bincount(np.where(labels < 0, count, labels), minlength=count + 1) + 1.0
    score = np.zeros((sums.shape[0], count + 1))
    score[:, :count] = 0.5 * (sums * (1 / outside - 1 / inside) - sizes * np.log(inside / outside))
    # The prior of block sizes keeps a feature of pure noise from joining a block of two members.
    score += np.log(prior / prior.sum())
    best = score.argmax(1)
    top = score[np.arange(best.size), best]
    # Subtracting the best first: scores are sums over thousands of entries, whose exponentials overflow.
    sure = 1 / np.exp(score - top[:, None]).sum(1)
    return np.where(best == count, -1, best), float((1 - sure).sum())


def _price(members: Labels, features: int) -> Float:
    """Nats that it takes to say which of the features are in each block.

    One of the blocks or none for each member; and where its share is smaller than an equal one, the length of its code
    (Shannon): out of many features some few are easily found that chance made strong.
    """
    equal = math.log(members.size + 1)
    return np.asarray(members * np.maximum(equal, -np.log(np.maximum(members, 1) / features)))


def _merge(sample: Sample, sums: Float, sizes: Float, price: Float) -> Labels:
    """The new number of each block, and -1 for none at the end: blocks that are empty or not worth their price
    dropped, glued ones put together."""
    count = price.size
    groups = [[b] for b in np.flatnonzero(_are_worth(sample, sums, sizes, price)).tolist()]
    while len(groups) > 1:
        pair = _most_glued(sample, groups, sums, sizes)
        if pair is None:
            break
        one, other = pair
        groups[one] += groups.pop(other)
    table = np.full(count + 1, -1)
    for new, members in enumerate(groups):
        table[members] = new
    return table


def _are_worth(sample: Sample, sums: Float, sizes: Float, price: Float) -> npt.NDArray[np.bool_]:
    """Whose likelihood pays for saying which features are in the block."""
    own, area = np.diag(sums), np.diag(sizes)
    ratio = np.maximum(own / np.maximum(area, 1.0) / sample.outside(own.sum(), area.sum()), 1.0)
    return np.asarray((area > 0) & (_worth(area, ratio) > price))


def _most_glued(sample: Sample, groups: list[list[int]], sums: Float, sizes: Float) -> tuple[int, int] | None:
    """The two groups between which there is most energy beyond noise; None where no two are glued."""
    size = len(groups)
    table = np.zeros((size, sums.shape[0]))
    for new, members in enumerate(groups):
        table[new, members] = 1
    # Sums add up, so groups that were put together need no second look at the matrix.
    energy, area = table @ sums @ table.T, table @ sizes @ table.T
    between, shared = np.triu(energy + energy.T, 1), np.triu(area + area.T, 1)
    means = between / np.maximum(shared, 1.0)
    # The quieter half of the pairs tells what noise is, should many of the others be glued.
    upper = np.triu_indices(size, 1)
    noise = max(min(sample.outside(np.trace(energy), np.trace(area)), float(np.median(means[upper]))), FLOOR)
    excess = (means - noise) / (noise * np.sqrt(2 / np.maximum(shared, 1.0)))
    excess[shared <= 0] = -np.inf
    one, other = np.unravel_index(int(excess.argmax()), excess.shape)
    return (int(one), int(other)) if excess[one, other] > GLUED else None
