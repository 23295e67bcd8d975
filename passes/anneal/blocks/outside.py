"""What lies outside the blocks of a partition: its energy, its signs, and whether it belongs to a block after all."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...cocluster.coclustering import Partition, membership, same_block, strips
from ...cocluster.energies import Energies, moments
from ...connectivity.chunked import as_real

__all__ = ["cells_outside", "kolmogorov", "off_block", "outside_scores", "signed_means", "unplaced"]

Mask = npt.NDArray[np.bool_]


def unplaced(energy: Energies, found: Partition, seed: int = 0) -> float:
    """p-value that features in no block have no more energy, in any block or among themselves, than there is between
    blocks.

    Each feature's best block is chosen on a random half of its entries, and the other halves of all features together
    are tested, both ways: members of a block that are weaker than the others look untouched one by one, not together.
    """
    from scipy.special import ndtr

    rng = np.random.default_rng(seed)
    mean, variance = _between(energy, found)
    found_p = []
    sides = [(energy[found.inputs < 0], found.outputs), (energy[:, found.outputs < 0].T, found.inputs)]
    halves = [(part, labels, rng.random(part.shape) < 0.5) for part, labels in sides if part.size]
    for swap in (False, True):
        excess = entries = 0.0
        for part, labels, half in halves:
            members = membership(labels, found.count)
            chosen, tested = (half, ~half) if not swap else (~half, half)
            first = np.where(chosen, part - mean, 0) @ members / np.sqrt(np.maximum(chosen @ members, 1))
            best = first.argmax(1)
            at = np.arange(best.size)
            excess += float((np.where(tested, part - mean, 0) @ members)[at, best].sum())
            entries += float((tested @ members)[at, best].sum())
        if entries:
            found_p.append(float(ndtr(-excess / math.sqrt(variance * entries))))
    apart = energy[np.ix_(found.inputs < 0, found.outputs < 0)]  # blocks of their own that were too weak to be found
    if apart.size:
        excess = float(apart.sum(dtype=np.float64)) - mean * apart.size
        found_p.append(float(ndtr(-excess / math.sqrt(variance * apart.size))))
    return min(1.0, 3 * min(found_p, default=1.0))


def _between(energy: Energies, found: Partition) -> tuple[float, float]:
    """Mean and variance of the energy between blocks, both ends of an entry being in one; the null's where none is."""
    total = square = 0.0
    entries = 0
    for rows in strips(energy):
        placed = (found.inputs[rows, None] >= 0) & (found.outputs[None, :] >= 0)
        values = energy[rows][placed & ~same_block(found, rows)].astype(np.float64)
        total, square, entries = total + values.sum(), square + (values * values).sum(), entries + values.size
    if not entries:
        return moments()
    mean = total / entries
    return float(mean), float(max(square / entries - mean * mean, 1e-30))


def outside_scores(weight: npt.NDArray[Any], found: Partition, residual: Mask, sigma: float) -> Energies:
    """The weight in units of sigma, 0 inside the blocks and where there are residual entries."""
    out = np.empty(weight.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in strips(weight):
            kept = ~same_block(found, rows) & ~residual[rows]
            out[rows] = np.where(kept, as_real(weight[rows]) / sigma, 0)
    return out


def cells_outside(found: Partition, residual: Mask) -> int:
    """How many entries are in no block, residual entries left out."""
    return sum(int((~same_block(found, rows) & ~residual[rows]).sum()) for rows in strips(residual))


def kolmogorov(distance: float, entries: int) -> float:
    """p-value of a Kolmogorov-Smirnov distance."""
    from scipy.stats import kstwobign

    return float(kstwobign.sf(distance * math.sqrt(entries)))


def signed_means(scores: Energies, found: Partition) -> float:
    """p-value that scores, 0 where they do not count, have mean 0: over all of them and over each pair of blocks.

    The sum of a pair over the root of its sum of squares is standard normal; the smallest two-sided p-value is
    corrected for their number (Bonferroni). Features in no block are together one more block.
    """
    from scipy.special import ndtr

    left, right = (
        (np.where(labels < 0, found.count, labels)[:, None] == np.arange(found.count + 1)).astype(np.float32)
        for labels in (found.inputs, found.outputs)
    )
    sums = left.T.astype(np.float64) @ (scores @ right).astype(np.float64)
    squares = left.T.astype(np.float64) @ ((scores * scores) @ right).astype(np.float64)
    used = squares > 0
    if not used.any():
        return 1.0
    z = np.append(sums[used] / np.sqrt(squares[used]), sums.sum() / math.sqrt(squares.sum()))
    return min(1.0, 2 * float(ndtr(-np.abs(z).max())) * z.size)


def off_block(energy: Energies, found: Partition, excluded: Mask, trusted: bool) -> tuple[float, float, float]:
    """(p-value of the level, ratio, p-value of homogeneity) of everything outside the blocks but the residual entries.

    Level: the mean energy is not above the null's, by its standard error; 1 where the null is not trusted, and then the
    ratio is that to the null as it was estimated. Homogeneity: the squared deviations of all features' mean energies,
    in their standard errors, add up to chi-square.
    """
    from scipy.special import ndtr
    from scipy.stats import chi2

    K, N = energy.shape
    rows_sum, rows_count = np.zeros(K), np.zeros(K)
    columns_sum, columns_count = np.zeros(N), np.zeros(N)
    square = 0.0
    for rows in strips(energy):
        outside = ~same_block(found, rows) & ~excluded[rows]
        part = np.where(outside, energy[rows], 0).astype(np.float64)
        rows_sum[rows], rows_count[rows] = part.sum(1), outside.sum(1)
        columns_sum += part.sum(0)
        columns_count += outside.sum(0)
        square += float((part * part).sum())
    entries = rows_count.sum()
    if not entries:
        return 1.0, 1.0, 1.0
    mean = rows_sum.sum() / entries
    variance = max(square / entries - mean * mean, 1e-30)
    expected, spread = moments()
    ratio = mean / expected
    level = float(ndtr(-(mean - expected) / math.sqrt(spread / entries))) if trusted else 1.0
    deviations = [
        (sums[used] - mean * counts[used]) / np.sqrt(variance * counts[used])
        for sums, counts in ((rows_sum, rows_count), (columns_sum, columns_count))
        for used in [counts > 0]
    ]
    z = np.concatenate(deviations)
    # Rows and columns of one matrix share the mean; a feature's own share of it makes its deviation a little smaller.
    homogeneity = float(chi2.sf((z * z).sum(), max(z.size - 2, 1)))
    return level, float(ratio), homogeneity
