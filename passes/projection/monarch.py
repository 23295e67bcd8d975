"""Weights as products of two block-diagonal ones, fitted to samples by alternating least squares.

A Monarch weight (a · b, C · d) has a slice of rank r for each place b and each group C (Dao et al., Monarch, 2022):

    W[place j, group c] = U[j, c] V[j, c],          (a, r) (r, d)

Where inputs are uncorrelated slices are nearest one by one. Where they are not, places make up for one another: each is
fitted to what the others of its group leave, a reduced-rank regression of its own, and then all V of a group together,
plain least squares. Each step is an optimum, so that the loss never grows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..factor.nearest import MonarchSplit
from ..factor.stages import Factors, Stage
from .moments import Float64, Moments

__all__ = ["MonarchFactors", "monarch", "slice_losses"]

SWEEPS = 8
STALLED = 0.99  # of the loss before: a sweep that gains less is the last


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MonarchFactors:
    """first (b, C, a, r) and last (b, C, r, d): U and V of each place and group; losses: of each sweep."""

    split: MonarchSplit
    first: Float64
    last: Float64
    losses: tuple[float, ...]

    @property
    def product(self) -> Float64:
        """(K, N)."""
        split = self.split
        found = np.empty((split.a * split.b, split.C * split.d))
        inputs, outputs = split.inputs, split.outputs
        for place, (left, right) in enumerate(zip(self.first, self.last, strict=True)):
            for group, slice_ in enumerate(left @ right):
                found[np.ix_(inputs[place], outputs[group])] = slice_
        return found

    @property
    def factors(self) -> Factors:
        """The same as stages."""
        b, C, a, r = self.first.shape
        first = self.first.transpose(0, 2, 1, 3).reshape(1, b, a, C * r)
        last = self.last.transpose(1, 2, 0, 3).reshape(C, 1, r * b, -1)
        return self.split.of(
            Stage(weight=first, radix=self.split.a, ranks=r), Stage(weight=last, radix=self.split.b, ranks=1)
        )


def slice_losses(moments: Moments, split: MonarchSplit) -> Float64:
    """(min(a, d) + 1,): what slices of each rank lose where each is fitted by itself, that of rank 0 first.

    An estimate: of inputs that are uncorrelated it is the least loss.
    """
    total = np.zeros(min(split.a, split.d) + 1)
    for place, inputs in enumerate(split.inputs):
        root = np.linalg.cholesky(moments.gram[np.ix_(inputs, inputs)])
        slices = root.T @ _of_place(moments.best, split, place)
        squares = np.square(np.linalg.svd(slices, compute_uv=False)).sum(axis=0)
        total += np.append(np.cumsum(squares[::-1])[::-1], 0.0)
    return total


def monarch(moments: Moments, split: MonarchSplit, rank: int, sweeps: int = SWEEPS) -> MonarchFactors:
    """Factors of slices of this rank; exact where the best weight is such a product. Raises ValueError where a rank is
    larger than slices are."""
    if not 0 < rank <= min(split.a, split.d):
        raise ValueError(f"slices of {split.a} x {split.d} are of rank {min(split.a, split.d)} at the most, not {rank}")
    state = _State.of(moments, split, rank)
    losses = [state.loss()]
    exact = np.finfo(np.float64).eps * max(moments.energy, np.finfo(np.float64).tiny)
    for _ in range(sweeps):
        if losses[-1] <= exact:
            break
        state.sweep()
        losses.append(state.loss())
        if losses[-1] > STALLED * losses[-2]:
            break
    return MonarchFactors(split=split, first=state.first, last=state.last, losses=tuple(losses))


def _of_place(weight: Float64, split: MonarchSplit, place: int) -> Float64:
    """(C, a, d): the slices of one place."""
    found: Float64 = weight[split.inputs[place][None, :, None], split.outputs[:, None, :]]
    return found


@dataclass(slots=True, eq=False)
class _State:
    """Factors under way, and what they leave of the best weight: left (C, K, d), groups in front."""

    moments: Moments
    split: MonarchSplit
    first: Float64
    last: Float64
    wanted: Float64
    left: Float64

    @classmethod
    def of(cls, moments: Moments, split: MonarchSplit, rank: int) -> _State:
        """Each slice fitted by itself."""
        wanted = np.ascontiguousarray(moments.best[:, split.outputs].transpose(1, 0, 2))
        shape = split.b, split.C
        first, last = np.zeros((*shape, split.a, rank)), np.zeros((*shape, rank, split.d))
        state = cls(moments, split, first, last, wanted, wanted.copy())
        for place, inputs in enumerate(split.inputs):
            state.fit(place, state.wanted[:, inputs])
        return state

    def loss(self) -> float:
        """Of the factors as they are."""
        return float(np.square(self.moments.root.T @ self.left).sum())

    def sweep(self) -> None:
        """Each place in turn, then all the last factors of each group."""
        gram = self.moments.gram
        for place, inputs in enumerate(self.split.inputs):
            own = gram[np.ix_(inputs, inputs)]
            read = gram[inputs] @ self.left  # (C, a, d): what is left, as this place sees it
            self.fit(place, np.linalg.solve(own, read) + self.first[place] @ self.last[place])
        self._all_last()

    def fit(self, place: int, wanted: Float64) -> None:
        """The slices of a place nearest to some, (C, a, d), as its own inputs weigh them."""
        inputs = self.split.inputs[place]
        root = np.linalg.cholesky(self.moments.gram[np.ix_(inputs, inputs)])
        rank = self.first.shape[3]
        left, values, right = np.linalg.svd(root.T @ wanted, full_matrices=False)
        before = self.first[place] @ self.last[place]
        self.first[place] = np.linalg.solve(root.T, left[..., :rank] * np.sqrt(values[:, None, :rank]))
        self.last[place] = np.sqrt(values[:, :rank, None]) * right[:, :rank]
        self.left[:, inputs] += before - self.first[place] @ self.last[place]

    def _all_last(self) -> None:
        """V of all places of each group, given U: where that loses less, as it does but for rounding."""
        split, rank, root = self.split, self.first.shape[3], self.moments.root
        for group in range(split.C):
            read = [root[inputs].T @ self.first[place, group] for place, inputs in enumerate(split.inputs)]
            turned, wanted = np.concatenate(read, axis=1), root.T @ self.wanted[group]
            found = np.linalg.lstsq(turned.T @ turned, turned.T @ wanted, rcond=None)[0]
            before = np.square(root.T @ self.left[group]).sum()
            if np.square(wanted - turned @ found).sum() >= before:
                continue
            self.last[:, group] = found.reshape(split.b, rank, -1)
            for place, inputs in enumerate(split.inputs):
                made = self.first[place, group] @ self.last[place, group]
                self.left[group, inputs] = self.wanted[group, inputs] - made
