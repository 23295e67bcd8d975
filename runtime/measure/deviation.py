"""How two values of one output differ: errors, cosine, argmax, and whether that is allowed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

__all__ = ["RTOL", "OutputReport", "compare_values", "worst_of"]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

RTOL = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
ERRORS = ("max_abs", "mean_abs", "q99_abs", "max_rel", "mean_rel", "q99_rel", "element_rel")
LEAST = math.ulp(0.0)  # where a share of the largest is no number of its own any more
PIECE = 1 << 20  # elements, or bytes, that are looked at at a time where one pass is enough
SMALL = 1e-3  # elements below this share of an output's largest are left out of its elementwise relative error


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReport:
    """How one output differs, each number the worst over all trials; errors are over the finite elements.

    finite: elements of the original that are no NaN or infinity; max_abs, mean_abs, q99_abs: absolute error and its
    99 % quantile; scale: largest |original|; max_rel, mean_rel, q99_rel: the same errors over the scale of their
    trial; element_rel: largest error over |original| of the element itself, where that is not tiny; cosine: of the
    two tensors as vectors; argmax: share of rows with the same largest element on the last axis; tolerance: what was
    allowed relative to the scale, None where equality was demanded; in_place: whether NaN and Inf are where they were.
    """

    name: str
    dtype: str
    elements: int
    finite: int
    equal: bool
    identical: bool
    max_abs: float
    mean_abs: float
    q99_abs: float
    max_rel: float
    mean_rel: float
    q99_rel: float
    element_rel: float
    scale: float
    cosine: float | None
    argmax: float | None
    tolerance: float | None
    reason: str
    in_place: bool = True


def compare_values(
    name: str, before: object, after: object, rtol: float | None, atol: float | None, least: float = 0.0
) -> Iterator[OutputReport]:
    """One report per tensor; a sequence of tensors or of maps counts as several outputs.

    least: what is allowed at the least relative to the largest element, where the type of an output would allow less.
    """
    parts, others = dict(_tensors(name, before)), dict(_tensors(name, after))
    if parts.keys() != others.keys():
        yield _discrete(name, "sequence", 0, f"output {name!r} has other parts: {list(others)}, was {list(parts)}")
        return
    for part in list(parts):
        yield _compare(part, parts.pop(part), others.pop(part), rtol, atol, least)


def _tensors(name: str, value: object) -> Iterator[tuple[str, Array]]:
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, Mapping):
        yield f"{name}.keys", np.array(list(value))
        yield f"{name}.values", _numbers(list(value.values()))
    elif _is_table(value):  # classifiers: one map per row
        yield f"{name}.keys", np.array([list(row) for row in value])
        yield f"{name}.values", _numbers([list(row.values()) for row in value])
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _tensors(f"{name}[{place}]", part)
    elif value is not None:
        yield name, np.asarray(value)


def _numbers(values: list[Any]) -> Array:
    """What maps hold, in the type that it had before it became Python's: a float32 is told by its bits."""
    array = np.array(values)
    if array.dtype != np.float64:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    return narrow if np.array_equal(narrow.astype(np.float64), array, equal_nan=True) else array


def _is_table(value: object) -> TypeGuard[list[Mapping[Any, Any]]]:
    """Whether these are maps with the same keys, which are compared at once; others are compared one by one."""
    if not isinstance(value, list) or not value or not all(isinstance(row, Mapping) for row in value):
        return False
    return all(list(row) == list(value[0]) for row in value)


def _compare(
    name: str, before: Array, after: Array, rtol: float | None, atol: float | None, least: float
) -> OutputReport:
    dtype = before.dtype.name
    if before.dtype != after.dtype or before.shape != after.shape:
        was, now = f"{dtype}{list(before.shape)}", f"{after.dtype.name}{list(after.shape)}"
        return _discrete(name, dtype, before.size, f"output {name!r} is {now}, was {was}")
    if dtype in RTOL:
        rtol = max(RTOL[dtype], least) if rtol is None else rtol
        if _same_bits(before, after):
            return _identical(name, before, rtol)
        return _compare_floats(name, before, after, rtol, atol or 0.0)
    if np.array_equal(before, after):
        return _discrete(name, dtype, before.size, "")
    place = _place(np.asarray(before != after))
    reason = f"output {name!r} at {list(place)} is {after[place]!s}, was {before[place]!s}: it must be equal"
    return _discrete(name, dtype, before.size, reason)


def _identical(name: str, value: Array, rtol: float) -> OutputReport:
    """Two floats of the same bits: what is said of them takes neither memory nor time of note."""
    finite, scale = 0, 0.0
    flat = value.reshape(-1)
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE].astype(np.float64)
        piece = piece[np.isfinite(piece)]
        finite += piece.size
        scale = max(scale, float(np.abs(piece).max(initial=0.0)))
    return dataclasses.replace(
        _discrete(name, value.dtype.name, value.size, ""),
        finite=finite,
        scale=scale,
        cosine=1.0,
        argmax=1.0 if _has_rows(value) else None,
        tolerance=rtol,
    )


