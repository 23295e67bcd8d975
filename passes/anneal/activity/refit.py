"""Least-squares refit: what the blocks that stay must be, so that the product changes least on calibration samples.

Dropping the weights outside the blocks removes what their inputs contributed; where those are correlated with the
inputs of a block, the block can take it over. For each block the weights are the solution of the normal equations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.errors import ScissionError
from ....ir.plan.plan import Decomposition, Indices

__all__ = ["Refit", "RefitError", "refit"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"

RIDGE = 1e-6  # of the mean of the diagonal
ROUNDING = 16  # roundings behind each entry of the normal equations, times their size: what is below is noise
CHUNK = 1 << 22  # entries of the weight turned into float64 at a time


class RefitError(ScissionError):
    """Moments that do not fit the weight, or a weight that cannot be refitted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refit:
    """A refitted weight V (K, N), zero outside the blocks, and its relative error ‖X W - X V‖_F / ‖X W‖_F."""

    weight: Array
    error_after: float


def refit(weight: Array, decomposition: Decomposition, gram: Float64, *, ridge: float = RIDGE) -> Refit:
    """The weight V, zero outside the blocks, that minimises ‖X W - X V‖_F over the samples, block by block in float64.

    weight: W (K, N); gram: G = XᵀX (K, K) of the inputs; ridge: λ over the mean of a block's diagonal of the gram.

    A block with inputs I and outputs O gets V = W_IO + (G_II + λ)⁻¹ (G_I W_O - G_II W_IO): the solution of the normal
    equations, drawn towards the weights it had instead of towards zero. So it never is worse than removal, and a weight
    without entries outside its blocks comes back unchanged; an output whose rounded solution is worse all the same
    keeps its weights. Where the equations are singular the least change is taken, in units of each input's norm.
    Raises RefitError when shapes differ or a number is not finite.
    Source: normal equations (Björck, Numerical Methods for Least Squares Problems, 1996, section 2.2).

    >>> from ....ir.plan.plan import Block
    >>> W, gram = np.array([[1.0], [2.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])  # two inputs that are always equal
    >>> found = refit(W, Decomposition((2, 1), (Block([0], [0]),)), gram, ridge=0)
    >>> found.weight.tolist(), found.error_after
    ([[3.0], [0.0]], 0.0)
    """
    if not 0 <= ridge < np.inf:
        raise RefitError(f"the ridge must be a number of at least 0, got {ridge}")
    if weight.shape != decomposition.shape:
        raise RefitError(f"the weight has shape {weight.shape}, its blocks are for {decomposition.shape}")
    if gram.shape != (weight.shape[0],) * 2 or not np.isfinite(gram).all():
        shape = (weight.shape[0],) * 2
        raise RefitError(f"the gram has shape {gram.shape} or numbers that are not finite; {shape} is needed")
    fitted = np.zeros_like(weight, order="C")
    after = whole = 0.0
    for inputs, outputs in _parts(decomposition):
        solve = _solver(gram[np.ix_(inputs, inputs)], ridge)
        step = max(1, CHUNK // max(weight.shape[0], 1))
        for start in range(0, outputs.size, step):
            some = outputs[start : start + step]
            target = weight[:, some].astype(np.float64)
            if not np.isfinite(target).all():
                raise RefitError("the weight holds a NaN or an Inf, so it cannot be refitted; leave it dense")
            kept = target[inputs]
            outside = target.copy()
            outside[inputs] = 0  # exactly zero where nothing lies outside the block
            with np.errstate(over="ignore"):
                found = (kept + solve(gram[inputs] @ outside)).astype(weight.dtype).astype(np.float64)
            old = _error(gram, inputs, target, kept)
            new = _error(gram, inputs, target, np.where(np.isfinite(found), found, kept))
            better = np.isfinite(found).all(axis=0) & (new <= old)
            fitted[np.ix_(inputs, some)] = np.where(better, found, kept)
            after += np.where(better, new, old).sum()
            whole += _quadratic(gram, target).sum()
    return Refit(weight=fitted, error_after=_relative(after, whole))


def _error(gram: Float64, inputs: Indices, target: Float64, fitted: Float64) -> Float64:
    """Of each output ‖X w - X_I v‖², from the difference of the weights, which cancels nothing."""
    rest = target.copy()
    rest[inputs] -= fitted
    return np.maximum(_quadratic(gram, rest), 0)


def _parts(decomposition: Decomposition) -> Iterator[tuple[Indices, Indices]]:
    """Inputs and outputs of each block, and the outputs without inputs."""
    for block in decomposition.blocks:
        yield block.inputs, block.outputs
    yield np.empty(0, np.int64), decomposition.dormant_outputs


def _solver(gram: Float64, ridge: float) -> Callable[[Float64], Float64]:
    """b -> (G + λ)⁻¹ b by Cholesky; by the pseudo-inverse where G + λ is singular to working precision.

    Rows and columns are divided by the roots of their sums of squares, so that inputs of very different scales are all
    solved for.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, pinvh

    if not gram.size:
        return lambda b: b
    load = ridge * max(np.trace(gram) / len(gram), 0)
    root = np.sqrt(np.maximum(np.diag(gram) + load, 0))
    root[root == 0] = 1
    matrix = (gram + load * np.eye(len(gram))) / root / root[:, None]
    noise = ROUNDING * len(gram) * np.finfo(np.float64).eps
    try:
        factor = cho_factor(matrix, lower=True, check_finite=False)
        if (np.diag(factor[0]) ** 2).min() > noise:
            return lambda b: np.asarray(cho_solve(factor, b / root[:, None], check_finite=False)) / root[:, None]
    except LinAlgError:
        pass
    inverse = pinvh(matrix, atol=noise, rtol=0, check_finite=False) / root / root[:, None]
    return lambda b: np.asarray(inverse @ b)


def _quadratic(gram: Float64, weight: Float64) -> Float64:
    """The diagonal of Wᵀ G W."""
    diagonal: Float64 = np.einsum("ko,ko->o", weight, gram @ weight)
    return diagonal


def _relative(error: float, whole: float) -> float:
    """The root of a ratio of squares; infinite where there was nothing to begin with and there is something now."""
    if not error > 0:
        return 0.0
    return float(np.sqrt(error / whole)) if whole > 0 else float("inf")
