"""Least squares drawn towards the weights that there were, by as much as samples that are held out speak for.

W' = W + (G + a I)⁻¹ G_·gone W_gone + (G + b I)⁻¹ (T - G W)      rows that are kept
         what stands in for what      what was missed before
         is left out                  anything was left out
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from .greedy import Reading

__all__ = ["SHRINKAGES", "Moments", "shrunken"]

Float64: TypeAlias = "npt.NDArray[np.float64]"

# In units of the mean of the gram's diagonal: of the first nothing is felt, at the last nothing is fitted.
SHRINKAGES = (1e-5, 3e-4, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 100.0)
USUAL = 1e-2  # where there is nothing to choose by


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over `count` rows x (K,) that enter a product and results y (N,) that it is to have: gram (K, K), of xᵀ x;
    target (K, N), of xᵀ y."""

    gram: Float64
    target: Float64
    count: int

    def __add__(self, other: Moments) -> Moments:
        return Moments(self.gram + other.gram, self.target + other.target, self.count + other.count)

    def reading(self, weight: Float64) -> Reading:
        """Their means, for a product with a weight (K, N)."""
        rows = max(self.count, 1)
        return Reading(self.gram / rows, weight, self.target / rows)


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Inputs that are kept of one product: gram (S, S); sides: what both parts of the change are solved for, (S, N)."""

    gram: Float64
    sides: tuple[Float64, Float64]
    unit: float  # the mean of the diagonal of the whole gram

    @classmethod
    def of(cls, reading: Reading, kept: npt.NDArray[np.bool_]) -> _Problem:
        gram, weight = reading.gram, reading.weight
        target = gram @ weight if reading.target is None else reading.target
        replaced = gram[np.ix_(kept, ~kept)] @ weight[~kept]
        unit = float(np.trace(gram)) / max(len(gram), 1) or 1.0  # of nothing any number does
        return cls(gram[np.ix_(kept, kept)], (replaced, (target - gram @ weight)[kept]), unit)

    def solved(self, shrinkage: float, sides: Sequence[Float64]) -> list[Float64]:
        """Each of some sides divided by the gram; raises LinAlgError where that is singular to rounding."""
        from scipy.linalg import cho_factor, cho_solve

        damped = self.gram + shrinkage * self.unit * np.eye(len(self.gram))
        factor = cho_factor(damped, lower=True, overwrite_a=True, check_finite=False)
        return [cho_solve(factor, side, check_finite=False) for side in sides]


def shrunken(
    weight: Float64,
    kept: npt.NDArray[np.bool_],
    fitted: Moments,
    held: Moments,
    shrinkages: Sequence[float] = SHRINKAGES,
) -> Float64:
    """The weight (K, N) of a product of which some inputs alone are kept, fitted to all samples; zeros elsewhere.

    kept: (K,); fitted, held: samples to fit to, and others by which it is chosen how far weights are drawn to those
    that there were: by the least error of what is fitted without them. What stands in for inputs that are left out and
    what makes up for an error from elsewhere is drawn by itself, as samples tell more of one than of the other. Where
    nothing is held out both are drawn by 0.01 of the mean of the gram's diagonal.
    Source: ridge regression towards a prior mean (Hoerl & Kennard, 1970), validated on a hold-out sample.

    >>> rng = np.random.default_rng(0)
    >>> x = rng.standard_normal((40, 3))
    >>> x[:, 2] = x[:, 0]
    >>> weight = np.array([[1.0], [2.0], [3.0]])
    >>> halves = [Moments(part.T @ part, part.T @ part @ weight, len(part)) for part in np.split(x, 2)]
    >>> shrunken(weight, np.array([True, True, False]), *halves).round(3).ravel().tolist()
    [4.0, 2.0, 0.0]
    """
    whole = _Problem.of((fitted + held).reading(weight), kept)
    chosen = (USUAL, USUAL)
    if held.count and fitted.count:
        chosen = _chosen(_Problem.of(fitted.reading(weight), kept), held.reading(weight), kept, shrinkages)
    found = np.zeros_like(weight)
    parts = [whole.solved(one, [side])[0] for one, side in zip(chosen, whole.sides, strict=True)]
    found[kept] = weight[kept] + parts[0] + parts[1]
    return found


def _chosen(
    problem: _Problem, held: Reading, kept: npt.NDArray[np.bool_], shrinkages: Sequence[float]
) -> tuple[float, float]:
    """The pair of shrinkages of the least error on samples that are held out."""
    assert held.target is not None
    gram = held.gram[np.ix_(kept, kept)]
    missed = held.target[kept] - gram @ held.weight[kept]
    tried: list[float] = []
    changes: list[list[Float64]] = []
    for shrinkage in shrinkages:
        try:
            changes.append(problem.solved(shrinkage, problem.sides))
        except np.linalg.LinAlgError:  # rounding of the gram is larger
            continue
        tried.append(shrinkage)
    if not tried:
        return USUAL, USUAL
    first, second = ([one[part] for one in changes] for part in (0, 1))
    seen_first, seen_second = ([gram @ one for one in part] for part in (first, second))
    alone = [
        np.array([float(np.vdot(a, b) - 2 * np.vdot(a, missed)) for a, b in zip(part, seen, strict=True)])
        for part, seen in ((first, seen_first), (second, seen_second))
    ]
    both = np.array([[float(np.vdot(a, b)) for b in seen_second] for a in first])
    errors = alone[0][:, None] + alone[1][None] + 2 * both
    row, column = np.unravel_index(int(np.argmin(errors)), errors.shape)
    return tried[int(row)], tried[int(column)]
