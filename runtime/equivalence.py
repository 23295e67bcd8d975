"""Two models side by side: the same interface, the same numbers, and every rewritten product within its error bound."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import onnx

from ..ir.errors import ScissionError
from .session import Choice, Session, SessionError, TensorSpec, open_session

__all__ = [
    "RTOL",
    "EquivalenceError",
    "OutputReport",
    "Probe",
    "ProbeReport",
    "Verdict",
    "check",
    "expose",
    "gamma",
    "product_bound",
]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

RTOL = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-3, "bfloat16": 1.6e-2}
ERRORS = ("max_abs", "mean_abs", "q99_abs", "max_rel", "mean_rel", "q99_rel", "element_rel")
SMALL = 1e-3  # elements below this share of an output's largest are left out of its elementwise relative error
RUN_AT_ONCE = 32  # probed values fetched by one run: more would hold more activations at a time
# A 16-bit product is accumulated in float32 (ONNX Runtime casts on the CPU, cuBLAS computes so) and then rounded to 16
# bits: after the product, after the bias, and where blocks are put together again.
ROUNDINGS = 4


class EquivalenceError(ScissionError):
    """Two models that cannot be compared: another interface, no inputs, or a probe that is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A rewritten linear: the activation that enters it and the value that leaves it, both in the top-level graph.

    reference(x) is the exact product in float64 and an elementwise bound on what rounding may change, for the
    activation x as it was: `product_bound` makes both.
    """

    node: str
    input: str
    output: str
    reference: Callable[[Array], tuple[Float64, Float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputReport:
    """How one output differs, each number the worst over all trials; errors are over the finite elements.

    max_abs, mean_abs, q99_abs: absolute error and its 99 % quantile; scale: largest |original|; max_rel, mean_rel,
    q99_rel: the same errors over the scale of their trial; element_rel: largest error over |original| of the element
    itself, where that is not tiny; cosine: of the two tensors as vectors; argmax: share of rows with the same largest
    element on the last axis; tolerance: what was allowed relative to the scale, None where equality was demanded.
    """

    name: str
    dtype: str
    elements: int
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


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """How near a rewritten product came to its error bound: largest |y - exact| / bound, 1 being the bound itself.

    checked: elements that could be checked in the two models together; the others have a NaN or an Inf before them or
    overflow the type.
    """

    node: str
    within: bool
    original: float
    changed: float
    checked: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether two models are the same function, as far as the inputs tried tell; `reason` says why in one line."""

    equal: bool
    identical: bool
    outputs: tuple[OutputReport, ...]
    probes: tuple[ProbeReport, ...]
    trials: int
    provider: str
    seconds: float
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """The verdict for JSON; an infinite number is None there."""
        return {key: _plain(value) for key, value in dataclasses.asdict(self).items()}


def check(
    original: Path | bytes,
    changed: Path | bytes,
    *,
    feeds: Iterable[Mapping[str, Array]],
    provider: Choice = "cpu",
    rtol: float | None = None,
    atol: float | None = None,
    probes: Sequence[Probe] = (),
    threads: int | None = None,
    custom_ops: Sequence[Path] = (),
    folder: Path | None = None,
) -> Verdict:
    """Run both models on the same feeds and compare every output; then check every probe against its error bound.

    An element of a float output may differ by atol + rtol · max|original output|; without `rtol` the type of the output
    decides (`RTOL`), without `atol` it is 0. NaN and Inf must be in the same places, everything else must be equal.
    The outputs are compared on the models as they are; for the probes they run once more with the probed values as
    extra outputs, which may switch fusions off. On CUDA both run without TF32.
    folder: where external data of models given as bytes lies.
    Raises EquivalenceError when the interfaces differ, there are no feeds, or a probed value does not exist, and
    SessionError when ONNX Runtime refuses a model or an input.
    """
    start = time.perf_counter()
    trials = [dict(feed) for feed in feeds]
    if not trials:
        raise EquivalenceError("there is nothing to compare on: no inputs were given")

    def load(model: Path | bytes, label: str, names: Sequence[str] = ()) -> Session:
        name = str(model) if isinstance(model, Path) else label
        beside = model.absolute().parent if isinstance(model, Path) else folder
        source = expose(model, names) if names else model
        return open_session(
            source, provider=provider, threads=threads, tf32=False, custom_ops=custom_ops, folder=beside, name=name
        )

    reports, used, interface = _compare_outputs(
        load(original, "original"), load(changed, "changed"), trials, rtol, atol
    )
    before, after = (
        _run_probes(functools.partial(load, model, label), interface, trials, probes)
        for model, label in ((original, "original"), (changed, "changed"))
    )
    probed = tuple(_probe_report(*of_probe) for of_probe in zip(probes, before, after, strict=True))
    problems = [r.reason for r in reports if not r.equal] + [p.reason for p in probed if not p.within]
    identical = all(report.identical for report in reports)
    return Verdict(
        equal=not problems,
        identical=identical,
        outputs=reports,
        probes=probed,
        trials=len(trials),
        provider=used,
        seconds=time.perf_counter() - start,
        reason="; ".join(problems) if problems else _praise(reports, probed, len(trials)),
    )


