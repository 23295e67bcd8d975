"""Block-level annealing: blocks hidden in a noisy weight, found by co-clustering and believed only with a
certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.evidence.evidence import Evidence
from ....ir.evidence.null import Null
from ....ir.plan.plan import Decomposition
from ...cocluster.coclustering import Partition, cocluster, same_block, strips
from ...cocluster.energies import energies, learned_moments, moments
from ...cocluster.spectral_start import MARGIN
from ...connectivity.bipartite import numbered
from ...connectivity.chunked import as_real
from ...decompose.blocks import decompose
from ..edges.null_fit import null_fit
from ..edges.schemes import NORMAL_MEDIAN, SchemeError, estimate
from .certificate import ACCEPTED, MISPLACED, RESIDUAL, RESIDUAL_LEVEL, believed, certify, refused
from .folds import cross_fit, fewest_entries

__all__ = ["BlockDecision", "anneal_blocks", "smallest_block_signal"]

Mask = npt.NDArray[np.bool_]
OUTLIER = 5.0  # sigma; what is larger does not come into the estimate of sigma


@dataclass(frozen=True, slots=True, eq=False)
class BlockDecision:
    """The blocks that the certificate accepts, None where there are none.

    residual: entries (k, n) outside the blocks that are too large for the null, of shape (count, 2); partition: what
    the search found, accepted or not.
    """

    decomposition: Decomposition | None
    residual: npt.NDArray[np.int64]
    partition: Partition
    evidence: Evidence


def anneal_blocks(
    weight: npt.NDArray[Any], null: Null | None = None, *, seed: int = 0, allowed: int = RESIDUAL
) -> BlockDecision:
    """Blocks of a weight (K, N) outside of which it looks as it was initialised.

    null: of an untouched weight; without one sigma is estimated, first from the bulk and then from what lies outside
    the blocks, and only the homogeneity of that can be tested, not its level. allowed: residual entries. On noise of
    independent entries, and on a single dense block of them, blocks are accepted with probability at most 1e-3 a
    weight, whatever the search finds. NaN and infinities are as large as any entry. Deterministic given `seed`. Memory:
    about six times the weight in float32.

    >>> rng = np.random.default_rng(0)
    >>> block = np.kron(np.eye(2), np.ones((64, 64)))
    >>> W = rng.normal(size=(128, 128)) + 2 * block * rng.normal(size=(128, 128))
    >>> found = anneal_blocks(W, Null(family="normal", scale=1, source="example"))
    >>> [part.shape for part in found.decomposition.blocks]
    [(64, 64), (64, 64)]
    """
    trusted = null is not None and not null.estimated
    try:
        used = _rounded(null, weight.dtype) if null is not None else estimate(weight)
    except SchemeError as error:
        return _nothing(weight, str(error))
    if not trusted:
        used = Null(family="normal", scale=used.sigma, source=used.source, estimated=True)
    energy = energies(weight, used)
    found = cocluster(energy, np.random.default_rng(seed))
    if not trusted and found.count > 1:
        used = _outside_null(weight, found, used)
        energy = energies(weight, used)
        found = cocluster(energy, np.random.default_rng(seed))
    folds = cross_fit(energy, seed) if found.count > 1 else ()
    found, dropped = believed(energy, found, folds)
    residual, largest = _residual(weight, used, found)
    certificate = certify(weight, energy, found, residual, null=used, seed=seed, allowed=allowed, folds=folds)
    if found.count > 1:
        certificate = replace(certificate, largest=largest, dropped=dropped)
    decomposition = _decomposition(found) if certificate.accepted else None
    kept = decomposition.mac_share if decomposition else 1.0
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # weights and scale at the ends of their type
        fit = null_fit(_outside(weight, found) if found.count > 1 else weight, used)
    evidence = Evidence(
        test="blocks",
        level=ACCEPTED,
        correction="none",
        confirmed=round(kept, 6),
        null=used,
        smallest=used.threshold(RESIDUAL_LEVEL / max(weight.size, 1)),
        power=_power(weight.shape, used.family),
        fit=fit,
        certificate=certificate,
        notes=() if trusted else ("sigma was estimated from this weight: the level of the noise could not be tested",),
    )
    return BlockDecision(
        decomposition, np.argwhere(residual) if decomposition else np.zeros((0, 2), np.int64), found, evidence
    )


def _nothing(weight: npt.NDArray[Any], reason: str) -> BlockDecision:
    """The decision on a weight that has too few entries to be told from its null."""
    found = cocluster(np.zeros(weight.shape, np.float32), np.random.default_rng(0))
    evidence = Evidence(
        test="blocks",
        level=ACCEPTED,
        correction="none",
        confirmed=1.0,
        power=_power(weight.shape, "normal"),
        certificate=refused(found.count, reason),
    )
    return BlockDecision(None, np.zeros((0, 2), np.int64), found, evidence)


def _rounded(null: Null, dtype: Any) -> Null:
    """A uniform null widened by as much as a half type may have rounded its largest weights up; others as they are."""
    import ml_dtypes

    if null.family != "uniform" or dtype.itemsize > 2 or dtype.kind in "iub":
        return null
    info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    return replace(null, scale=null.scale * (1 + float(info.eps) / 2))


def _decomposition(found: Partition) -> Decomposition:
    return decompose(numbered(found.inputs.copy(), found.outputs.copy(), 0))


def _outside(weight: npt.NDArray[Any], found: Partition) -> npt.NDArray[np.float32]:
    """The weight with NaN inside the blocks."""
    out = np.empty(weight.shape, np.float32)
    with np.errstate(over="ignore"):  # what float32 cannot hold is an outlier all the same
        for rows in strips(weight):
            out[rows] = np.where(same_block(found, rows), np.nan, as_real(weight[rows]))
    return out


def _outside_null(weight: npt.NDArray[Any], found: Partition, rough: Null) -> Null:
    """Normal, with the deviation of the entries outside the blocks, the few outliers and exact zeros among them left
    out; the rough null where there are no others."""
    left = np.abs(_outside(weight, found))
    left = left[(left > 0) & (left < np.inf)].astype(np.float64)
    if left.size < 2:
        return rough
    inner = left[left <= OUTLIER / NORMAL_MEDIAN * float(np.median(left))]
    sigma = math.sqrt(float((inner**2).mean()))
    return Null(family="normal", scale=sigma, source="estimated from the entries outside the blocks", estimated=True)


def _residual(weight: npt.NDArray[Any], null: Null, found: Partition) -> tuple[Mask, float]:
    """Entries outside the blocks above the largest that as many untouched ones would have; p-value of the next one."""
    mask = np.zeros(weight.shape, bool)
    if found.count < 2:
        return mask, 1.0
    threshold = null.threshold(RESIDUAL_LEVEL / weight.size)
    next_largest, entries = 0.0, 0
    for rows in strips(weight):
        outside = ~same_block(found, rows)
        part = np.abs(np.nan_to_num(weight[rows].astype(np.float64), nan=np.inf))
        mask[rows] = outside & (part > threshold)
        rest = part[outside & ~mask[rows]]
        next_largest, entries = max(next_largest, float(rest.max(initial=0.0))), entries + rest.size
    return mask, min(1.0, float(null.p_value(next_largest)) * entries)


def _power(shape: tuple[int, ...], family: str) -> str:
    K, N = shape
    parts = [(count, smallest_block_signal((K, N), count, family)) for count in (2, 8)]
    shown = [f"{count} equal blocks from a signal of {s:.2f} sigma" for count, s in parts if math.isfinite(s)]
    return "; ".join(shown) or "the weight is too small for any block to be told from noise"


def smallest_block_signal(shape: tuple[int, int], blocks: int, family: str = "normal") -> float:
    """The deviation that learning must have added inside equal blocks, in units of sigma, for them to be found and
    certified under a null of this family, 'normal' (also where sigma is estimated) or 'uniform'.

    Three conditions: each block has as many entries as held-out ones need to confirm it, the block pattern stands out
    of the noise of the energies (Benaych-Georges and Nadakuditi, 2012), and a feature, its energies summed over each
    block, lands in a wrong one with probability at most MISPLACED. Inf where no signal up to 100 sigma does.

    >>> 0.5 < smallest_block_signal((384, 384), 4) < 1.0 < smallest_block_signal((384, 384), 8) < 1.5
    True
    """
    K, N = shape
    if K * N / blocks**2 < fewest_entries(ACCEPTED, blocks):
        return math.inf
    low, high = 0.0, 100.0
    if not _seen(shape, blocks, high, family):
        return math.inf
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (low, middle) if _seen(shape, blocks, middle, family) else (middle, high)
    return high


def _seen(shape: tuple[int, int], blocks: int, signal: float, family: str) -> bool:
    from scipy.special import ndtr

    K, N = shape
    (level, spread), (own, inside) = moments(), learned_moments(family, signal)
    v = spread + (inside - spread) / blocks
    strength = (own - level) * math.sqrt(K * N) / blocks
    if strength <= 0:
        return False
    top = math.sqrt((strength**2 + v * K) * (strength**2 + v * N)) / strength
    visible = strength > math.sqrt(v) * (K * N) ** 0.25 and top > MARGIN * math.sqrt(v) * (math.sqrt(K) + math.sqrt(N))
    wrong = 0.0
    for features, entries in ((K, N / blocks), (N, K / blocks)):
        z = (own - level) * entries / math.sqrt(entries * (inside + spread))
        wrong += features * min((blocks - 1) * float(ndtr(-z)), 1.0)
    return visible and wrong / (K + N) <= MISPLACED
