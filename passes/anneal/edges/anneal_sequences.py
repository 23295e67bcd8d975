"""The tests of a feed-forward network's edges by the sequences of their weights (paper 3.3.1, 3.3.2 and 3.4)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from ....ir.errors import option
from ....ir.evidence.evidence import Evidence, Fit, Misfit
from ....ir.evidence.null import Null
from ...connectivity.chunked import Array, to_host
from . import neyman, random_walk
from .correction import Correction, corrected
from .decision import (
    AnnealError,
    Decision,
    band_notes,
    beside,
    check_level,
    combined,
    confirmed_share,
    percolation_notes,
)
from .methods import Source
from .misfit import misfit_of, unequal
from .null_fit import null_fit

__all__ = ["SequenceTest", "confirm_sequences"]

SequenceTest = Literal["norm", "consistency", "sequences"]


def confirm_sequences(
    theta: Sequence[Array],
    test: SequenceTest,
    *,
    nulls: Sequence[Null] = (),
    level: float = 0.05,
    correction: Correction = "bonferroni",
    source: Source = "inputs",
    details: bool = False,
) -> Decision:
    """Which edges of a feed-forward block of C channels are confirmed by the sequence of their 2C weights.

    theta: 2C matrices (d, d), inputs in rows; nulls: one for each, which 'consistency' does without; test: 'norm'
    (paper 3.3.1), 'consistency' (3.3.2), 'sequences' (3.4, both). The evidence says where a channel contradicts its
    null; of the fits it holds the worst. Raises AnnealError for an unknown test or a missing null.
    """
    if test not in get_args(SequenceTest):
        raise AnnealError(f"unknown test {test!r}; use one of {', '.join(get_args(SequenceTest))}")
    check_level(level, correction)
    if test == "consistency":
        return _consistency(theta, nulls, level, correction, source)
    if len(nulls) != len(theta):
        raise AnnealError(f"{len(theta)} channels need as many nulls, not {len(nulls)}; give ", option("init"))
    if len({null.family for null in nulls}) > 1:
        raise AnnealError(
            "the weights of a sequence must have one family of null, normal or uniform; give ", option("init")
        )
    found = _norm(theta, nulls, level, correction, details)
    if test == "norm":
        return found
    return combined("sequences", found, _consistency(theta, nulls, level, correction, source))


def _norm(
    theta: Sequence[Array], nulls: Sequence[Null], level: float, correction: Correction, details: bool
) -> Decision:
    squares = neyman.norm_squares(theta, nulls)
    tests = math.prod(squares.shape)

    def at_most(p: float) -> int:
        return neyman.count_above(squares, neyman.norm_threshold(nulls, p))

    per_edge = corrected(level, tests, correction, at_most)
    threshold = neyman.norm_threshold(nulls, per_edge)
    mask = neyman.above(squares, threshold)
    p = None
    if details:
        p = neyman.norm_p_values(to_host(squares), nulls).astype(np.float32)
    fit, misfit = _worst(theta, nulls)
    evidence = Evidence(
        test="norm",
        level=level,
        correction=correction,
        confirmed=confirmed_share(mask),
        null=nulls[0],
        per_edge=per_edge,
        expected_false=per_edge * tests,
        smallest=math.sqrt(threshold) * nulls[0].sigma if math.isfinite(threshold) else None,
        power=f"an edge is seen when the norm of its {len(theta)} weights exceeds {math.sqrt(threshold):.3g} sigma",
        fit=fit,
        misfit=misfit,
        notes=(
            *percolation_notes(correction, per_edge, tests, squares.shape),
            "hidden units have no order of their own: shuffled ones hide the structure from this test",
        ),
    )
    return Decision(mask, evidence, p)


def _worst(theta: Sequence[Array], nulls: Sequence[Null]) -> tuple[Fit | None, Misfit | None]:
    """The fit of the channel that contradicts its null most, and how it does; (None, None) without nulls."""
    found = [null_fit(part, null) for part, null in zip(theta, nulls, strict=True)] if nulls else []
    if not found:
        return None, None
    fit = max(found, key=lambda one: (misfit_of(one) is not None, one.surplus))
    return fit, misfit_of(fit)


def _consistency(
    theta: Sequence[Array], nulls: Sequence[Null], level: float, correction: Correction, source: Source
) -> Decision:
    found = random_walk.band(theta, level, source)
    counts = random_walk.random_channels(theta, found, source)
    tests = counts.size
    tally = np.bincount(counts.ravel(), minlength=len(theta) + 1)
    tails = random_walk.tails(found, len(theta))
    per_edge = corrected(level, tests, correction, lambda p: int(tally[tails <= p].sum()))
    limit = int(np.searchsorted(tails, per_edge)) - 1
    mask = random_walk.not_finite(theta)
    if limit >= 0:
        mask |= beside(theta[0], counts <= limit)
    power = (
        f"an edge is seen when at most {limit} of its {len(theta)} channels look random"
        if limit >= 0
        else f"it can reject nothing: {found.p0:.1%} of the population look random, and even an edge without one such "
        f"channel has p = {tails[0]:.2g}"
    )
    fit, misfit = _worst(theta, nulls)
    evidence = Evidence(
        test="consistency",
        level=level,
        correction=correction,
        confirmed=confirmed_share(mask),
        per_edge=per_edge,
        expected_false=float(tails[limit]) * tests if limit >= 0 else 0.0,
        bandwidth=found.width,
        classes=(found.preferred, found.random, found.suppressed),
        power=power,
        fit=fit,
        misfit=misfit or unequal(found),
        notes=band_notes(found),
    )
    return Decision(mask, evidence)
