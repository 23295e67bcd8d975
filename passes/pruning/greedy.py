"""Units left out one after another, whichever costs least now, while all other weights make up for them.

x (M, K)                    W (K, N)            what is left out      loss = ‖X W - X V‖² / M, V = 0 in its rows
● ● ○ ○ ● ●   units of two  ● ● ●  kept rows    ○ ○
● ● ○ ○ ● ●   inputs each   ○ ○ ○  left out     of every product that reads it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.plan.decomposition import Indices

__all__ = ["Pruned", "Reading", "prune"]

Float64: TypeAlias = "npt.NDArray[np.float64]"

DAMPING = 1e-2  # of the mean of squares that an input has: draws weights towards those they had
STEPS = 96  # leaving out all units takes about so many steps, unless they are to be smaller


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """What a product reads of the units, from M samples: gram (K, K), Xᵀ X / M; weight (K, N); target (K, N), Xᵀ Y / M
    of results Y that it is fitted to, None for those of `weight` itself."""

    gram: Float64
    weight: Float64
    target: Float64 | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Pruned:
    """order: units in the order that they are left out in; losses: mean of squared errors, summed over results and
    products, with the first 0, 1, … of them left out, `counts` of them; weights: of each product, once all of `order`
    are left out."""

    order: Indices
    counts: Indices
    losses: Float64
    weights: tuple[Float64, ...]


def prune(
    readings: Sequence[Reading],
    units: Indices,
    count: int | None = None,
    *,
    step: int | None = None,
    damping: float = DAMPING,
) -> Pruned:
    """Leave out `count` units, or all, of what products read, the one that costs least first; the rest is fitted again.

    units: (K,) the unit of each input, 0, 1, …; -1 for those that stay, such as a column of ones for the bias; step:
    how many are left out at a time, by costs that count each alone; damping: of weights that differ from those that
    there were, in units of the mean of the gram's diagonal. Losses count it, and what a target is missed by at first is
    not among them. Raises ValueError for units of different sizes.

    With the inverse gram G⁻¹ and S the inputs of a unit it costs tr(W_Sᵀ (G⁻¹_SS)⁻¹ W_S), and the best weights without
    it are W - G⁻¹_·S (G⁻¹_SS)⁻¹ W_S, whatever has been left out before: losses are those of a new least squares fit.
    Source: Optimal Brain Surgeon (Hassibi & Stork, 1993), by structures (Kurtic et al., ZipLM, 2023, algorithm 1).

    >>> X = np.array([[1.0, 1.0, 0.0], [2.0, 2.0, 1.0], [3.0, 3.0, 5.0]])  # two inputs that are always equal
    >>> found = prune([Reading(X.T @ X / 3, np.array([[1.0], [2.0], [4.0]]))], np.arange(3), 1, damping=1e-12)
    >>> found.order.tolist(), found.losses.round(9).tolist(), found.weights[0].round(4).ravel().tolist()
    ([0], [0.0, 0.0], [0.0, 3.0, 4.0])
    """
    members = _members(units)
    whole = len(members)
    count = whole if count is None else min(count, whole)
    step = max(1, whole // STEPS) if step is None else step
    states = [_State.of(reading, damping) for reading in readings]
    left, order, counts = np.ones(whole, bool), list[int](), [0]
    losses = [0.0]
    while len(order) < count:
        costs = sum((one.costs(members) for one in states), np.zeros(whole))
        costs[~left] = np.inf
        some = np.argsort(costs, kind="stable")[: min(step, count - len(order))]
        gone = members[some].ravel()
        losses.append(losses[-1] + sum(one.leave_out(gone) for one in states))
        left[some] = False
        order += some.tolist()
        counts.append(len(order))
    return Pruned(
        order=np.asarray(order, np.int64),
        counts=np.asarray(counts, np.int64),
        losses=np.maximum.accumulate(np.asarray(losses)),
        weights=tuple(one.weight for one in states),
    )


def _members(units: Indices) -> Indices:
    """The inputs of each unit, (units, inputs of one); all have as many."""
    inputs = np.flatnonzero(units >= 0)
    inputs = inputs[np.argsort(units[inputs], kind="stable")]
    whole = int(units.max(initial=-1)) + 1
    sizes = np.bincount(units[inputs], minlength=whole)
    if whole and (sizes != sizes[0]).any():
        raise ValueError(f"units of different sizes, {sizes.min()} to {sizes.max()} inputs")
    return inputs.reshape(whole, -1) if whole else inputs.reshape(0, 1)


@dataclass(slots=True, eq=False)
class _State:
    """One product while units are left out: its weights, the inverse of its damped gram."""

    weight: Float64
    inverse: Float64

    @classmethod
    def of(cls, reading: Reading, damping: float) -> _State:
        from scipy.linalg import cho_factor, cho_solve

        gram, weight = reading.gram, reading.weight
        load = damping * (float(np.trace(gram)) / max(len(gram), 1) or 1.0)  # of nothing any number does
        damped = gram + load * np.eye(len(gram))
        factor = cho_factor(damped, lower=True, check_finite=False)
        inverse = cho_solve(factor, np.eye(len(gram)), check_finite=False)
        if reading.target is None:
            return cls(weight.copy(), inverse)
        return cls(inverse @ (reading.target + load * weight), inverse)

    def costs(self, members: Indices) -> Float64:
        """What leaving out each unit adds to the loss."""
        rows = self.weight[members]  # (units, inputs, results)
        if members.shape[1] == 1:
            diagonal = self.inverse[members[:, 0], members[:, 0]]
            alone: Float64 = np.square(rows[:, 0]).sum(axis=1) / np.maximum(diagonal, np.finfo(np.float64).tiny)
            return alone
        blocks = self.inverse[members[:, :, None], members[:, None, :]]
        blocks = blocks + np.where(blocks.any(axis=(1, 2)), 0.0, 1.0)[:, None, None] * np.eye(members.shape[1])
        costs: Float64 = np.einsum("uin,uin->u", rows, np.linalg.solve(blocks, rows))
        return costs

    def leave_out(self, gone: Indices) -> float:
        """Leave out inputs, of one or more units; returns what that adds to the loss."""
        block = self.inverse[np.ix_(gone, gone)]
        solved = np.linalg.solve(block, np.concatenate([self.weight[gone], self.inverse[gone]], axis=1))
        results = self.weight.shape[1]
        added = float(np.einsum("in,in->", self.weight[gone], solved[:, :results]))
        columns = self.inverse[:, gone]
        self.weight -= columns @ solved[:, :results]
        self.inverse -= columns @ solved[:, results:]
        self.weight[gone] = 0
        self.inverse[gone] = self.inverse[:, gone] = 0
        return added
