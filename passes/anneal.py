"""The statistical tests of annealing: keep an edge only where learning confirmed it (paper 3.2 to 3.4).

Each test turns a weight, or the sequences of a feed-forward block, into a Boolean matrix of confirmed edges and the
evidence for it. Nothing is removed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..ir.errors import ScissionError
from ..ir.evidence import Evidence
from ..ir.null import Null
from . import neyman, random_walk
from .chunked import Array, as_real, empty_mask, row_chunks
from .correction import Correction, corrected
from .null_fit import null_fit

__all__ = ["AnnealError", "Decision", "EdgeTest", "SequenceTest", "confirm", "confirm_sequences", "smallest_signal"]

EdgeTest = Literal["neyman", "walk", "edges", "support", "update"]
SequenceTest = Literal["norm", "consistency", "sequences"]


class AnnealError(ScissionError):
    """A test that cannot be made of this weight; the message says what is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a test decided about the edges of a weight (K, N).

    confirmed: Boolean matrix, where the weight lies; p_values: float32, classes: int8 (1 preferred, 0 random,
    -1 suppressed), both only on request and where the test has them.
    """

    confirmed: Array
    evidence: Evidence
    p_values: Array | None = None
    classes: Array | None = None


def confirm(
    weight: Array,
    test: EdgeTest,
    *,
    null: Null | None = None,
    initial: npt.NDArray[Any] | None = None,
    tolerance: tuple[float, float] = (0.0, 0.0),
    level: float = 0.05,
    correction: Correction = "bonferroni",
    source: random_walk.Source = "inputs",
    details: bool = False,
) -> Decision:
    """Which edges of a weight (K, N), a numpy array or a tensor on any torch device, learning confirmed.

    test: 'neyman' (paper 3.2.1, |w| improbable under the null), 'walk' (3.2.2, above the band of equal influence),
    'edges' (3.4, both), 'support' (|w| larger than a bounded initialisation can be: no false edge at all), 'update'
    (|w - w0| above the tolerance, (relative to |w0|, absolute), with the `initial` checkpoint). level: alpha of the
    whole weight, shared out by `correction` among its entries; for the walk the level of its homogeneity test. Works a
    chunk at a time: beside the weight there is the answer, a quarter of its size. NaN and infinities are always edges.
    Raises AnnealError when the test lacks its null or its checkpoint.

    >>> W = np.array([[5.0, 0.1], [0.2, -7.0]])
    >>> confirm(W, "neyman", null=Null(family="normal", scale=1, source="example")).confirmed.tolist()
    [[True, False], [False, True]]
    """
    if test not in get_args(EdgeTest):
        raise AnnealError(f"unknown test {test!r}; use one of {', '.join(get_args(EdgeTest))}")
    _check(level, correction)
    if test == "update":
        return _updated(weight, initial, tolerance, level)
    if test == "walk":
        return _walk(weight, level, source, details)
    if null is None:
        raise AnnealError(f"the test {test!r} needs the distribution of an untouched weight; give --init or --initial")
    if test == "support":
        return _support(weight, null, level)
    found = _neyman(weight, null, level, correction, details)
    if test == "neyman":
        return found
    other = _walk(weight, level, source, details)
    both = _both(found.confirmed, other.confirmed)
    evidence = replace(
        found.evidence,
        test="edges",
        confirmed=_share(both),
        bandwidth=other.evidence.bandwidth,
        classes=other.evidence.classes,
        power=f"{found.evidence.power}; {other.evidence.power}",
        notes=found.evidence.notes + other.evidence.notes,
    )
    return Decision(both, evidence, found.p_values, other.classes)


def _check(level: float, correction: Correction) -> None:
    if not 0 < level < 1:
        raise AnnealError(f"a level lies between 0 and 1, not at {level}")
    if correction not in get_args(Correction):
        raise AnnealError(f"unknown correction {correction!r}; use one of {', '.join(get_args(Correction))}")


def _neyman(weight: Array, null: Null, level: float, correction: Correction, details: bool) -> Decision:
    tests = math.prod(weight.shape)
    per_edge = corrected(level, tests, correction, lambda p: neyman.count_above(weight, null.threshold(p)))
    threshold = null.threshold(per_edge)
    mask = neyman.above(weight, threshold)
    signal = smallest_signal(weight.shape, null, threshold)
    evidence = Evidence(
        test="neyman",
        level=level,
        correction=correction,
        confirmed=_share(mask),
        null=null,
        per_edge=per_edge,
        expected_false=per_edge * tests,
        smallest=threshold if math.isfinite(threshold) else None,
        power=f"an edge is seen from |w| > {threshold:.3g}, half of the weight as a block from a signal of "
        f"{signal:.1f} sigma",
        fit=null_fit(weight, null),
        notes=_warnings(correction, per_edge, tests, weight.shape),
    )
    return Decision(mask, evidence, neyman.p_values(weight, null) if details else None)


def _warnings(correction: Correction, per_edge: float, tests: int, shape: Sequence[int]) -> tuple[str, ...]:
    notes = []
    if per_edge * math.sqrt(math.prod(shape)) >= 1:
        notes.append(
            f"noise alone percolates: {per_edge * tests:,.0f} false edges are expected, and from "
            f"{math.sqrt(tests):,.0f} on they join everything"
        )
    if correction == "benjamini-hochberg":
        notes.append("benjamini-hochberg bounds the share of false edges, not their number: one glues two blocks")
    return tuple(notes)


def smallest_signal(shape: Sequence[int], null: Null, threshold: float) -> float:
    """The standard deviation, in units of the null's sigma, that learning must have added to the entries of a block of
    half the weight for its confirmed edges to hold it together: mean degree above ln n + 3 on its shorter side.

    Inf where no signal would. Source: connectivity of random bipartite graphs (Erdos and Renyi, 1960).
    """
    from scipy.special import ndtri

    side = max(min(shape) / 2, 1.0)
    share = min((math.log(max(shape) / 2 + 1) + 3) / side, 1.0)
    if share >= 1:
        return math.inf
    z = -float(ndtri(share / 2))
    ratio = threshold / null.sigma / z
    return math.sqrt(max(ratio * ratio - 1, 0.0))


def _support(weight: Array, null: Null, level: float) -> Decision:
    if null.estimated:
        raise AnnealError(
            "the test 'support' needs the largest value of the initialisation, and an estimate from the trained weight "
            "is none; give --init, such as torch_linear or uniform:a"
        )
    if null.family != "uniform":
        raise AnnealError(
            "the test 'support' needs a bounded initialisation, such as --init torch_linear or uniform:a; a normal one "
            "has no largest value"
        )
    mask = neyman.above(weight, null.scale * (1 + _roundoff(weight)))
    evidence = Evidence(
        test="support",
        level=level,
        correction="none",
        confirmed=_share(mask),
        null=null,
        per_edge=0.0,
        expected_false=0.0,
        smallest=null.scale,
        power=f"an edge is seen when learning made |w| larger than {null.scale:.3g}, which no initialisation does",
        fit=null_fit(weight, null),
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


def _updated(weight: Array, initial: npt.NDArray[Any] | None, tolerance: tuple[float, float], level: float) -> Decision:
    if initial is None:
        raise AnnealError("the test 'update' needs the initial checkpoint; give --initial")
    if tuple(initial.shape) != tuple(weight.shape):
        raise AnnealError(f"the initial weight has shape {tuple(initial.shape)}, the trained one {tuple(weight.shape)}")
    mask = empty_mask(weight)
    for rows in row_chunks(weight):
        now, then = as_real(weight[rows]), _beside(weight, as_real(initial[rows]))
        with np.errstate(invalid="ignore", over="ignore"):
            change = abs(now - then)
            same = (change <= tolerance[0] * abs(then) + tolerance[1]) & (change < math.inf)
        mask[rows] = ~same
    evidence = Evidence(
        test="update",
        level=level,
        correction="none",
        confirmed=_share(mask),
        expected_false=0.0,
        smallest=tolerance[1],
        power="any update is seen; weight decay, Adam with a shared loss and normalisation update every edge",
    )
    return Decision(mask, evidence)


def _beside(weight: Array, host: npt.NDArray[Any]) -> Array:
    """A host chunk where the weight lies."""
    if isinstance(weight, np.ndarray) or not isinstance(host, np.ndarray):
        return host
    import torch

    return torch.from_numpy(np.array(host, order="C")).to(weight.device)  # a copy: torch warns of read-only memory


def _walk(weight: Array, level: float, source: random_walk.Source, details: bool) -> Decision:
    found = random_walk.band([weight], level, source)
    mask = random_walk.preference(weight, found, source)
    classes = None
    if details:
        classes = _classes(mask, random_walk.in_band(weight, found, source))
    evidence = Evidence(
        test="walk",
        level=level,
        correction="none",
        confirmed=_share(mask),
        bandwidth=found.width,
        classes=(found.preferred, found.random, found.suppressed),
        power="calls 34-42 % of pure Gaussian initialisation preferred, whatever the level",
        notes=_band_notes(found),
    )
    return Decision(mask, evidence, classes=classes)


def _classes(preferred: Array, inside: Array) -> Array:
    """1, 0 and -1 as int8."""
    if isinstance(preferred, np.ndarray):
        return preferred.astype(np.int8) * np.int8(2) + inside - np.int8(1)
    import torch

    return preferred.to(torch.int8) * 2 + inside - 1


def _band_notes(found: random_walk.Band) -> tuple[str, ...]:
    if found.held:
        return ()
    if not found.windows:
        return ("too few entries near an equal share to test whether influence is equal: delta* is 0",)
    return ("the null of equal influence never held: delta* is 0",)


def confirm_sequences(
    theta: Sequence[Array],
    test: SequenceTest,
    *,
    nulls: Sequence[Null] = (),
    level: float = 0.05,
    correction: Correction = "bonferroni",
    source: random_walk.Source = "inputs",
    details: bool = False,
) -> Decision:
    """Which edges of a feed-forward block of C channels are confirmed by the sequence of their 2C weights.

    theta: 2C matrices (d, d), inputs in rows; nulls: one for each; test: 'norm' (paper 3.3.1), 'consistency' (3.3.2),
    'sequences' (3.4, both). Raises AnnealError for an unknown test or a missing null.
    """
    if test not in get_args(SequenceTest):
        raise AnnealError(f"unknown test {test!r}; use one of {', '.join(get_args(SequenceTest))}")
    _check(level, correction)
    if test == "consistency":
        return _consistency(theta, level, correction, source)
    if len(nulls) != len(theta):
        raise AnnealError(f"{len(theta)} channels need as many nulls, not {len(nulls)}; give --init")
    if len({null.family for null in nulls}) > 1:
        raise AnnealError("the weights of a sequence must have one family of null, normal or uniform; give --init")
    found = _norm(theta, nulls, level, correction, details)
    if test == "norm":
        return found
    other = _consistency(theta, level, correction, source)
    both = _both(found.confirmed, other.confirmed)
    evidence = replace(
        found.evidence,
        test="sequences",
        confirmed=_share(both),
        bandwidth=other.evidence.bandwidth,
        classes=other.evidence.classes,
        power=f"{found.evidence.power}; {other.evidence.power}",
        notes=found.evidence.notes + other.evidence.notes,
    )
    return Decision(both, evidence, found.p_values)


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
        from .chunked import to_host

        p = neyman.norm_p_values(to_host(squares), nulls).astype(np.float32)
    evidence = Evidence(
        test="norm",
        level=level,
        correction=correction,
        confirmed=_share(mask),
        null=nulls[0],
        per_edge=per_edge,
        expected_false=per_edge * tests,
        smallest=math.sqrt(threshold) * nulls[0].sigma if math.isfinite(threshold) else None,
        power=f"an edge is seen when the norm of its {len(theta)} weights exceeds {math.sqrt(threshold):.3g} sigma",
        notes=(
            *_warnings(correction, per_edge, tests, squares.shape),
            "hidden units have no order of their own: shuffled ones hide the structure from this test",
        ),
    )
    return Decision(mask, evidence, p)


def _consistency(theta: Sequence[Array], level: float, correction: Correction, source: random_walk.Source) -> Decision:
    found = random_walk.band(theta, level, source)
    counts = random_walk.random_channels(theta, found, source)
    tests = counts.size
    tally = np.bincount(counts.ravel(), minlength=len(theta) + 1)
    tails = random_walk.tails(found, len(theta))
    per_edge = corrected(level, tests, correction, lambda p: int(tally[tails <= p].sum()))
    limit = int(np.searchsorted(tails, per_edge)) - 1
    mask = random_walk.not_finite(theta)
    if limit >= 0:
        mask |= _beside(theta[0], counts <= limit)
    power = (
        f"an edge is seen when at most {limit} of its {len(theta)} channels look random"
        if limit >= 0
        else f"it can reject nothing: {found.p0:.1%} of the population look random, and even an edge without one such "
        f"channel has p = {tails[0]:.2g}"
    )
    evidence = Evidence(
        test="consistency",
        level=level,
        correction=correction,
        confirmed=_share(mask),
        per_edge=per_edge,
        expected_false=float(tails[limit]) * tests if limit >= 0 else 0.0,
        bandwidth=found.width,
        classes=(found.preferred, found.random, found.suppressed),
        power=power,
        notes=_band_notes(found),
    )
    return Decision(mask, evidence)


def _both(one: Array, other: Array) -> Array:
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one & other
    return one & _beside(one, other)


def _share(mask: Array) -> float:
    share: float = float(mask.sum()) / max(math.prod(mask.shape), 1)
    return share