def expose(model: Path | bytes, names: Sequence[str]) -> bytes:
    """The model, as bytes, with these top-level values as outputs after its own; external data stays where it is.

    Nothing is parsed: in protobuf's wire format a message followed by another is the two merged, lists appended
    (https://protobuf.dev/programming-guides/encoding/#last-one-wins). Names that do not exist are left to ONNX Runtime.
    """
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    tail: bytes = onnx.ModelProto(graph=onnx.GraphProto(output=outputs)).SerializeToString()
    return (model.read_bytes() if isinstance(model, Path) else model) + tail


def gamma(n: int, dtype: npt.DTypeLike) -> float:
    """γ_n = n·u / (1 - n·u) for the unit roundoff u of `dtype`: the error of n roundings in a row.

    Raises EquivalenceError when n·u reaches 1 and there is no bound.
    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., lemma 3.1.

    >>> gamma(1, "float32") == 2.0**-24 / (1 - 2.0**-24)
    True
    """
    nu = n * _limits(np.dtype(dtype))[0]
    if nu >= 1:
        raise EquivalenceError(f"{np.dtype(dtype).name} has no error bound for {n} roundings; accumulate in float32")
    return nu / (1 - nu)


def product_bound(
    x: Array, W: Array, terms: int | None = None, *, bias: Array | None = None
) -> tuple[Float64, Float64]:
    """The exact x·W (+ bias) in float64, and how far a computed one may be from it, element by element.

    x: (..., K), W: (K, N) or (..., K, N), bias: (N,). The bound holds for every order of summation:
    γ_terms · (|x|·|W| + |bias|), in the precision of x; `terms` is K (+ 1 with a bias) when not given; K + b allows for
    the dense and the split product at once, as γ_K + γ_b ≤ γ_{K+b}. 16-bit types are accumulated in float32 and rounded
    at the end. Underflow and the rounding of the float64 reference itself are allowed for.
    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 3.1 (and 2.8 for underflow).

    >>> x, W = np.ones((1, 3), np.float32), np.ones((3, 2), np.float32)
    >>> y, bound = product_bound(x, W)
    >>> y.tolist(), bool((bound < 1e-6).all())
    ([[3.0, 3.0]], True)
    """
    K = x.shape[-1]
    count = K + (bias is not None) if terms is None else terms
    x64, W64 = x.astype(np.float64), W.astype(np.float64)
    with np.errstate(invalid="ignore", over="ignore"):
        exact, size = x64 @ W64, np.abs(x64) @ np.abs(W64)
        if bias is not None:
            exact, size = exact + bias.astype(np.float64), size + np.abs(bias.astype(np.float64))
        share, floor = _rounding(count, x.dtype)
        own = gamma(K + 2, np.float64)  # of the reference, and of `size`
        return exact, (size * (share + own) * (1 + 2 * own) + floor)


def _rounding(terms: int, dtype: np.dtype[Any]) -> tuple[float, float]:
    """Relative error of a product of so many terms, and its absolute error from underflow."""
    wide = np.dtype(np.float32) if dtype.itemsize == 2 else dtype
    floor = terms * _limits(wide)[1]
    if wide == dtype:
        return gamma(terms, dtype), floor
    last = gamma(ROUNDINGS, dtype)
    return gamma(terms, wide) * (1 + last) + last, floor + ROUNDINGS * _limits(dtype)[1]


def _limits(dtype: np.dtype[Any]) -> tuple[float, float, float]:
    """Unit roundoff, smallest subnormal number and largest number of a float type, bfloat16 included."""
    info = ml_dtypes.finfo(dtype)  # type: ignore[no-untyped-call]
    return float(info.eps) / 2, float(info.smallest_subnormal), float(info.max)


def _compare_outputs(
    original: Session, changed: Session, trials: Sequence[Mapping[str, Array]], rtol: float | None, atol: float | None
) -> tuple[tuple[OutputReport, ...], str, frozenset[str]]:
    """A report per output, the provider used, and the names that need no exposing."""
    _require_same_interface(original, changed)
    reports: dict[str, OutputReport] = {}
    for trial, feed in enumerate(trials):
        before, after = original.run(feed), changed.run(feed)
        for output in original.outputs:
            for report in _compare_values(output.name, before.pop(output.name), after.pop(output.name), rtol, atol):
                reason = f"{report.reason} (trial {trial + 1} of {len(trials)})" if report.reason else ""
                report = dataclasses.replace(report, reason=reason)
                known = reports.get(report.name)
                reports[report.name] = report if known is None else _worst(known, report)
    return tuple(reports.values()), original.provider, frozenset(s.name for s in original.outputs)


