"""The statistical tests of single edges: keep an edge only where learning confirmed it (paper 3.2.1, 3.2.2 and 3.4).

Each test turns a weight into a Boolean matrix of confirmed edges and the evidence for it. Nothing is removed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from ....ir.errors import option
from ....ir.evidence.evidence import Evidence
from ....ir.evidence.null import FAMILIES, Null
from ...connectivity.chunked import Array, row_chunks
from . import neyman, random_walk
from .correction import Correction, corrected
from .decision import (
    AnnealError,
    Decision,
    band_notes,
    check_level,
    combined,
    confirmed_share,
    percolation_notes,
)
from .methods import Source
from .misfit import misfit_of, unequal
from .null_fit import null_fit
from .power import tail

__all__ = ["AnnealError", "Decision", "EdgeTest", "confirm", "smallest_signal"]

STRONGEST = 1e12  # sigma
EdgeTest = Literal["neyman", "walk", "edges", "support"]


def confirm(
    weight: Array,
    test: EdgeTest,
    *,
    null: Null | None = None,
    level: float = 0.05,
    correction: Correction = "bonferroni",
    source: Source = "inputs",
    details: bool = False,
) -> Decision:
    """Which edges of a weight (K, N), a numpy array or a tensor on any torch device, learning confirmed.

    test: 'neyman' (paper 3.2.1, |w| improbable under the null), 'walk' (3.2.2, above the band of equal influence),
    'edges' (3.4, both), 'support' (|w| larger than a bounded initialisation can be: no false edge at all). level: alpha
    of the whole weight, shared out by `correction` among its entries; for the walk the level of its homogeneity test;
    source: whose influence sums to one there. The evidence says where the weight contradicts the null. Works a chunk at
    a time: beside the weight there is the answer, a quarter of its size. NaN and infinities are always edges. Raises
    AnnealError when the test lacks its null.

    >>> W = np.array([[5.0, 0.1], [0.2, -7.0]])
    >>> confirm(W, "neyman", null=Null(family="normal", scale=1, source="example")).confirmed.tolist()
    [[True, False], [False, True]]
    """
    if test not in get_args(EdgeTest):
        raise AnnealError(f"unknown test {test!r}; use one of {', '.join(get_args(EdgeTest))}")
    check_level(level, correction)
    if test == "walk":
        return _walk(weight, null, level, source, details)
    if null is None:
        raise AnnealError(
            f"the test {test!r} needs the distribution of an untouched weight; give ",
            option("init"),
            " or ",
            option("initial"),
        )
    if test == "support":
        return _support(weight, null, level)
    found = _neyman(weight, null, level, correction, details)
    if test == "neyman":
        return found
    return combined("edges", found, _walk(weight, null, level, source, details))


def _neyman(weight: Array, null: Null, level: float, correction: Correction, details: bool) -> Decision:
    tests = math.prod(weight.shape)
    per_edge = corrected(level, tests, correction, lambda p: neyman.count_above(weight, null.threshold(p)))
    threshold = null.threshold(per_edge)
    mask = neyman.above(weight, threshold)
    signal = smallest_signal(weight.shape, null, threshold)
    fit = null_fit(weight, null)
    evidence = Evidence(
        test="neyman",
        level=level,
        correction=correction,
        confirmed=confirmed_share(mask),
        null=null,
        per_edge=per_edge,
        expected_false=per_edge * tests,
        smallest=threshold if math.isfinite(threshold) else None,
        power=f"an edge is seen from |w| > {threshold:.3g}, half of the weight as a block from a signal of "
        f"{signal:.1f} sigma",
        fit=fit,
        misfit=misfit_of(fit),
        notes=percolation_notes(correction, per_edge, tests, weight.shape),
    )
    return Decision(mask, evidence, neyman.p_values(weight, null) if details else None)


def smallest_signal(shape: Sequence[int], null: Null, threshold: float) -> float:
    """The standard deviation, in units of the null's sigma, that learning must have added to the entries of a block of
    half the weight for its confirmed edges to hold it together: mean degree above ln n + 3 on its shorter side.

    Inf where no signal would. Source: connectivity of random bipartite graphs (Erdos and Renyi, 1960).
    """
    side = max(min(shape) / 2, 1.0)
    share = min((math.log(max(shape) / 2 + 1) + 3) / side, 1.0)
    if share >= 1:
        return math.inf
    low, high = 0.0, 1.0
    while tail(null, threshold, high) < share:
        low, high = high, 2 * high
        if high > STRONGEST:
            return math.inf
    while high - low > 1e-9 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if tail(null, threshold, middle) >= share else (middle, high)
    return 0.0 if low == 0 and tail(null, threshold, 0.0) >= share else high


def _support(weight: Array, null: Null, level: float) -> Decision:
    if null.estimated:
        raise AnnealError(
            "the test 'support' needs the largest value of the initialisation, and an estimate from the trained weight "
            "is none; give ",
            option("init"),
            ", such as torch_linear or uniform:a",
        )
    if null.family != "uniform":
        raise AnnealError(
            "the test 'support' needs a bounded initialisation, such as ",
            option("init", "torch_linear"),
            " or uniform:a; a normal one has no largest value",
        )
    mask = neyman.above(weight, null.scale * (1 + _roundoff(weight)))
    fit = null_fit(weight, null)
    evidence = Evidence(
        test="support",
        level=level,
        correction="none",
        confirmed=confirmed_share(mask),
        null=null,
        per_edge=0.0,
        expected_false=0.0,
        smallest=null.scale,
        power=f"an edge is seen when learning made |w| larger than {null.scale:.3g}, which no initialisation does",
        fit=fit,
        misfit=misfit_of(fit),
    )
    return Decision(mask, evidence)


def _roundoff(weight: Array) -> float:
    """By how much a half type may have rounded the largest initial weight up; schemes allow for float32 themselves.

    Half types that were exported as float32 are told by their values, all of which lie on the coarser grid.
    """
    for dtype, error in (("bfloat16", 2.0**-8), ("float16", 2.0**-11)):
        if all(_on_grid(weight[rows], dtype) for rows in row_chunks(weight)):
            return error
    return 0.0


def _on_grid(chunk: Array, dtype: str) -> bool:
    """Whether every number of a chunk is one of a half type."""
    if isinstance(chunk, np.ndarray):
        import ml_dtypes

        half = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.float16
        with np.errstate(over="ignore"):
            return bool(((chunk.astype(half).astype(chunk.dtype) == chunk) | np.isnan(chunk)).all())
    import torch

    rounded = chunk.to(getattr(torch, dtype)).to(chunk.dtype)
    return bool(((rounded == chunk) | chunk.isnan()).all())


def _walk(weight: Array, null: Null | None, level: float, source: Source, details: bool) -> Decision:
    found = random_walk.band([weight], level, source)
    mask = random_walk.preference(weight, found, source)
    classes = None
    if details:
        classes = _classes(mask, random_walk.in_band(weight, found, source))
    fit = None if null is None else null_fit(weight, null)
    misfit = (misfit_of(fit) if fit else None) or unequal(found)
    evidence = Evidence(
        test="walk",
        level=level,
        correction="none",
        confirmed=confirmed_share(mask),
        null=None if null is None or null.estimated else null,
        bandwidth=found.width,
        classes=(found.preferred, found.random, found.suppressed),
        power=_walk_power(found, null, weight.shape[1] if source == "inputs" else weight.shape[0]),
        fit=fit,
        misfit=misfit,
        notes=band_notes(found),
    )
    return Decision(mask, evidence, classes=classes)


def _walk_power(found: random_walk.Band, null: Null | None, features: int) -> str:
    """What the band at hand makes of weights that nothing trained, under the null in use or under both."""
    families = FAMILIES if null is None else (null.family,)
    shares = [
        f"{random_walk.untouched_preference(found, family, features):.1%} of {family} ones" for family in families
    ]
    return f"calls untouched weights preferred as well: {' or '.join(shares)}, with the band found here"


def _classes(preferred: Array, inside: Array) -> Array:
    """1, 0 and -1 as int8."""
    if isinstance(preferred, np.ndarray):
        return preferred.astype(np.int8) * np.int8(2) + inside - np.int8(1)
    import torch

    return preferred.to(torch.int8) * 2 + inside - 1
