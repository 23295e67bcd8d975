"""What samples say of a product: which weight is best for it, and what any other one loses.

    x (M, K) ── W ──► y (M, N)        loss(V) = ‖X V - Y‖² / M - its least  =  ‖Lᵀ (W* - V)‖²,    L Lᵀ = XᵀX / M

Mean and result are centred first, so that the bias, which makes up for the means, is no part of the problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Moments", "moments_of"]

Float64: TypeAlias = "npt.NDArray[np.float64]"

LEAST = 1e-4  # of the mean variance of an input: what keeps covariances regular


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moments:
    """gram (K, K): covariances of the inputs, a little of the identity with them; root (K, K): its lower Cholesky
    factor; best (K, N): the weight that fits best; means: (K,) of the inputs and (N,) of what the results are to be;
    energy: variance of what the results were, added up."""

    gram: Float64
    root: Float64
    best: Float64
    means: tuple[Float64, Float64]
    energy: float

    def loss(self, weight: Float64) -> float:
        """The mean of squared errors, summed over results, that a weight (K, N) with the best bias adds to that of the
        best one."""
        return float(np.square(self.root.T @ (self.best - weight)).sum())

    def bias(self, weight: Float64) -> Float64:
        """What is to be added to each result of a weight, (N,), so that means are right."""
        inputs, results = self.means
        return results - inputs @ weight


def moments_of(gram: Float64, weight: Float64, target: Float64 | None = None, damping: float = LEAST) -> Moments:
    """The moments of M samples; gram: (K + 1, K + 1), XᵀX / M, the last column of X ones; weight: (K, N) as it was;
    target: (K + 1, N), XᵀY / M of the results Y that are wanted, None for X · weight themselves.

    damping: how much the best weight is drawn towards the one that was, in units of the mean variance of an input; of
    the losses of other weights it is no part, but for what keeps them defined. Raises ValueError for shapes that do not
    fit, LinAlgError where the gram is none.

    >>> X = np.array([[1.0, 0.0, 1.0], [0.0, 2.0, 1.0], [3.0, 1.0, 1.0]])
    >>> found = moments_of(X.T @ X / 3, np.eye(2), damping=0.0)
    >>> found.best.tolist(), round(found.loss(np.zeros((2, 2))), 6), found.bias(np.eye(2)).round(6).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], 2.222222, [0.0, 0.0])
    """
    K, N = weight.shape
    if gram.shape != (K + 1, K + 1) or (target is not None and target.shape != (K + 1, N)):
        raise ValueError(f"a gram of shape {gram.shape} for a weight of shape {weight.shape}")
    mean = gram[-1, :-1]
    centred = gram[:-1, :-1] - np.outer(mean, mean)
    unit = float(np.trace(centred)) / K or 1.0  # where nothing varies any number does
    centred = (centred + centred.T) / 2
    damped = centred + min(damping, LEAST) * unit * np.eye(K)
    root: Float64 = np.asarray(np.linalg.cholesky(damped), np.float64)
    best, result = weight, mean @ weight
    if target is not None:
        result = target[-1]
        pulled: Any = root if damping <= LEAST else np.linalg.cholesky(centred + damping * unit * np.eye(K))
        best = _solved(pulled, target[:-1] - np.outer(mean, result) + damping * unit * weight)
    energy = float(np.einsum("kn,kn->", weight, centred @ weight))
    return Moments(gram=damped, root=root, best=best, means=(mean, result), energy=energy)


def _solved(root: Float64, wanted: Float64) -> Float64:
    from scipy.linalg import cho_solve

    found: Float64 = cho_solve((root, True), wanted, check_finite=False)
    return found