def _require_same_interface(original: Session, changed: Session) -> None:
    for kind, before, after in (
        ("input", original.inputs, changed.inputs),
        ("output", original.outputs, changed.outputs),
    ):
        names = [spec.name for spec in before], [spec.name for spec in after]
        if names[0] != names[1]:
            raise EquivalenceError(
                f"{changed.name}: its {kind}s are {names[1]}, those of {original.name} are {names[0]}; "
                f"a rewrite keeps names and order"
            )
        for one, other in zip(before, after, strict=True):
            same = one.shape == other.shape if kind == "input" else _compatible(one, other)
            if one.dtype != other.dtype or not same:
                raise EquivalenceError(
                    f"{changed.name}: {kind} {one.name!r} is {other.dtype}{list(other.shape)}, in {original.name} "
                    f"it is {one.dtype}{list(one.shape)}; a rewrite keeps types and shapes"
                )


def _compatible(one: TensorSpec, other: TensorSpec) -> bool:
    """Whether no fixed sizes contradict; what ONNX Runtime infers for outputs may be vaguer after a rewrite."""
    if not one.shape or not other.shape:  # also how an unknown rank looks
        return True
    return len(one.shape) == len(other.shape) and all(
        a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in zip(one.shape, other.shape, strict=True)
    )


def _compare_values(
    name: str, before: object, after: object, rtol: float | None, atol: float | None
) -> Iterator[OutputReport]:
    """One report per tensor; a sequence of tensors or of maps counts as several outputs."""
    parts, others = dict(_tensors(name, before)), dict(_tensors(name, after))
    if parts.keys() != others.keys():
        yield _discrete(name, "sequence", 0, f"output {name!r} has other parts: {list(others)}, was {list(parts)}")
        return
    for part in list(parts):
        yield _compare(part, parts.pop(part), others.pop(part), rtol, atol)


def _tensors(name: str, value: object) -> Iterator[tuple[str, Array]]:
    if isinstance(value, np.ndarray):
        yield name, value
    elif isinstance(value, Mapping):
        yield f"{name}.keys", np.array(list(value))
        yield f"{name}.values", np.array(list(value.values()))
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):  # classifiers: one map per row
        yield f"{name}.keys", np.array([list(row) for row in value])
        yield f"{name}.values", np.array([list(row.values()) for row in value])
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _tensors(f"{name}[{place}]", part)
    elif value is not None:
        yield name, np.asarray(value)


def _compare(name: str, before: Array, after: Array, rtol: float | None, atol: float | None) -> OutputReport:
    dtype = before.dtype.name
    if before.dtype != after.dtype or before.shape != after.shape:
        was, now = f"{dtype}{list(before.shape)}", f"{after.dtype.name}{list(after.shape)}"
        return _discrete(name, dtype, before.size, f"output {name!r} is {now}, was {was}")
    if dtype in RTOL:
        return _compare_floats(name, before, after, RTOL[dtype] if rtol is None else rtol, atol or 0.0)
    if np.array_equal(before, after):
        return _discrete(name, dtype, before.size, "")
    place = _place(np.asarray(before != after))
    reason = f"output {name!r} at {list(place)} is {after[place]!s}, was {before[place]!s}: it must be equal"
    return _discrete(name, dtype, before.size, reason)


def _compare_floats(name: str, before: Array, after: Array, rtol: float, atol: float) -> OutputReport:
    dtype = before.dtype.name
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
    mean, q99 = (float(error.mean()), float(np.quantile(error, 0.99))) if error.size else (0.0, 0.0)
    large = np.abs(a) >= SMALL * scale
    element = float((error[large] / np.abs(a[large])).max(initial=0.0)) if scale else 0.0
    return OutputReport(
        name=name,
        dtype=dtype,
        elements=before.size,
        equal=not reason,
        identical=_same_bits(before, after),
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
    )


def _discrete(name: str, dtype: str, elements: int, reason: str) -> OutputReport:
    """An output that is equal or not, without a size of the difference: not floats, or another shape."""
    return OutputReport(
        name=name,
        dtype=dtype,
        elements=elements,
        equal=not reason,
        identical=not reason,
        **dict.fromkeys(ERRORS, math.inf if reason else 0.0),
        scale=0.0,
        cosine=None,
        argmax=None,
        tolerance=None,
        reason=reason,
    )


