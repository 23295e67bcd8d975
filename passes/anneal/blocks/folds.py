"""Cross-fitting: a search for blocks on some of the entries, judged by the others, which it never saw.

A search over partitions finds blocks in any noise. Each fold therefore holds entries out, searches the rest, and asks
of the ones held out whether the blocks are there: all of them together, and each of them on its own. A real pattern
does not vouch for a block that stands beside it, which may be two entries that chance made large.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...cocluster.coclustering import Partition, cocluster, membership, same_block, strips
from ...cocluster.energies import CAP, FLOOR, Energies

__all__ = ["Fold", "cross_fit", "existence", "fewest_entries", "held_out", "held_out_blocks", "together"]

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FOLDS = 3
HELD = 0.2  # of the entries, in each fold: the search on the rest must still see what there is
SAME = 0.5  # entries shared over entries of either, above which a block is that of another search: at most one can be


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fold:
    """What a search on some entries found, and what the others say of it.

    split: p-value that they are no larger inside the blocks than outside; blocks: (count,) the same for each block on
    its own, corrected for how many there are.
    """

    partition: Partition
    split: float
    blocks: Float


def cross_fit(energy: Energies, seed: int = 0, folds: int = FOLDS, share: float = HELD) -> tuple[Fold, ...]:
    """Folds of a matrix of energies (K, N), in each of which a random share of the entries is held out.

    Given the search on the others the held-out entries are exchangeable if there is no structure, so the p-values of a
    fold are honest whatever the search did.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(folds):
        held = rng.random(energy.shape, dtype=np.float32) < share
        known = (~held).astype(np.float32)
        partition = cocluster(energy * known, rng, known)
        found.append(
            Fold(
                partition=partition,
                split=held_out(energy, held, partition),
                blocks=held_out_blocks(energy, held, partition),
            )
        )
    return tuple(found)


def together(folds: Sequence[Fold]) -> float:
    """p-value that the searches found nothing: twice the median of the folds', however they depend on each other.

    Source: Meinshausen, Meier and Buehlmann, p-values for high-dimensional regression, 2009 (with gamma 1/2).
    """
    return min(1.0, 2 * float(np.median([fold.split for fold in folds])))


def existence(folds: Sequence[Fold], found: Partition) -> Float:
    """p-values (count,) that each block of a partition does not exist, corrected for the number of blocks.

    The evidence for a block is that of the same block in each fold: the one with which it shares more than half of
    what either has; where a fold has none it says nothing, p = 1. Twice the median over the folds, as in `together`.
    A false block is accepted with at most the probability of a false one among those of the folds, as no two blocks of
    a partition can be the same one of a fold.
    """
    p = np.ones((len(folds), found.count))
    for row, fold in zip(p, folds, strict=True):
        if fold.partition.count < 2:
            continue
        shared = _shared(found, fold.partition)
        best = shared.argmax(1)
        same = shared[np.arange(found.count), best] > SAME
        row[same] = fold.blocks[best[same]]
    return np.asarray(np.minimum(2 * np.median(p, axis=0), 1.0))


def _shared(one: Partition, other: Partition) -> Float:
    """Entries that blocks of two partitions share over those that either has (Jaccard), (count, count)."""
    sides = []
    for mine, theirs in ((one.inputs, other.inputs), (one.outputs, other.outputs)):
        left, right = membership(mine, one.count), membership(theirs, other.count)
        sides.append((left.T.astype(np.float64) @ right, left.sum(0), right.sum(0)))
    (rows, left_rows, right_rows), (columns, left_columns, right_columns) = sides
    both = rows * columns
    either = (left_rows * left_columns)[:, None] + right_rows * right_columns - both
    return np.asarray(both / np.maximum(either, 1.0))


def fewest_entries(level: float, blocks: int, share: float = HELD) -> int:
    """How many entries a block must have before held-out ones could confirm it at a level, as one of so many blocks.

    Of m that are held out the energies sum to at most m CAP, so p is at least that of a chi-square with m degrees of
    freedom there; a share of a block's entries is held out.

    >>> fewest_entries(1e-3, 2), fewest_entries(1e-3, 100)
    (10, 15)
    """
    from scipy.stats import chi2

    held = 1
    while 2 * blocks * float(chi2.sf(held * CAP, held)) > level:
        held += 1
    return math.ceil(held / share)


def held_out(energy: Energies, held: Mask, partition: Partition) -> float:
    """p-value that held-out energies inside the blocks are no larger than those of as many drawn at random.

    The mean of n of m values drawn without replacement is normal, with variance s^2/n (1 - n/m).
    """
    from scipy.special import ndtr

    if partition.count < 2:
        return 1.0
    total = square = inside_sum = 0.0
    entries = inside = 0
    for rows in strips(energy):
        mask = held[rows]
        part = energy[rows].astype(np.float64)
        own = mask & same_block(partition, rows)
        values = part[mask]
        total += float(values.sum())
        square += float((values * values).sum())
        entries += values.size
        inside_sum += float(part[own].sum())
        inside += int(own.sum())
    if inside == 0 or inside == entries:
        return 1.0
    mean = total / entries
    variance = max(square / entries - mean * mean, 1e-30)
    z = (inside_sum / inside - mean) / math.sqrt(variance / inside * (1 - inside / entries))
    return float(ndtr(-z))


def held_out_blocks(energy: Energies, held: Mask, partition: Partition) -> Float:
    """p-values (count,) that held-out energies inside each block are no larger than those outside of all, times count.

    Of m entries the sum over the mean outside is at most chi-square with m degrees of freedom where the null holds,
    since energies are cut off above; and it is normal with the variance that is seen outside. The larger p-value of
    the two counts: the first is exact for the few entries of a small block, the second allows for heavier tails.
    """
    from scipy.special import ndtr
    from scipy.stats import chi2

    count = partition.count
    if count < 2:
        return np.ones(count)
    sums, sizes = np.zeros(count), np.zeros(count)
    rest = square = 0.0
    entries = 0
    for rows in strips(energy):
        part, mask, own = energy[rows].astype(np.float64), held[rows], same_block(partition, rows)
        at = np.nonzero(mask & own)
        labels = partition.inputs[rows][at[0]]
        sums += np.bincount(labels, part[at], count)
        sizes += np.bincount(labels, minlength=count)
        outside = part[mask & ~own]
        rest, square, entries = rest + outside.sum(), square + (outside * outside).sum(), entries + outside.size
    if not entries:
        return np.ones(count)
    mean = max(rest / entries, FLOOR)
    variance = max(square / entries - mean * mean, 1e-30)
    seen = np.maximum(sizes, 1)
    z = (sums / seen - mean) / np.sqrt(variance * (1 / seen + 1 / entries))
    p = np.where(sizes > 0, np.maximum(chi2.sf(sums / mean, seen), ndtr(-z)), 1.0)
    return np.asarray(np.minimum(count * p, 1.0))
