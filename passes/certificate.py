"""Whether blocks that a search found may be believed: a certificate that the search itself cannot forge.

A search over partitions finds blocks in any noise, and a test on the entries it searched through confirms them. So the
question whether there are blocks at all is put to entries that were held out: the search runs again on the others and
the held-out ones must be larger inside the blocks it found than outside. Every entry outside the final blocks is then
held against the null.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.evidence import Certificate
from .coclustering import Partition, cocluster
from .energies import Energies, moments
from .spectral_start import MARGIN

__all__ = ["ACCEPTED", "STRAYS", "certify", "cross_fit", "held_out", "off_block", "refused", "same_block", "strips"]

Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FOLDS = 3
HELD = 0.2  # of the entries, in each fold: the search on the rest must still see what there is
ACCEPTED = 1e-3  # level of each part of the certificate
STRAYS = 100  # entries outside the blocks that may be too large for the null
STRAY_LEVEL = 0.01  # chance that an untouched entry is called a stray, over the whole weight
SLACK = 1.02  # energy outside over the null's that is still called equal: no scheme is kept to a per cent
MISPLACED = 0.01  # expected share of features in a wrong block


def certify(
    energy: Energies,
    found: Partition,
    strays: Mask,
    *,
    largest: float = 1.0,
    trusted: bool,
    seed: int = 0,
    allowed: int = STRAYS,
) -> Certificate:
    """The certificate of a partition of a matrix of energies (K, N).

    strays: entries outside the blocks that are too large for the null; allowed: how many of them may be; largest:
    p-value of the largest other one; trusted: whether the null is known apart from this weight, otherwise the level of
    what lies outside is measured and not tested.
    """
    blocks = found.count
    if blocks < 2:
        reason = (
            f"nothing stands out of the noise: the largest singular value is {found.edge:.2f} of that of noise alone"
        )
        if found.edge > MARGIN:
            reason = "what stands out of the noise is no set of blocks: all of it hangs together"
        return refused(blocks, reason)
    split = cross_fit(energy, seed)
    level, ratio, homogeneity = off_block(energy, found, strays, trusted)
    count = int(strays.sum())
    checks = [
        (split > ACCEPTED, f"entries held out of the search are no larger inside the blocks (p = {split:.2g})"),
        (
            found.misplaced > MISPLACED,
            f"{found.misplaced:.1%} of the features are expected in a wrong block, above {MISPLACED:.0%}",
        ),
        (
            level < ACCEPTED and ratio > SLACK,
            f"what lies outside the blocks has {ratio:.3f} of the energy that the null allows (p = {level:.2g})",
        ),
        (
            homogeneity < ACCEPTED,
            f"what lies outside the blocks is not equally strong for all features (p = {homogeneity:.2g})",
        ),
        (count > allowed, f"{count:,} entries outside the blocks are too large for the null, more than {allowed}"),
    ]
    failed = [reason for bad, reason in checks if bad]
    return Certificate(
        blocks=blocks,
        split=split,
        level=level,
        ratio=ratio,
        largest=largest,
        homogeneity=homogeneity,
        strays=count,
        misplaced=found.misplaced,
        accepted=not failed,
        reason="; ".join(failed) or f"{blocks} blocks, and what lies outside is the null",
    )


def refused(blocks: int, reason: str) -> Certificate:
    """The certificate of a search that found too few blocks to test anything."""
    return Certificate(
        blocks=blocks,
        split=1.0,
        level=1.0,
        ratio=1.0,
        largest=1.0,
        homogeneity=1.0,
        strays=0,
        misplaced=0.0,
        accepted=False,
        reason=reason,
    )


def cross_fit(energy: Energies, seed: int = 0, folds: int = FOLDS, share: float = HELD) -> float:
    """p-value that a search finds blocks in this matrix that entries it never saw do not confirm.

    In each fold a random share of the entries is held out. Given the search on the others they are exchangeable if
    there is no structure, so the fold's p-value is honest whatever the search did; twice the median of the folds is,
    too, however they depend on each other. Source: Meinshausen, Meier and Buehlmann, p-values for high-dimensional
    regression, 2009 (with gamma 1/2).
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(folds):
        held = rng.random(energy.shape, dtype=np.float32) < share
        known = (~held).astype(np.float32)
        partition = cocluster(energy * known, rng, known)
        found.append(held_out(energy, held, partition))
    return min(1.0, 2 * float(np.median(found)))


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


def strips(matrix: npt.NDArray[Any]) -> list[slice]:
    """Some rows at a time, a million entries together."""
    step = max(1, (1 << 20) // max(matrix.shape[1], 1))
    return [slice(start, start + step) for start in range(0, matrix.shape[0], step)]


def same_block(partition: Partition, rows: slice) -> Mask:
    """Where some rows and all columns are in one block."""
    labels = partition.inputs[rows, None]
    same: Mask = (labels == partition.outputs[None, :]) & (labels >= 0)
    return same


def off_block(energy: Energies, found: Partition, excluded: Mask, trusted: bool) -> tuple[float, float, float]:
    """(p-value of the level, ratio, p-value of homogeneity) of everything outside the blocks but the strays.

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