def _same_bits(a: Array, b: Array) -> bool:
    return np.array_equal(
        np.ascontiguousarray(a).reshape(-1).view(np.uint8), np.ascontiguousarray(b).reshape(-1).view(np.uint8)
    )


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


def _argmax_agreement(a: Float64, b: Float64) -> float | None:
    if not a.ndim or a.shape[-1] < 2 or not a.size:
        return None
    return float((a.argmax(-1) == b.argmax(-1)).mean())


def _worst(one: OutputReport, other: OutputReport) -> OutputReport:
    """Each number at its worst; the reason of the first failure."""
    return dataclasses.replace(
        one,
        elements=one.elements + other.elements,
        equal=one.equal and other.equal,
        identical=one.identical and other.identical,
        **{field: max(getattr(one, field), getattr(other, field)) for field in (*ERRORS, "scale")},
        cosine=_least(one.cosine, other.cosine),
        argmax=_least(one.argmax, other.argmax),
        tolerance=_least(one.tolerance, other.tolerance),
        reason=one.reason or other.reason,
    )


def _least(one: float | None, other: float | None) -> float | None:
    return min((value for value in (one, other) if value is not None), default=None)


def _run_probes(
    load: Callable[[Sequence[str]], Session],
    own: frozenset[str],
    trials: Sequence[Mapping[str, Array]],
    probes: Sequence[Probe],
) -> list[tuple[float, int]]:
    """For each probe its worst |y - exact| / bound in this model, and how many elements were checked."""
    if not probes:
        return []
    fed = frozenset(name for feed in trials for name in feed)
    names = dict.fromkeys(name for probe in probes for name in (probe.input, probe.output))
    try:
        session = load([name for name in names if name not in own | fed])
    except SessionError as error:
        if "does not exist in the graph" not in str(error):
            raise
        raise EquivalenceError(f"{error}; a probed value must be in the top-level graph of both models") from error
    worst, checked = [0.0] * len(probes), [0] * len(probes)
    for feed in trials:
        for first in range(0, len(probes), RUN_AT_ONCE // 2):
            group = range(first, min(first + RUN_AT_ONCE // 2, len(probes)))
            wanted = dict.fromkeys(n for i in group for n in (probes[i].input, probes[i].output) if n not in fed)
            values = dict(feed) | (session.run(feed, list(wanted)) if wanted else {})
            for i in group:
                ratio, count = _ratio(session.name, probes[i], values)
                worst[i], checked[i] = max(worst[i], ratio), checked[i] + count
    return list(zip(worst, checked, strict=True))


def _ratio(model: str, probe: Probe, values: Mapping[str, Array]) -> tuple[float, int]:
    y = values[probe.output]
    exact, bound = probe.reference(values[probe.input])
    if exact.shape != y.shape or bound.shape != y.shape:
        raise EquivalenceError(
            f"{model}: {probe.node}: {probe.output!r} has shape {y.shape}, its reference {exact.shape}; "
            f"the probe is for another node"
        )
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        # Outside the range of the type, and after a NaN or an Inf, the analysis of rounding does not hold.
        valid = np.isfinite(exact) & np.isfinite(bound) & (np.abs(exact) + bound <= _limits(y.dtype)[2])
        error = np.abs(y.astype(np.float64) - exact)
        ratio = np.where(error == 0, 0.0, error / bound)[valid]
    return float(np.where(np.isnan(ratio), np.inf, ratio).max(initial=0.0)), int(valid.sum())


def _probe_report(probe: Probe, original: tuple[float, int], changed: tuple[float, int]) -> ProbeReport:
    checked = original[1] + changed[1]
    reason = ""
    if changed[0] > 1:
        reason = f"{probe.node}: {probe.output!r} is {changed[0]:.3g} times its error bound away from the exact product"
    elif original[0] > 1:
        reason = (
            f"{probe.node}: {probe.output!r} of the original itself is {original[0]:.3g} times the error bound away; "
            f"the probe's reference is for another weight"
        )
    elif not original[1] or not changed[1]:
        reason = f"{probe.node}: not one finite element of {probe.output!r} to check; give real inputs with --inputs"
    return ProbeReport(
        node=probe.node,
        within=not reason,
        original=original[0],
        changed=changed[0],
        checked=checked,
        reason=reason,
    )


def _praise(outputs: Sequence[OutputReport], probes: Sequence[ProbeReport], trials: int) -> str:
    where = f"over {trials} trial{'s' * (trials != 1)}"
    bounds = f"; {len(probes)} products within their error bounds" if probes else ""
    if all(output.identical for output in outputs):
        return f"bit-identical {where}{bounds}"
    worst = max(outputs, key=lambda output: output.max_rel)
    return f"largest error {worst.max_rel:.2g} of the largest value of output {worst.name!r} {where}{bounds}"


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
