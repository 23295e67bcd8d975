"""How far a computed product may be from the exact one: a-priori rounding bounds."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

from ...ir.errors import ScissionError

__all__ = ["RoundingError", "gamma", "limits", "product_bound"]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

# A 16-bit product is accumulated in float32 (ONNX Runtime casts on the CPU, cuBLAS computes so) and then rounded to 16
# bits: after the product, after the bias, and where blocks are put together again.
ROUNDINGS = 4
CONVERTED = 2  # more of them where weight and bias are converted to 16 bits first
SMALLEST = 2.0  # times the smallest number of the type: converters lift tiny weights to 1e-7 rather than lose them


class RoundingError(ScissionError):
    """A product so long that its type gives no error bound."""


def gamma(n: int, dtype: npt.DTypeLike) -> float:
    """γ_n = n·u / (1 - n·u) for the unit roundoff u of `dtype`: the error of n roundings in a row.

    Raises RoundingError when n·u reaches 1 and there is no bound.
    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1.

    >>> gamma(1, "float32") == 2.0**-24 / (1 - 2.0**-24)
    True
    """
    nu = n * limits(np.dtype(dtype))[0]
    if nu >= 1:
        raise RoundingError(f"{np.dtype(dtype).name} has no error bound for {n} roundings; accumulate in float32")
    return nu / (1 - nu)


def product_bound(
    x: Array,
    W: Array,
    terms: int | None = None,
    *,
    bias: Array | None = None,
    narrow: npt.DTypeLike | None = None,
    staged: bool = False,
) -> tuple[Float64, Float64]:
    """The exact x·W (+ bias) in float64, and how far a computed one may be from it, element by element.

    x: (..., K), W: (K, N) or (..., K, N), bias: (N,). The bound holds for every order of summation:
    γ_terms · (|x|·|W| + |bias|), in the precision of x; `terms` is K (+ 1 with a bias) when not given; K + b allows for
    the dense and the split product at once, as γ_K + γ_b ≤ γ_{K+b}. 16-bit types are accumulated in float32 and rounded
    at the end. Underflow and the rounding of the float64 reference itself are allowed for. narrow: a type of 16 bits
    that x and W are converted to before; x is rounded to it here, for W and what converters do to its smallest entries
    the bound is wider. staged: whether factors of W may be applied one after another, which are certified for inputs
    that are all as large as the largest one: the bound is γ_terms · (max|x| · Σ|W| + |bias|) then.
    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1 (and 2.8 for underflow).

    >>> x, W = np.ones((1, 3), np.float32), np.ones((3, 2), np.float32)
    >>> y, bound = product_bound(x, W)
    >>> y.tolist(), bool((bound < 1e-6).all())
    ([[3.0, 3.0]], True)
    """
    K = x.shape[-1]
    count = K + (bias is not None) if terms is None else terms
    with np.errstate(over="ignore"):
        x = x if narrow is None else x.astype(narrow)
    x64, W64 = x.astype(np.float64), W.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        exact = x64 @ W64
        size = _largest(x64) * np.abs(W64).sum(-2) if staged else np.abs(x64) @ np.abs(W64)
        if bias is not None:
            exact, size = exact + bias.astype(np.float64), size + np.abs(bias.astype(np.float64))
        share, floor = _rounding(count, x.dtype, ROUNDINGS + CONVERTED * (narrow is not None))
        own = gamma(K + 2, np.float64)  # of the reference, and of `size`
        bound = size * (share + own) * (1 + 2 * own) + floor
        if narrow is not None:
            bound += SMALLEST * limits(x.dtype)[1] * np.abs(x64).sum(-1, keepdims=True)
        return exact, bound


def _largest(x: Float64) -> Float64:
    """The largest magnitude of each row (..., 1), 0 of none."""
    found: Float64 = np.abs(x).max(-1, keepdims=True, initial=0.0)
    return found


def _rounding(terms: int, dtype: np.dtype[Any], roundings: int) -> tuple[float, float]:
    """Relative error of a product of so many terms, and its absolute error from underflow."""
    wide = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    floor = terms * limits(wide)[1]
    if wide == dtype:
        return gamma(terms, dtype), floor
    last = gamma(roundings, dtype)
    return gamma(terms, wide) * (1 + last) + last, floor + roundings * limits(dtype)[1]


def limits(dtype: np.dtype[Any]) -> tuple[float, float, float]:
    """Unit roundoff, smallest subnormal number and largest number of a float type, bfloat16 included."""
    info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    return float(info.eps) / 2, float(info.smallest_subnormal), float(info.max)