def _compare_floats(name: str, before: Array, after: Array, rtol: float, atol: float) -> OutputReport:
    a, b = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(a)
    odd = ~finite | ~np.isfinite(b)
    clash = odd & ~((a == b) | (np.isnan(a) & np.isnan(b)))
    argmax = _argmax_agreement(a, b)
    if odd.any():
        a, b = np.where(odd, 0.0, a), np.where(odd, 0.0, b)
    error = np.abs(a - b)
    scale = float(np.abs(a).max(initial=0.0))
    allowed = atol + rtol * scale
    worst = float(error.max(initial=0.0))
    reason = ""
    if clash.any():
        place = _place(clash)
        reason = (
            f"output {name!r} at {list(place)} is {after[place]}, was {before[place]}: NaN and Inf must stay in place"
        )
    elif worst > allowed:
        place = _place(error == worst)
        reason = (
            f"output {name!r} at {list(place)} is {after[place]!s}, was {before[place]!s}: "
            f"off by {worst:.3g}, allowed {allowed:.3g} ({rtol:g} of the largest, {scale:.3g}, plus {atol:g})"
        )
    large = np.abs(a) >= max(SMALL * scale, LEAST)
    element = float((error[large] / np.abs(a[large])).max(initial=0.0)) if scale else 0.0
    del large
    mean = float(error.mean()) if error.size else 0.0
    q99 = float(np.quantile(error.reshape(-1), 0.99, overwrite_input=True)) if error.size else 0.0
    del error  # in another order now
    return OutputReport(
        name=name,
        dtype=before.dtype.name,
        elements=before.size,
        finite=int(finite.sum()),
        equal=not reason,
        identical=False,
        max_abs=worst,
        mean_abs=mean,
        q99_abs=q99,
        max_rel=_over(worst, scale),
        mean_rel=_over(mean, scale),
        q99_rel=_over(q99, scale),
        element_rel=element,
        scale=scale,
        cosine=_cosine(a, b, scale),
        argmax=argmax,
        tolerance=rtol,
        reason=reason,
        in_place=not clash.any(),
    )


def _discrete(name: str, dtype: str, elements: int, reason: str) -> OutputReport:
    """An output that is equal or not, without a size of the difference: not floats, or another shape."""
    errors: Any = dict.fromkeys(ERRORS, math.inf if reason else 0.0)
    return OutputReport(
        name=name,
        dtype=dtype,
        elements=elements,
        finite=elements,
        equal=not reason,
        identical=not reason,
        **errors,
        scale=0.0,
        cosine=None,
        argmax=None,
        tolerance=None,
        reason=reason,
    )


def _same_bits(a: Array, b: Array) -> bool:
    one, other = (np.ascontiguousarray(each).reshape(-1).view(np.uint8) for each in (a, b))
    starts = range(0, one.size, PIECE)
    return all(np.array_equal(one[at : at + PIECE], other[at : at + PIECE]) for at in starts)


def _place(mask: npt.NDArray[np.bool_]) -> tuple[int, ...]:
    """Indices of the first True."""
    return tuple(int(index) for index in np.unravel_index(int(np.argmax(mask)), mask.shape))


def _over(error: float, scale: float) -> float:
    return error / scale if scale else (math.inf if error else 0.0)


def _cosine(a: Float64, b: Float64, scale: float) -> float:
    if not scale or not np.abs(b).max(initial=0.0):
        return float(bool(np.array_equal(a, b)))
    a /= scale  # in place, both are used up: the squares of large or tiny numbers would leave the range
    b /= scale
    a, b = a.reshape(-1), b.reshape(-1)
    return float(np.clip(a @ b / math.sqrt(float(a @ a) * float(b @ b)), -1.0, 1.0))


def _has_rows(value: Array) -> bool:
    """Whether one element of each row can be the largest."""
    return bool(value.ndim and value.shape[-1] >= 2 and value.size)


def _argmax_agreement(a: Float64, b: Float64) -> float | None:
    if not _has_rows(a):
        return None
    return float((a.argmax(-1) == b.argmax(-1)).mean())


def worst_of(one: OutputReport, other: OutputReport) -> OutputReport:
    """Each number at its worst; the reason of the first failure."""
    return dataclasses.replace(
        one,
        elements=one.elements + other.elements,
        finite=one.finite + other.finite,
        equal=one.equal and other.equal,
        identical=one.identical and other.identical,
        **{field: max(getattr(one, field), getattr(other, field)) for field in (*ERRORS, "scale")},
        cosine=_least(one.cosine, other.cosine),
        argmax=_least(one.argmax, other.argmax),
        tolerance=_least(one.tolerance, other.tolerance),
        reason=one.reason or other.reason,
        in_place=one.in_place and other.in_place,
    )


def _least(one: float | None, other: float | None) -> float | None:
    return min((value for value in (one, other) if value is not None), default=None)
