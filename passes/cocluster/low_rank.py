"""Blocks and low rank: what the part outside a few large blocks would take as a product of two thin factors.

An analysis only. No operator is written this way, since factors change what is computed: they are rounded, or leave out
what is small. Source of the ranks: blocked randomised QB, Martinsson and Voronin, A randomized blocked algorithm for
efficiently computing rank-revealing factorizations of matrices, 2016.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.plan.decomposition import Block, Decomposition
from ..connectivity.chunked import as_real
from ..decompose.blocks import group
from .coclustering import cocluster
from .energies import CAP
from .spectral_start import MARGIN

__all__ = ["COUNTS", "LARGEST", "LowRank", "low_rank", "partitions", "ranks_within"]

Float = npt.NDArray[np.float64]

COUNTS = (2, 4, 8)  # of blocks
LARGEST = 1 << 24  # entries that are looked at, in float64
CLOSE = 1e-3  # relative Frobenius error of the whole weight
ROUNDED = 8  # units in the last place that entries of a product may be off
FINEST = 1e-10  # relative error that systems of normal equations in float64 can tell from none
FACTORS = 32  # columns of the first sketch; it grows fourfold
QUIET = 0.1  # of the mean energy: what differs below tells nothing of blocks
SPIKES = 64  # singular vectors that may hide the blocks
SAMPLE = 256  # rows on which it is seen whether they are enough
SWEEPS = 50  # of alternating least squares
STALLED = 0.98  # of the error before: a sweep that gains less is the last
DEPENDENT = 1e-10  # of the largest eigenvalue of a Gram matrix: below, a direction is left to the next sketch


@dataclass(frozen=True, slots=True, kw_only=True)
class LowRank:
    """What a weight (K, N) takes as blocks and a product of thin factors (K, rank) and (rank, N) for what is outside.

    blocks: the largest part of it, of about equal size; exact: the rank at which nothing is left but rounding, of
    entries of the weight's type; close: the rank at which the whole weight is off by a thousandth, in the Frobenius
    norm. Either is None where it would take as many multiply-adds as the dense weight.

    >>> two = (Block([0, 1], [0, 1]), Block([2, 3], [2, 3]))
    >>> found = LowRank(blocks=Decomposition((4, 4), two), exact=None, close=1)
    >>> found.exact_share, found.close_share
    (None, 1.0)
    """

    blocks: Decomposition
    exact: int | None
    close: int | None

    @property
    def exact_share(self) -> float | None:
        """Multiply-adds over those of the dense weight where nothing but rounding is lost; None for as many or more."""
        return self._share(self.exact)

    @property
    def close_share(self) -> float | None:
        """The same where a thousandth is lost."""
        return self._share(self.close)

    def _share(self, rank: int | None) -> float | None:
        K, N = self.blocks.shape
        return None if rank is None else self.blocks.mac_share + rank * (K + N) / (K * N)


def low_rank(weight: npt.NDArray[Any], seed: int = 0) -> tuple[LowRank, ...]:
    """What a weight (K, N) takes in 2, 4 and 8 blocks of about equal size beside a product of low rank.

    Blocks are those that co-clustering finds in the energies of the entries, or of what the leading singular vectors
    leave of them, put together where there are more; else they follow one another in the order of the weight. The
    search is no proof that there are no better blocks. Nothing for a weight that is all zero, not finite, has more than
    `LARGEST` entries, or fewer inputs or outputs than two blocks need. Deterministic given the seed. Memory: five
    copies of the weight in float64.

    >>> rng = np.random.default_rng(0)
    >>> W = 4 * np.kron(np.eye(2), rng.normal(size=(40, 40))) + np.outer(*rng.normal(size=(2, 80)))
    >>> [(len(found.blocks.blocks), found.exact) for found in low_rank(W)[:1]]
    [(2, 1)]
    """
    K, N = weight.shape
    if K * N > LARGEST or min(K, N) < 2 * COUNTS[0]:
        return ()
    values = as_real(weight).astype(np.float64)
    size = float(np.linalg.norm(values)) if np.isfinite(values).all() else 0.0
    if not size:
        return ()
    rng = np.random.default_rng(seed)
    values /= size / math.sqrt(K * N)  # so that squares are energies of mean 1
    unit = _unit(weight.dtype)
    counts = [count for count in COUNTS if min(K, N) >= 2 * count]
    found: dict[int, LowRank] = {}
    for blocks in partitions(values, rng):  # each takes as long as all the rest
        for count in counts:
            if len(blocks.blocks) >= count:
                one = _measured(values, group(blocks, count), unit, rng)
                found[count] = min(found.get(count, one), one, key=_merit)
        if all(count in found and found[count].exact is not None for count in counts):
            break
    for count in counts:
        if count not in found:
            found[count] = _measured(values, _in_order((K, N), count), unit, rng)
    return tuple(found[count] for count in counts)


def ranks_within(matrix: Float, errors: Sequence[float], most: int, rng: np.random.Generator) -> list[int | None]:
    """The rank at which a product of thin factors is nearer than each Frobenius error; None where that exceeds `most`.

    matrix: is overwritten. The ranks are those of products that were found, up to a few more than the least. What is
    sketched also tells when to stop, since what is left, in squares s, needs a rank of (sum s)^2 / sum s^2 at least.

    >>> ranks_within(np.diag([3.0, 2.0, 0.1, 0.0]), [1e-9, 0.2, 9.0], 4, np.random.default_rng(0))
    [3, 2, 0]
    """
    rest, factors = matrix, [np.zeros((0, matrix.shape[1]))]
    hopeless: set[float] = set()
    width = FACTORS
    while True:
        left = float(np.vdot(rest, rest))
        if not (open_ := [one for one in errors if left > one * one and one not in hopeless]):
            break
        image = rest @ rng.standard_normal((rest.shape[1], min(width, max(FACTORS, *rest.shape))))
        turned = rest.T @ image
        squares = float(np.vdot(turned, turned)) / image.shape[1]  # of the squared singular values, on average
        for one in open_:
            if (left - one * one) ** 2 > most * squares or sum(map(len, factors)) > most:
                hopeless.add(one)
        if len(hopeless & set(open_)) < len(open_):
            basis = _orthonormal(rest @ turned)
            factors.append(basis.T @ rest)
            rest -= basis @ factors[-1]
            width *= 3  # four times as many as before together
    rows = np.concatenate(factors)  # the squares of their singular values are enough, and found faster
    squares_ = np.maximum(np.linalg.eigvalsh(rows @ rows.T), 0.0) if len(rows) else np.zeros(0)
    tails = np.append(np.cumsum(squares_)[::-1], 0.0) + left
    found = [None if one in hopeless else int(np.argmax(tails <= max(one * one, left))) for one in errors]
    return [rank if rank is not None and rank <= most else None for rank in found]


def _orthonormal(columns: Float) -> Float:
    """An orthonormal basis of what independent columns span; two passes of products, which threads share better than
    the steps of a QR decomposition."""
    for _ in range(2):
        squares, vectors = np.linalg.eigh(columns.T @ columns)
        kept = squares > DEPENDENT * squares[-1]
        columns = columns @ (vectors[:, kept] / np.sqrt(squares[kept]))
    return columns


def _unit(dtype: np.dtype[Any]) -> float:
    """The relative error of products of a type that is taken for rounding."""
    import ml_dtypes

    finfo: Any = ml_dtypes.finfo  # knows the types of numpy as well, and has none of its own
    if dtype.kind in "iub" or dtype.name.startswith(("int", "uint")):
        return FINEST
    return max(ROUNDED * float(finfo(dtype).eps), FINEST)


def partitions(values: Float, rng: np.random.Generator) -> Iterator[Decomposition]:
    """Blocks in the energies of what is left without the leading singular vectors, and of the weight as it is.

    values: (K, N), with squares of 1 on average; a search takes as long as it takes to ask for the next.
    """
    for part in (*_cleared(values, rng), values):
        energy = np.clip(part * part, QUIET, CAP).astype(np.float32)
        found = cocluster(energy, rng)
        sides = [[np.flatnonzero(labels == b) for b in range(found.count)] for labels in (found.inputs, found.outputs)]
        blocks = tuple(Block(i, o) for i, o in zip(*sides, strict=True) if i.size and o.size)
        if len(blocks) > 1:
            yield Decomposition(values.shape, blocks)


def _cleared(values: Float, rng: np.random.Generator) -> Iterator[Float]:
    """The weight without the singular vectors that stand out of noise as large as what they leave, if any does."""
    K, N = values.shape
    image = values @ rng.standard_normal((N, min(SPIKES, K, N)))
    factor = _orthonormal(values @ (values.T @ image)).T @ values
    squares, vectors = (found[..., ::-1] for found in np.linalg.eigh(factor @ factor.T))
    noise = np.maximum(K * N - np.cumsum(squares), 0.0) / (K * N)
    spikes = squares > (MARGIN * (math.sqrt(K) + math.sqrt(N))) ** 2 * noise
    right = _orthonormal(factor.T @ vectors[:, spikes]) if spikes.any() else np.zeros((N, 0))
    rest = values - (values @ right) @ right.T
    size = float(np.linalg.norm(rest))
    if spikes.any() and size:
        yield rest * (math.sqrt(K * N) / size)


def _in_order(shape: tuple[int, int], count: int) -> Decomposition:
    """Blocks that follow one another."""
    sides = [np.array_split(np.arange(extent), count) for extent in shape]
    return Decomposition(shape, tuple(Block(i, o) for i, o in zip(*sides, strict=True)))


def _measured(values: Float, blocks: Decomposition, unit: float, rng: np.random.Generator) -> LowRank:
    """The ranks outside of some blocks, of values whose squares are 1 on average."""
    K, N = values.shape
    outside = values.copy()
    for block in blocks.blocks:
        outside[np.ix_(block.inputs, block.outputs)] = 0.0
    most = math.ceil((1 - blocks.mac_share) * K * N / (K + N)) - 1
    errors = [unit * float(np.linalg.norm(outside)), CLOSE * math.sqrt(K * N)]
    ranks: list[int | None] = []
    for rank, error in zip(_least(outside, blocks, errors, most, rng), errors, strict=True):
        known = rank is not None and rank in ranks  # at a smaller error
        ranks.append(rank if rank is not None and (known or _fits(outside, blocks, rank, error, rng)) else None)
    if None in ranks:
        plain = ranks_within(outside, errors, most, rng)
        ranks = [other if rank is None else rank for rank, other in zip(ranks, plain, strict=True)]
    return LowRank(blocks=blocks, exact=ranks[0], close=ranks[1])


def _least(
    outside: Float, blocks: Decomposition, errors: Sequence[float], most: int, rng: np.random.Generator
) -> list[int | None]:
    """The ranks that no product can do without, those of the rows of single blocks; None for an error where they tell
    nothing, being as large as the block."""
    least: list[int | None] = [0 for _ in errors]
    for block in blocks.blocks:
        found = ranks_within(outside[block.inputs], errors, min(most, block.inputs.size - 1), rng)
        pairs = zip(least, found, strict=True)
        least = [None if one is None or other is None else max(one, other) for one, other in pairs]
        if least.count(None) == len(least):
            break
    return least


def _fits(outside: Float, blocks: Decomposition, rank: int, error: float, rng: np.random.Generator) -> bool:
    """Whether a product of this rank is so near outside the blocks, inside which it may be anything.

    By alternating least squares: given one factor the other one is a small system for each block, whose features all
    lack the same entries.
    """
    pairs = [(block.inputs, block.outputs) for block in blocks.blocks]
    turned = [pair[::-1] for pair in pairs]
    right = outside.T @ (outside @ rng.standard_normal((outside.shape[1], rank)))  # near the leading singular vectors
    right = _orthonormal(outside.T @ (outside @ _orthonormal(right))) if rank else right
    rows = np.sort(rng.permutation(outside.shape[0])[:SAMPLE])
    before = math.inf
    for _ in range(SWEEPS if rank else 0):
        left = _orthonormal(_solved(outside, right, pairs))
        right = _solved(outside.T, left, turned)
        off = _off(outside, left, right, pairs, rows)
        if off * off <= error * error * rows.size / outside.shape[0]:  # as many as were looked at may be off
            return _off(outside, left, right, pairs, np.arange(outside.shape[0])) <= error
        if off > STALLED * before:
            return False
        before = off
    return float(np.linalg.norm(outside)) <= error


def _off(outside: Float, left: Float, right: Float, pairs: Sequence[tuple[Any, Any]], rows: Any) -> float:
    """How far some rows of a product are from those of the weight, outside the blocks."""
    rest = outside[rows] - left[rows] @ right.T
    for inputs, outputs in pairs:
        rest[np.ix_(np.flatnonzero(np.isin(rows, inputs)), outputs)] = 0.0
    return float(np.linalg.norm(rest))


def _solved(target: Float, factor: Float, pairs: Sequence[tuple[Any, Any]]) -> Float:
    """The best other factor; pairs: the rows and columns of each block, whose entries do not count."""
    gram = factor.T @ factor
    found = target @ factor
    solved: Float = found @ np.linalg.pinv(gram, hermitian=True)
    for rows, columns in pairs:
        own = gram - factor[columns].T @ factor[columns]
        solved[rows] = found[rows] @ np.linalg.pinv(own, hermitian=True)
    return solved


def _merit(found: LowRank) -> tuple[float, float]:
    """What is least of the best; a rank that is too large counts as all of the dense weight."""
    return found.exact_share or 1.0, found.close_share or 1.0
