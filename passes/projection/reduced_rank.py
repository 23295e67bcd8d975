"""Weights of low rank that change results on samples least: reduced-rank regression, in closed form.

With L Lᵀ the covariances of the inputs, ‖X (W - U V)‖² is ‖Lᵀ W - (Lᵀ U) V‖²: the nearest matrix of rank r to Lᵀ W, by
its largest singular values (Eckart and Young, 1936). Source: Izenman, Reduced-rank regression for the multivariate
linear model, 1975; of networks: Chen et al., DRONE, 2021; Wang et al., SVD-LLM, 2024.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .moments import Float64, Moments

__all__ = ["ThinFactors", "rank_losses", "reduced_rank"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ThinFactors:
    """left (K, r) and right (r, N), whose product is a weight of rank r at the most."""

    left: Float64
    right: Float64

    @property
    def rank(self) -> int:
        """r."""
        return int(self.left.shape[1])

    @property
    def product(self) -> Float64:
        """(K, N)."""
        return self.left @ self.right

    def first(self, rank: int) -> ThinFactors:
        """The same of a lower rank, which is the best of that where the factors are the best of theirs."""
        return ThinFactors(left=self.left[:, :rank], right=self.right[:rank])


def rank_losses(moments: Moments) -> Float64:
    """(min(K, N) + 1,): the least loss of a weight of each rank, that of rank 0 first.

    >>> from .moments import moments_of
    >>> moments = moments_of(np.eye(4), np.diag([3.0, 2.0, 1.0]), damping=0.0)
    >>> rank_losses(moments).round(6).tolist()
    [14.0, 5.0, 1.0, 0.0]
    """
    squares, _ = _singular(moments.root.T @ moments.best)
    return np.append(np.cumsum(squares[::-1])[::-1], 0.0)


def reduced_rank(moments: Moments, rank: int) -> ThinFactors:
    """The factors of this rank whose product loses least."""
    wanted = moments.best
    turned = moments.root.T @ wanted
    _, vectors = _singular(turned)
    some = vectors[:, :rank]
    if len(vectors) == wanted.shape[1]:
        return ThinFactors(left=wanted @ some, right=some.T)
    from scipy.linalg import solve_triangular

    left: Float64 = solve_triangular(moments.root, some, lower=True, trans="T", check_finite=False)
    return ThinFactors(left=left, right=some.T @ turned)


def _singular(matrix: Float64) -> tuple[Float64, Float64]:
    """Squares of singular values, largest first, and the vectors on the shorter side, the right ones where both are as
    long; found by products, which takes a fraction of what a decomposition of the whole does."""
    K, N = matrix.shape
    squares, vectors = np.linalg.eigh(matrix.T @ matrix if N <= K else matrix @ matrix.T)
    return np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
