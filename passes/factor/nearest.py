"""The products of two block-diagonal weights that are nearest to a weight, whatever it is: an analysis, no rewrite.

A weight (a · b, C · d) has a slice (a, d) for each place b and each group C. Its Monarch projection of rank r keeps the
r largest singular values of each slice, which is the nearest product of such stages in the Frobenius norm (Dao et al.,
Monarch, 2022); the nearest Kronecker product is the nearest matrix of rank 1 to the weight with all blocks as rows (Van
Loan and Pitsianis, 1993).

    error²  =  1 - sum of the squares that are kept / sum of all squares

The singular values of some slices estimate the former, a few steps of power iteration the latter: of large weights no
more is computed than of small ones, or nearly so.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ...ir.findings.near_products import NearProduct, NearProducts, SliceRanks
from .known_orders import SEED, divisors
from .stages import Array, Factors, Stage

__all__ = ["MonarchSplit", "monarch_splits", "near_products"]

EXTENTS = 3  # of a side, those nearest to its root, that are tried
RANKS = (1, 2, 4, 8)  # of the slices of Monarch projections
TOLD = 3  # factorisations that are told
WORK = 1 << 28  # multiply-adds of all singular values, and half as many of all Kronecker products
FEWEST = 16  # slices that are looked at, whatever they take
STEPS = 3  # of power iteration
NUMBERS = 20  # multiply-adds of the singular values of a matrix, in products of its extents with the smaller one
LARGEST = 1 << 26  # entries of a weight that is looked at
KRONECKER = "kronecker"
SAME = 0.01  # of the weight: errors that differ by less are the same, and what takes less is preferred


@dataclass(frozen=True, slots=True)
class MonarchSplit:
    """Extents of a weight (a · b, C · d), and whether outputs of a group lie C apart.

    Input i · b + j is the i-th of place j; output c · d + e the e-th of group c, or e · C + c where they are strided.
    """

    a: int
    b: int
    C: int
    d: int
    strided: bool

    def slices(self, weight: npt.NDArray[np.floating], most: int) -> Array:
        """(count, a, d): all slices, or as many as are wanted of them, drawn, in float64."""
        count = self.b * self.C
        picked = np.arange(count)
        if count > most:
            picked = np.sort(np.random.default_rng(SEED).choice(count, most, replace=False))
        place, group = np.divmod(picked, self.C)
        return weight[self.inputs[place][:, :, None], self.outputs[group][:, None, :]].astype(np.float64)

    @property
    def inputs(self) -> npt.NDArray[np.int64]:
        """(b, a): those of each place."""
        return np.arange(self.b)[:, None] + self.b * np.arange(self.a)

    @property
    def outputs(self) -> npt.NDArray[np.int64]:
        """(C, d): those of each group."""
        whole = np.arange(self.C * self.d)
        return whole.reshape(self.d, self.C).T if self.strided else whole.reshape(self.C, self.d)

    def factors(self, rank: int, *, shared: bool = False) -> Factors:
        """The stages of such a product, without what is in them; shared: whether one block is for all."""
        first = (1, 1 if shared else self.b, self.a, self.C * rank)
        last = (1 if shared else self.C, 1, rank * self.b, self.d)
        return self.of(_hollow(first, self.a, rank), _hollow(last, self.b, 1))

    def of(self, first: Stage, last: Stage) -> Factors:
        """These two stages, and the outputs where they belong."""
        order = np.arange(self.C * self.d)
        return Factors(stages=(first, last), order=order.reshape(self.C, self.d).T.ravel() if self.strided else order)


def near_products(
    weight: npt.NDArray[np.floating], gain: Callable[[Factors], float] | None = None
) -> NearProducts | None:
    """How near a weight (K, N) is to products of two stages; None where its extents are no products, or it is nothing,
    is not finite, or has more than 67 million entries.

    gain: predicted dense time over that of factors, None where nothing is to be predicted. Slices of large weights are
    sampled, always the same ones.

    >>> inner = np.arange(1.0, 17.0).reshape(4, 4)
    >>> found = near_products(np.kron(inner, inner))
    >>> [(one.how, one.rank, one.error < 1e-6) for one in found.products]
    [('monarch', 1, True), ('kronecker', 1, True)]
    """
    splits = list(monarch_splits(*weight.shape))
    if not splits or weight.size > LARGEST or not np.isfinite(weight).all() or not weight.any():
        return None
    found = []
    for split in splits:
        each = NUMBERS * split.a * split.d * min(split.a, split.d)
        slices = split.slices(weight, max(FEWEST, WORK // len(splits) // each))
        found.append((split, _singular_values(slices)))
    found = sorted(found, key=lambda one: _error(one[1], 1))
    products = [*_monarch(found, weight.size), *_kronecker(weight, [one for one in splits if not one.strided])]
    return NearProducts(
        slices=tuple(_ranks(*one) for one in found[:TOLD]),
        products=tuple(
            one
            if gain is None
            else replace(one, gain=round(gain(split.factors(one.rank, shared=one.how == KRONECKER)), 3))
            for split, one in products
        ),
    )


def monarch_splits(K: int, N: int) -> Iterator[MonarchSplit]:
    """Products of extents that a weight (K, N) can be taken for: near the roots of both sides, in both orders of the
    outputs."""
    for a, C, strided in itertools.product(_even(K), _even(N), (False, True)):
        yield MonarchSplit(a, K // a, C, N // C, strided)


def _even(extent: int) -> list[int]:
    inner = [one for one in divisors(extent) if 1 < one < extent]
    return sorted(inner, key=lambda one: abs(math.log(one * one / extent)))[:EXTENTS]


def _singular_values(slices: Array) -> Array:
    """(count, least extent), largest first, of matrices (count, a, d): small ones up to a root of rounding."""
    flat = slices if slices.shape[1] <= slices.shape[2] else slices.swapaxes(1, 2)
    squares: npt.NDArray[np.floating] = np.linalg.eigvalsh(flat @ flat.swapaxes(1, 2))
    return np.asarray(np.sqrt(np.maximum(squares[:, ::-1], 0.0)), np.float64)


def _error(values: Array, rank: int) -> float:
    """Of keeping so many singular values (count, least extent) of each slice."""
    squares = values**2
    left, whole = squares[:, rank:].sum(), squares.sum()
    return float(math.sqrt(left / whole)) if whole else 0.0


def _ranks(split: MonarchSplit, values: Array) -> SliceRanks:
    tolerance = max(split.a, split.d) * np.finfo(np.float32).eps * values[:, :1]
    ranks = np.count_nonzero(values > tolerance, axis=1)
    return SliceRanks(
        radix=split.a,
        places=split.b,
        groups=split.C,
        outputs=split.d,
        strided=split.strided,
        least=int(ranks.min()),
        most=int(ranks.max()),
        looked_at=len(values),
    )


def _monarch(found: list[tuple[MonarchSplit, Array]], dense: int) -> Iterator[tuple[MonarchSplit, NearProduct]]:
    """The nearest projection of each rank that takes less than the weight; none above the first that is exact."""
    for rank in RANKS:
        ways = [
            (round(error / SAME), macs, error, split)
            for split, values in found
            if rank < min(split.a, split.d) and (macs := split.factors(rank).macs) < dense
            for error in [_error(values, rank)]
        ]
        if not ways:
            return
        _, macs, error, split = min(ways, key=lambda one: one[:3])
        yield split, _near("monarch", split, rank, error, macs)
        if error < np.finfo(np.float32).eps:
            return


def _kronecker(
    weight: npt.NDArray[np.floating], splits: list[MonarchSplit]
) -> Iterator[tuple[MonarchSplit, NearProduct]]:
    """The nearest Kronecker product, as far as the work allows to look."""
    best: tuple[float, MonarchSplit] | None = None
    for split in splits[: max(1, WORK // (4 * STEPS * weight.size))]:
        blocks = weight.reshape(split.a, split.b, split.C, split.d).swapaxes(1, 2).reshape(split.a * split.C, -1)
        left = _of_rank_one(np.ascontiguousarray(blocks))
        if best is None or left < best[0]:
            best = left, split
    if best is not None:
        macs = best[1].factors(1, shared=True).macs
        yield best[1], _near("kronecker", best[1], 1, best[0], macs)


def _of_rank_one(matrix: npt.NDArray[np.floating]) -> float:
    """The error of the nearest matrix of rank 1 at the most, relative to the matrix."""
    tiny = float(np.finfo(np.float32).tiny)
    right = np.asarray(np.random.default_rng(SEED).standard_normal(matrix.shape[1]), matrix.dtype)
    for _ in range(STEPS):
        left = matrix @ (right / max(float(np.linalg.norm(right)), tiny))
        left = left / max(float(np.linalg.norm(left)), tiny)
        right = left @ matrix
    return float(np.linalg.norm(matrix - left[:, None] * right) / max(float(np.linalg.norm(matrix)), tiny))


def _near(how: str, split: MonarchSplit, rank: int, error: float, macs: int) -> NearProduct:
    return NearProduct(
        how="kronecker" if how == KRONECKER else "monarch",
        radix=split.a,
        places=split.b,
        groups=split.C,
        outputs=split.d,
        strided=split.strided,
        rank=rank,
        error=round(error, 6),
        macs=macs,
    )


def _hollow(shape: tuple[int, int, int, int], radix: int, ranks: int) -> Stage:
    """A stage of which only the shape counts."""
    return Stage(weight=np.broadcast_to(np.float64(0), shape), radix=radix, ranks=ranks)
