"""Which forms a dense weight may be projected to: those that are predicted to be faster, and what each loses."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ...ir.graph.linear import Linear
from ...ir.plan.decomposition import Decomposition
from ..cocluster.low_rank import LARGEST, partitions
from ..decompose.blocks import group, halves
from ..factor.nearest import MonarchSplit, monarch_splits
from ..lowering.linear.lowerings import suited
from ..lowering.linear.protocol import LinearLowering
from ..lowering.prices import MARGIN, Prices
from ..lowering.seconds import dense_seconds
from ..lowering.target import Target
from .forms import BlockLowRankForm, Form, LowRankForm, MonarchForm, fitted
from .moments import Float64, Moments
from .monarch import slice_losses
from .reduced_rank import ThinFactors, rank_losses, reduced_rank

__all__ = ["Choice", "choices"]

STEP = 8  # ranks are multiples of it, and the powers of two below
SLICE_RANKS = (1, 2, 4, 8)  # of Monarch factors
FEWEST, MOST = 2, 64  # blocks beside a product
SWEEPS = 4  # of alternating least squares, which are enough to compare forms
SAME = 0.01  # of the results: errors that differ by less are the same, and what saves more is preferred
HOPELESS = 4.0  # times as much as another form loses is more than sweeps make up for
SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Choice:
    """A form of a weight: saved: predicted seconds; loss: what it adds to the mean squared error of the results."""

    form: Form
    saved: float
    loss: float


@dataclass(frozen=True, slots=True, eq=False)
class _Question:
    """What a form has to be faster than."""

    linear: Linear
    rows: int
    target: Target

    @property
    def prices(self) -> Prices:
        return self.target.prices[-1]

    @property
    def dense(self) -> float:
        return dense_seconds(self.linear.shape, self.rows, int(self.linear.dtype.itemsize), self.prices)

    def saved(self, form: Form) -> float | None:
        """Predicted seconds that a form saves; None where they are not worth it."""
        seconds = form.seconds(self.linear, self.rows, self.prices)
        return self.dense - seconds if seconds * MARGIN < self.dense else None


def choices(linear: Linear, moments: Moments, rows: int, target: Target) -> tuple[Choice, ...]:
    """The forms of a weight that are predicted to be faster for so many rows and that no other one is better than in
    both, those that save least first; none where none is faster.

    Blocks are searched for by co-clustering, in entries weighed by what enters them. Deterministic.
    """
    question = _Question(linear, rows, target)
    found = list(_low_ranks(question, moments))
    found += [*_monarchs(question, moments, found), *_blocks(question, moments)]
    kept: list[Choice] = []
    for one in sorted(found, key=lambda one: (-one.saved, one.loss)):
        if not kept or one.loss < kept[-1].loss:
            kept.append(one)
    return tuple(reversed(kept))


def _ranks(most: int) -> Iterator[int]:
    """Those that are tried, up to one."""
    yield from (rank for rank in (1, 2, 4, *range(STEP, most + 1, STEP)) if rank <= most)


def _low_ranks(question: _Question, moments: Moments) -> Iterator[Choice]:
    losses = rank_losses(moments)
    for rank in _ranks(losses.size - 1):
        form = LowRankForm(rank=rank)
        if (saved := question.saved(form)) is None:
            return
        yield Choice(form=form, saved=saved, loss=float(losses[rank]))


def _monarchs(question: _Question, moments: Moments, others: Sequence[Choice]) -> Iterator[Choice]:
    """Of each rank the split that loses least, as far as slices by themselves tell, of those that are faster.

    others: of the same weight; what loses many times as much as one of these that saves as much is not fitted.
    """
    if question.target.provider != "cpu":  # nothing is known there of what stages take
        return
    known: dict[MonarchSplit, Float64] = {}
    splits = list(monarch_splits(*question.linear.shape))
    for rank in SLICE_RANKS:
        ways: list[tuple[int, float, float, MonarchForm]] = []
        for split in splits:
            form = MonarchForm(split=split, rank=rank)
            if rank >= min(split.a, split.d) or (saved := question.saved(form)) is None:
                continue
            if split not in known:
                known[split] = slice_losses(moments, split)
            loss = float(known[split][rank])
            ways.append((round(math.sqrt(loss / max(moments.energy, loss)) / SAME) if loss else 0, -saved, loss, form))
        if not ways:
            return
        _, saved, loss, form = min(ways, key=lambda way: way[:3])
        rival = min((one.loss for one in others if one.saved >= -saved), default=np.inf)
        if loss <= HOPELESS * rival:
            yield _fitted(form, moments, -saved)


def _blocks(question: _Question, moments: Moments) -> Iterator[Choice]:
    """Blocks alone, then with products of growing rank beside them, for as long as they are faster."""
    start: ThinFactors | None = None
    for blocks in _searched(moments):
        lowering = _cheapest(question, blocks)
        start = start or reduced_rank(moments, min(blocks.shape))
        for rank in (0, *_doubling(min(blocks.shape))) if lowering is not None else ():
            assert lowering is not None
            form = BlockLowRankForm(blocks=blocks, rank=rank, lowering=lowering)
            if (saved := question.saved(form)) is None:
                break
            yield _fitted(form, moments, saved, start)


def _searched(moments: Moments) -> Iterator[Decomposition]:
    """Blocks in the weight, its rows weighed by the variance of what enters them, and groups of these."""
    weighed = np.sqrt(np.diag(moments.gram))[:, None] * moments.best
    size = float(np.linalg.norm(weighed))
    if weighed.size > LARGEST or not size or min(weighed.shape) < 2 * FEWEST:
        return
    weighed *= math.sqrt(weighed.size) / size
    for found in partitions(weighed, np.random.default_rng(SEED)):
        for count in halves(min(len(found.blocks), MOST)):
            if count >= FEWEST:
                yield group(found, count)


def _cheapest(question: _Question, blocks: Decomposition) -> LinearLowering | None:
    """The lowering that is predicted to be fastest; None where none fits."""
    linear, target = question.linear, question.target
    fit = [one for one in suited(linear, target) if one.multiplies and one.why_not(linear, blocks, target) is None]
    return min(fit, key=lambda one: one.seconds(linear, blocks, question.rows, question.prices), default=None)


def _doubling(most: int) -> Iterator[int]:
    rank = STEP
    while rank <= most:
        yield rank
        rank *= 2


def _fitted(form: Form, moments: Moments, saved: float, start: ThinFactors | None = None) -> Choice:
    loss = moments.loss(fitted(form, moments, SWEEPS, start).product)
    return Choice(form=form, saved=saved, loss=loss)
