"""Whether blocks that a search found may be believed: a certificate that the search itself cannot forge.

A search over partitions finds blocks in any noise, and a test on the entries it searched through confirms them. So the
question whether there are blocks at all, and whether each of them is one, is put to entries that were held out: the
search runs again on the others and the held-out ones must be larger inside the blocks it found than outside. Every
entry outside the final blocks is then held against the null: its energy, its signs, its coherence and its shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.plan.evidence import Certificate
from ....ir.plan.methods import STRAYS
from ....ir.plan.null import Null
from ...cocluster.coclustering import Partition, membership, same_block, strips, without
from ...cocluster.energies import Energies, misfit, moments
from ...cocluster.spectral_start import MARGIN, coherence
from ...connectivity.chunked import as_real
from .folds import Fold, cross_fit, existence, fewest_entries, together

__all__ = [
    "ACCEPTED",
    "STRAYS",
    "believed",
    "certify",
    "off_block",
    "refused",
    "signed_means",
    "unplaced",
]

Labels = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

ACCEPTED = 1e-3  # level of each part of the certificate
STRAY_LEVEL = 0.01  # chance that an untouched entry is called a stray, over the whole weight
SLACK = 1.02  # energy outside over the null's that is still called equal: no scheme is kept to a per cent
FAINT = 0.7  # least energy outside over the null's: normal laws that were cut off at two sigma have 0.77 of it
SHAPE = 0.02  # Kolmogorov-Smirnov distance that weights rounded to a few bits have as well
SIGNED = 1e-4  # level of the mean: a shift that matters is far beyond it
MISPLACED = 0.01  # expected share of features in a wrong block


def certify(
    weight: npt.NDArray[Any],
    energy: Energies,
    found: Partition,
    strays: Mask,
    *,
    null: Null,
    trusted: bool,
    largest: float = 1.0,
    seed: int = 0,
    allowed: int = STRAYS,
    folds: Sequence[Fold] | None = None,
    dropped: int = 0,
) -> Certificate:
    """The certificate of a partition of a weight (K, N) with these energies under the null.

    strays: entries outside the blocks that are too large for the null; allowed: how many of them may be; largest:
    p-value of the largest other one, for the report; trusted: whether the null is known apart from this weight,
    otherwise the level of what lies outside is measured and not tested; folds: of these energies, where they are known;
    dropped: how many blocks `believed` took out.
    """
    blocks = found.count
    if blocks < 2:
        reason = (
            f"nothing stands out of the noise: the largest singular value is {found.edge:.2f} of that of noise alone"
        )
        if found.edge > MARGIN:
            reason = "what stands out of the noise is no set of blocks: all of it hangs together"
        return refused(blocks, reason)
    folds = cross_fit(energy, seed) if folds is None else folds
    split, doubt = together(folds), existence(folds, found)
    level, ratio, homogeneity = off_block(energy, found, strays, trusted)
    scores = _outside_scores(weight, found, strays, null.sigma)
    entries = int(np.count_nonzero(scores))
    mean, shape = signed_means(scores, found), misfit(scores)
    coherent, margin = coherence(scores, np.random.default_rng(seed)) if entries else (1.0, 1.0)
    # Exact zeros are removed already: only the others can be too small for the null.
    faint = trusted and entries > 0 and ratio * _cells_outside(found, strays) / entries < FAINT
    count = int(strays.sum())
    lone = int((found.inputs < 0).sum() + (found.outputs < 0).sum())
    idle = unplaced(energy, found, seed)
    other = f", or the weights were not initialised as stated ({null.source}): try without --init" if trusted else ""
    checks = [
        (split > ACCEPTED, f"entries held out of the search are no larger inside the blocks (p = {split:.2g})"),
        (split <= ACCEPTED and bool((doubt > ACCEPTED).any()), _unconfirmed(found, doubt)),
        (
            found.misplaced > MISPLACED,
            f"{found.misplaced:.1%} of the features are expected in a wrong block, above {MISPLACED:.0%}",
        ),
        (
            level < ACCEPTED and ratio > SLACK,
            f"what lies outside the blocks has {ratio:.3f} of the energy that the null allows (p = {level:.2g}){other}",
        ),
        (
            faint,
            f"what lies outside the blocks has {ratio:.3f} of the energy of the null: smaller than the null, the "
            f"initialisation is not as stated ({null.source}): try without --init",
        ),
        (
            homogeneity < ACCEPTED,
            f"what lies outside the blocks is not equally strong for all features (p = {homogeneity:.2g})",
        ),
        (
            idle < ACCEPTED,
            f"{lone:,} features are in no block, and yet they have more energy than noise has (p = {idle:.2g})",
        ),
        (mean < SIGNED, f"what lies outside the blocks has a mean other than 0 (p = {mean:.2g})"),
        (
            coherent > margin,
            f"what lies outside the blocks is coherent: its largest singular value is {coherent:.2f} of that with "
            "random signs",
        ),
        (
            shape > SHAPE and _kolmogorov(shape, entries) < ACCEPTED,
            f"the magnitudes outside the blocks follow no law of initialisation (distance {shape:.3f})",
        ),
        (
            count > allowed,
            f"{count:,} entries outside the blocks are too large for the null, more than {allowed}{other}",
        ),
    ]
    failed = [reason for bad, reason in checks if bad]
    outside = "the null" if trusted else "homogeneous noise (its level was not tested)"
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
        reason="; ".join(failed) or f"{blocks} blocks, and what lies outside is {outside}",
        mean=mean,
        coherence=coherent,
        shape=shape,
        unplaced=idle,
        existence=float(doubt.max()),
        dropped=dropped,
    )


def believed(energy: Energies, found: Partition, folds: Sequence[Fold]) -> tuple[Partition, int]:
    """The partition without the blocks that held-out entries do not confirm, and how many went.

    Their features go where they are likeliest among the others, or into no block. Where fewer than two would be left
    the partition stays as it was: there is nothing to believe in it then, and the certificate says so.
    """
    kept = found
    while kept.count > 1:
        doubtful = existence(folds, kept) > ACCEPTED
        if not doubtful.any():
            return kept, found.count - kept.count
        if doubtful.size - int(doubtful.sum()) < 2:
            break
        kept = without(energy, kept, doubtful)
    return found, 0


def _unconfirmed(found: Partition, doubt: npt.NDArray[np.float64]) -> str:
    """Which blocks the held-out entries do not confirm, in words."""
    worst = int(doubt.argmax())
    rows, columns = int((found.inputs == worst).sum()), int((found.outputs == worst).sum())
    least = fewest_entries(ACCEPTED, found.count)
    small = f"; below {least} entries it could not be" if rows * columns < least else ""
    many = int((doubt > ACCEPTED).sum())
    return (
        f"{many} of {found.count} blocks {'is' if many == 1 else 'are'} not confirmed by entries held out of the "
        f"search: the one of {rows}x{columns} has p = {doubt[worst]:.2g}{small}"
    )


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


def _outside_scores(weight: npt.NDArray[Any], found: Partition, strays: Mask, sigma: float) -> Energies:
    """The weight in units of sigma, 0 inside the blocks and where there are strays."""
    out = np.empty(weight.shape, np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in strips(weight):
            kept = ~same_block(found, rows) & ~strays[rows]
            out[rows] = np.where(kept, as_real(weight[rows]) / sigma, 0)
    return out


def _cells_outside(found: Partition, strays: Mask) -> int:
    return sum(int((~same_block(found, rows) & ~strays[rows]).sum()) for rows in strips(strays))


def _kolmogorov(distance: float, entries: int) -> float:
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
