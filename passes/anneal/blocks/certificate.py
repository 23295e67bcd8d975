"""Whether blocks that a search found may be believed: a certificate that the search itself cannot forge.

A search over partitions finds blocks in any noise, and a test on the entries it searched through confirms them. So the
question whether there are blocks at all, and whether each of them is one, is put to entries that were held out: the
search runs again on the others and the held-out ones must be larger inside the blocks it found than outside. Every
entry outside the final blocks is then held against the null: its energy, its signs, its coherence and its shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.evidence.evidence import Certificate
from ....ir.evidence.null import Null
from ...cocluster.coclustering import Partition, without
from ...cocluster.energies import Energies, misfit
from ...cocluster.spectral_start import MARGIN, coherence
from ..edges.methods import RESIDUAL
from .folds import Fold, cross_fit, existence, fewest_entries, together
from .outside import cells_outside, kolmogorov, off_block, outside_scores, signed_means, unplaced

__all__ = [
    "ACCEPTED",
    "RESIDUAL",
    "believed",
    "certify",
    "refused",
]

Mask = npt.NDArray[np.bool_]

ACCEPTED = 1e-3  # level of each part of the certificate
RESIDUAL_LEVEL = 0.01  # chance that an untouched entry is called a residual entry, over the whole weight
SLACK = 1.02  # energy outside over the null's that is still called equal: no scheme is kept to a per cent
FAINT = 0.7  # least energy outside over the null's: normal laws that were cut off at two sigma have 0.77 of it
SHAPE = 0.02  # Kolmogorov-Smirnov distance that weights rounded to a few bits have as well
SIGNED = 1e-4  # level of the mean: a shift that matters is far beyond it
MISPLACED = 0.01  # expected share of features in a wrong block


def certify(
    weight: npt.NDArray[Any],
    energy: Energies,
    found: Partition,
    residual: Mask,
    *,
    null: Null,
    seed: int = 0,
    allowed: int = RESIDUAL,
    folds: Sequence[Fold] | None = None,
) -> Certificate:
    """The certificate of a partition of a weight (K, N) with these energies under the null.

    residual: entries outside the blocks that are too large for the null; allowed: how many of them may be; null: where
    it is estimated, the level of what lies outside is measured and not tested; folds: of these energies, where they are
    known.
    """
    blocks, trusted = found.count, not null.estimated
    if blocks < 2:
        reason = (
            f"nothing stands out of the noise: the largest singular value is {found.edge:.2f} of that of noise alone"
        )
        if found.edge > MARGIN:
            reason = "what stands out of the noise is no set of blocks: all of it hangs together"
        return refused(blocks, reason)
    folds = cross_fit(energy, seed) if folds is None else folds
    measured = _measured(weight, energy, found, residual, null.sigma, trusted, seed, folds)
    failed = [check.sentence for check in _checks(found, measured, null, trusted, allowed) if not check.passed]
    outside = "the null" if trusted else "homogeneous noise (its level was not tested)"
    return Certificate(
        blocks=blocks,
        split=measured.split,
        level=measured.level,
        ratio=measured.ratio,
        largest=1.0,  # who looked for the residual entries knows it, as how many blocks went
        homogeneity=measured.homogeneity,
        residual=measured.residual,
        misplaced=found.misplaced,
        accepted=not failed,
        reason="; ".join(failed) or f"{blocks} blocks, and what lies outside is {outside}",
        mean=measured.mean,
        coherence=measured.coherence,
        shape=measured.shape,
        unplaced=measured.unplaced,
        existence=float(measured.doubt.max()),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Measured:
    """What a certificate judges; see `Certificate` for the fields of the same name."""

    split: float
    doubt: npt.NDArray[np.float64]  # (blocks,) p-value that each is none
    level: float
    ratio: float
    homogeneity: float
    mean: float
    coherence: float
    margin: float  # of it: what random signs reach
    shape: float
    shape_p: float
    faint: bool  # smaller than the null could be
    residual: int
    unplaced: float


@dataclass(frozen=True, slots=True)
class Check:
    """One question that a certificate asks, and what is said where the answer is no."""

    passed: bool
    sentence: str


def _measured(
    weight: npt.NDArray[Any],
    energy: Energies,
    found: Partition,
    residual: Mask,
    sigma: float,
    trusted: bool,
    seed: int,
    folds: Sequence[Fold],
) -> _Measured:
    """Every statistic, judged or not."""
    level, ratio, homogeneity = off_block(energy, found, residual, trusted)
    scores = outside_scores(weight, found, residual, sigma)
    entries = int(np.count_nonzero(scores))
    coherent, margin = coherence(scores, np.random.default_rng(seed)) if entries else (1.0, 1.0)
    shape = misfit(scores)
    return _Measured(
        split=together(folds),
        doubt=existence(folds, found),
        level=level,
        ratio=ratio,
        homogeneity=homogeneity,
        mean=signed_means(scores, found),
        coherence=coherent,
        margin=margin,
        shape=shape,
        shape_p=kolmogorov(shape, entries),
        # Exact zeros are removed already: only the others can be too small for the null.
        faint=trusted and entries > 0 and ratio * cells_outside(found, residual) / entries < FAINT,
        residual=int(residual.sum()),
        unplaced=unplaced(energy, found, seed),
    )


def _checks(found: Partition, m: _Measured, null: Null, trusted: bool, allowed: int) -> tuple[Check, ...]:
    """All questions, in the order in which they are told of."""
    return *_inside_checks(found, m), *_outside_checks(found, m, null, trusted, allowed)


def _inside_checks(found: Partition, m: _Measured) -> tuple[Check, ...]:
    """Whether there are blocks at all, whether each is one, and whether features are in the right ones."""
    doubt = float(m.doubt.max())
    return (
        Check(
            m.split <= ACCEPTED,
            f"entries held out of the search are no larger inside the blocks (p = {m.split:.2g})",
        ),
        # Where there are no blocks at all, that none of them is one is no news.
        Check(m.split > ACCEPTED or doubt <= ACCEPTED, _unconfirmed(found, m.doubt)),
        Check(
            found.misplaced <= MISPLACED,
            f"{found.misplaced:.1%} of the features are expected in a wrong block, above {MISPLACED:.0%}",
        ),
    )


def _outside_checks(found: Partition, m: _Measured, null: Null, trusted: bool, allowed: int) -> tuple[Check, ...]:
    """Whether what lies outside the blocks looks like the null: its energy, its signs, its coherence, its shape."""
    other = (
        f", or the weights were not initialised as stated ({null.source}): try without stating it" if trusted else ""
    )
    outside = "what lies outside the blocks"
    lone = int((found.inputs < 0).sum() + (found.outputs < 0).sum())
    return (
        Check(
            m.level >= ACCEPTED or m.ratio <= SLACK,
            f"{outside} has {m.ratio:.3f} of the energy that the null allows (p = {m.level:.2g}){other}",
        ),
        Check(
            not m.faint,
            f"{outside} has {m.ratio:.3f} of the energy of the null: smaller than the null, the "
            f"initialisation is not as stated ({null.source}): try without stating it",
        ),
        Check(
            m.homogeneity >= ACCEPTED,
            f"{outside} is not equally strong for all features (p = {m.homogeneity:.2g})",
        ),
        Check(
            m.unplaced >= ACCEPTED,
            f"{lone:,} features are in no block, and yet they have more energy than noise has (p = {m.unplaced:.2g})",
        ),
        Check(
            m.mean >= SIGNED,
            f"{outside} has a mean other than 0 (p = {m.mean:.2g})",
        ),
        Check(
            m.coherence <= m.margin,
            f"{outside} is coherent: its largest singular value is {m.coherence:.2f} of that with random signs",
        ),
        Check(
            m.shape <= SHAPE or m.shape_p >= ACCEPTED,
            f"the magnitudes outside the blocks follow no law of initialisation (distance {m.shape:.3f})",
        ),
        Check(
            m.residual <= allowed,
            f"{m.residual:,} entries outside the blocks are too large for the null, more than {allowed}{other}",
        ),
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


def refused(blocks: int, reason: str) -> Certificate:
    """The certificate of a search that found too few blocks to test anything."""
    return Certificate(
        blocks=blocks,
        split=1.0,
        level=1.0,
        ratio=1.0,
        largest=1.0,
        homogeneity=1.0,
        residual=0,
        misplaced=0.0,
        accepted=False,
        reason=reason,
    )
