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

__all__ = ["InputDrift", "Refit", "RefitError", "refit"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"

RIDGE = 1e-6  # of the mean of the diagonal
ROUNDING = 16  # roundings behind each entry of the normal equations, times their size: what is below is noise
CHUNK = 1 << 22  # entries of the weight turned into float64 at a time


class RefitError(ScissionError):
    """Moments that do not fit the weight, or a weight that cannot be refitted."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class InputDrift:
    """How the inputs X of the original model became X̃ in a model changed upstream of the linear.

    cross: X̃ᵀX (K, K); gram: XᵀX (K, K); mean: of X (K,), where an intercept is wanted.
    """

    cross: Float64
    gram: Float64
    mean: Float64 | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Refit:
    """A refitted weight (K, N), zero outside the blocks, and the relative errors ‖X W - X̃ V‖_F / ‖X W‖_F.

    shift: (N,) to add to x V so that its mean error is zero, None when no mean was given; error_before: of
    the weight with what lies outside the blocks removed; error_after: of the refitted weight and its shift.
    """

    weight: Array
    shift: Float64 | None
    error_before: float
    error_after: float


def refit(
    weight: Array,
    decomposition: Decomposition,
    gram: Float64,
    *,
    ridge: float = RIDGE,
    mean: Float64 | None = None,
    samples: int | None = None,
    drift: InputDrift | None = None,
) -> Refit:
    """The weight V, zero outside the blocks, that minimises ‖X W - X̃ V‖_F over M samples, block by block in float64.

    weight: W (K, N); gram: X̃ᵀX̃ (K, K) of the inputs that V will see; drift: what they were before the model was
    changed upstream, where X̃ is not X. mean, samples: mean of X̃ (K,) and M, for an intercept: V then minimises the
    variance of the error, and `shift` removes its mean. ridge: λ over the mean of a block's diagonal of the gram.

    A block with inputs I and outputs O gets V = W_IO + (G̃_II + λ)⁻¹ (C_I W_O - G̃_II W_IO), C = X̃ᵀX: the solution of
    the normal equations, drawn towards the weights it had instead of towards zero. So without drift it never is worse
    than removal, and a weight without entries outside its blocks comes back unchanged; an output whose rounded solution
    is worse all the same keeps its weights. Where the equations are singular the least change is taken, in units of
    each input's norm.
    Raises RefitError when shapes differ, a number is not finite, or only one of mean and samples is given.
    Source: normal equations (Björck, Numerical Methods for Least Squares Problems, 1996, section 2.2).

    >>> from ....ir.plan.plan import Block
    >>> W, gram = np.array([[1.0], [2.0]]), np.array([[1.0, 1.0], [1.0, 1.0]])  # two inputs that are always equal
    >>> found = refit(W, Decomposition((2, 1), (Block([0], [0]),)), gram, ridge=0)
    >>> found.weight.tolist(), round(found.error_before, 3), found.error_after
    ([[3.0], [0.0]], 0.667, 0.0)
    """
    if not 0 <= ridge < np.inf:
        raise RefitError(f"the ridge must be a number of at least 0, got {ridge}")
    moments = _moments(weight, decomposition, gram, mean, samples, drift)
    fitted = np.zeros_like(weight, order="C")
    shift = None if mean is None else np.zeros(weight.shape[1])
    before = after = whole = 0.0
    for inputs, outputs in _parts(decomposition):
        solve = _solver(moments.own[np.ix_(inputs, inputs)], gram[inputs, inputs], ridge)
        step = max(1, CHUNK // max(weight.shape[0], 1))
        for start in range(0, outputs.size, step):
            some = outputs[start : start + step]
            target = weight[:, some].astype(np.float64)
            if not np.isfinite(target).all():
                raise RefitError("the weight holds a NaN or an Inf, so it cannot be refitted; leave it dense")
            kept = target[inputs]
            with np.errstate(over="ignore"):
                found = (kept + solve(moments.slope(inputs, target))).astype(weight.dtype).astype(np.float64)
            dropped, old, stays = moments.residual(inputs, target, kept)
            _, new, moves = moments.residual(inputs, target, np.where(np.isfinite(found), found, kept))
            better = np.isfinite(found).all(axis=0) & (new <= old)
            fitted[np.ix_(inputs, some)] = np.where(better, found, kept)
            if shift is not None:
                shift[some] = np.where(better, moves, stays)
            before += dropped.sum()
            after += np.where(better, new, old).sum()
            whole += moments.energy(target).sum()
    return Refit(weight=fitted, shift=shift, error_before=_relative(before, whole), error_after=_relative(after, whole))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Moments:
    """Second moments of the samples, centred where means are given: own = X̃ᵀX̃, cross = X̃ᵀX, original = XᵀX.

    mean, before: of X̃ and of X; without them there is no intercept, and samples is 0.
    """

    own: Float64
    cross: Float64
    original: Float64
    drifted: bool
    samples: int
    mean: Float64
    before: Float64

    def slope(self, inputs: Indices, target: Float64) -> Float64:
        """X̃_Iᵀ (X W_O - X̃_I W_IO): where the error of the weights that a block has could still be explained."""
        if self.drifted:
            return self.cross[inputs] @ target - self.own[np.ix_(inputs, inputs)] @ target[inputs]
        rest = target.copy()
        rest[inputs] = 0  # exactly zero where nothing lies outside the block
        return self.own[inputs] @ rest

    def residual(self, inputs: Indices, target: Float64, fitted: Float64) -> tuple[Float64, Float64, Float64]:
        """Of each output the squared error of X̃_I V for X W, the same with an intercept, and the intercept."""
        if self.drifted:
            shift: Float64 = self.before @ target - self.mean[inputs] @ fitted
            own = self.own[np.ix_(inputs, inputs)]
            mixed = np.einsum("ko,ko->o", fitted, self.cross[inputs] @ target)
            error = _quadratic(self.original, target) - 2 * mixed + _quadratic(own, fitted)
        else:  # from the difference of the weights, which cancels nothing
            rest = target.copy()
            rest[inputs] -= fitted
            shift = self.mean @ rest
            error = _quadratic(self.own, rest)
        error = np.maximum(error, 0)
        return error + self.samples * shift**2, error, shift

    def energy(self, target: Float64) -> Float64:
        """Of each output ‖X w‖²."""
        return _quadratic(self.original, target) + self.samples * (self.before @ target) ** 2


def _moments(
    weight: Array,
    decomposition: Decomposition,
    gram: Float64,
    mean: Float64 | None,
    samples: int | None,
    drift: InputDrift | None,
) -> _Moments:
    """The moments centred, after a look at their shapes."""
    if weight.shape != decomposition.shape:
        raise RefitError(f"the weight has shape {weight.shape}, its blocks are for {decomposition.shape}")
    if (mean is None) != (samples is None) or (mean is not None and drift is not None and drift.mean is None):
        raise RefitError(
            "an intercept needs the number of samples and the mean of the inputs, before and after a drift"
        )
    if samples is not None and samples < 1:
        raise RefitError(f"an intercept needs at least one sample, got {samples}")
    K = weight.shape[0]
    zero = np.zeros(K)
    mine = zero if mean is None else mean
    before = mine if mean is None or drift is None or drift.mean is None else drift.mean
    given = {"gram": gram, "cross": drift.cross, "original gram": drift.gram} if drift else {"gram": gram}
    for name, array, shape in [(n, a, (K, K)) for n, a in given.items()] + [("mean", m, (K,)) for m in (mine, before)]:
        if array.shape != shape or not np.isfinite(array).all():
            raise RefitError(f"the {name} has shape {array.shape} or numbers that are not finite; {shape} is needed")

    def centred(matrix: Float64, left: Float64, right: Float64) -> Float64:
        return matrix if samples is None else matrix - samples * np.outer(left, right)

    own = centred(gram, mine, mine)
    return _Moments(
        own=own,
        cross=own if drift is None else centred(drift.cross, mine, before),
        original=own if drift is None else centred(drift.gram, before, before),
        drifted=drift is not None,
        samples=samples or 0,
        mean=mine,
        before=before,
    )


def _parts(decomposition: Decomposition) -> Iterator[tuple[Indices, Indices]]:
    """Inputs and outputs of each block, and the outputs without inputs."""
    for block in decomposition.blocks:
        yield block.inputs, block.outputs
    yield np.empty(0, np.int64), decomposition.dormant_outputs


def _solver(gram: Float64, scale: Float64, ridge: float) -> Callable[[Float64], Float64]:
    """b -> (G + λ)⁻¹ b by Cholesky; by the pseudo-inverse where G + λ is singular to working precision.

    scale: (K,) sums of squares before G was centred, which tell how precise it is; rows and columns are divided by
    their roots, so that inputs of very different scales are all solved for.
    """
    from scipy.linalg import LinAlgError, cho_factor, cho_solve, pinvh

    if not gram.size:
        return lambda b: b
    load = ridge * max(np.trace(gram) / len(gram), 0)
    root = np.sqrt(np.maximum(scale + load, 0))
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
