"""Two models side by side: the same interface, the same numbers, and every rewritten product within its error bound."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import onnx

from ...ir.brief import brief
from ...ir.errors import ScissionError, option
from ...ir.io.external import left_in_place
from ...ir.phase import phase
from ...ir.plural import counted
from ..measure.deviation import OutputReport, compare_values, worst_of
from ..ort.memory import release
from ..ort.messages import lacks_value
from ..ort.session import Choice, Session, SessionError, TensorSpec, open_session
from .rounding import limits
from .unexercised import PartReport

if TYPE_CHECKING:
    from ...ir.progress import Progress

__all__ = [
    "EquivalenceError",
    "Probe",
    "ProbeReport",
    "Verdict",
    "check",
    "expose",
]

Array = npt.NDArray[Any]
Float64 = npt.NDArray[np.float64]

WIDE_BYTES = 64 << 20  # of activations that are held in float64 at a time
WIDE_COPIES = 4  # of them, with the sizes beside the values
ROWS = 64  # at the least, so that the weight is not converted again and again
RUN_AT_ONCE = 32  # probed values fetched by one run: more would hold more activations at a time


class EquivalenceError(ScissionError):
    """Two models that cannot be compared: another interface, no inputs, or a probe that is not there."""


class _RefusedError(SessionError):
    """The changed model does not run on what the original ran on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """A rewritten linear: the activation that enters it and the value that leaves it, both in the top-level graph.

    reference(x) is the exact product in float64 and an elementwise bound on what rounding may change, for the
    activation x as it was: `product_bound` makes both. narrow: a narrower type that the changed model computes it in,
    which is handed to the reference there. by_rows: whether a row of the result comes from the same row of x alone,
    features on the last axis, so that some rows can be held against the reference at a time.
    """

    node: str
    input: str
    output: str
    reference: Callable[..., tuple[Float64, Float64]]
    narrow: np.dtype[Any] | None = None
    by_rows: bool = False


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
    """Whether two models are the same function, as far as the inputs tried tell; `reason` says why in one line.

    equal: shown equal; shown: False where no difference was found, but a part in which the models differ never ran, so
    that they are neither equal nor different; parts: branches and bodies of loops, and how often they ran;
    masked: what masks hid in every trial, a sentence each.
    """

    equal: bool
    identical: bool
    outputs: tuple[OutputReport, ...]
    probes: tuple[ProbeReport, ...]
    trials: int
    provider: str
    seconds: float
    reason: str
    shown: bool = True
    parts: tuple[PartReport, ...] = ()
    masked: tuple[str, ...] = ()

    @property
    def different(self) -> bool:
        """Whether a difference was found."""
        return not self.equal and self.shown

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """The verdict for JSON; an infinite number is None there."""
        found = {key: _plain(value) for key, value in dataclasses.asdict(self).items()}
        return found | {"parts": [part.to_dict() for part in self.parts]}


@phase("check")
def check(
    original: Path | bytes,
    changed: Path | bytes,
    *,
    feeds: Iterable[Mapping[str, Array]] | Callable[[Session], Iterable[Mapping[str, Array]]],
    provider: Choice = "cpu",
    rtol: float | None = None,
    atol: float | None = None,
    probes: Sequence[Probe] = (),
    threads: int | None = None,
    custom_ops: Sequence[Path] = (),
    folder: Path | None = None,
    least: float = 0.0,
    optimize: tuple[bool, bool] = (True, True),
    progress: Progress | None = None,
) -> Verdict:
    """Run both models on the same feeds and compare every output; then check every probe against its error bound.

    An element of a float output may differ by atol + rtol · max|original output|; without `rtol` the type of the output
    decides (`RTOL`), without `atol` it is 0. NaN and Inf must be in the same places, everything else must be equal.
    The outputs are compared on the models as they are; for the probes they run once more with the probed values as
    extra outputs, which may switch fusions off. On CUDA both run without TF32.
    feeds: the inputs, or what chooses them once the original is open. folder: where external data of models given as
    bytes lies; least: tolerance below which no output is held, see `compare_values`; optimize: whether ONNX Runtime
    optimises the original and the changed model; progress: called with (done, total, what).
    Outputs that are empty whatever the inputs hold are equal when their shapes and types are.
    Raises EquivalenceError when the interfaces differ, there are no feeds, or a probed value does not exist, and
    SessionError when ONNX Runtime refuses a model or an input.
    """
    start = time.perf_counter()

    fusing = dict(zip(("original", "changed"), optimize, strict=True))

    def load(model: Path | bytes, label: str, names: Sequence[str] = (), plain: bool = False) -> Session:
        name = str(model) if isinstance(model, Path) else label
        beside = model.absolute().parent if isinstance(model, Path) else folder
        source = expose(model, names) if names else model
        return open_session(
            source,
            provider=provider,
            threads=threads,
            optimize=fusing[label] and not plain,
            tf32=False,
            custom_ops=custom_ops,
            folder=beside,
            name=name,
        )

    first = load(original, "original")
    trials = [dict(feed) for feed in (feeds(first) if callable(feeds) else feeds)]
    if not trials:
        raise EquivalenceError("there is nothing to compare on: no inputs were given")
    chosen, hollow = first.provider, _is_hollow(first)
    opened = [first, load(changed, "changed")]
    del first  # each pair is closed before the next one is opened: weights are held in two sessions at the most

    def compare(
        trials: Sequence[Mapping[str, Array]],
    ) -> tuple[tuple[OutputReport, ...], list[list[tuple[float, int, int]]]]:
        pair = opened or [load(original, "original"), load(changed, "changed")]
        try:
            reports, interface = _compare_outputs(pair[0], pair[1], trials, rtol, atol, least, progress)
        finally:
            pair.clear()
            release()
        whole = [dataclasses.replace(probe, narrow=None) for probe in probes]
        runs = ((original, "original", whole), (changed, "changed", probes))
        return reports, [
            _run_probes(functools.partial(load, model, label), interface, trials, held) for model, label, held in runs
        ]

    try:
        reports, (before, after) = compare(trials)
    except SessionError as error:
        # Fused operators may run what the graph as it is written refuses: that says nothing about the changed model.
        plain = load(original, "original", plain=True)
        sound = [feed for feed in trials if _runs(plain, feed)]
        del plain
        if not sound or (len(sound) == len(trials) and not isinstance(error, _RefusedError)):
            raise
        if len(sound) == len(trials):
            return _refused(error, len(trials), chosen, time.perf_counter() - start)
        trials = sound
        try:
            reports, (before, after) = compare(trials)
        except _RefusedError as again:
            return _refused(again, len(trials), chosen, time.perf_counter() - start)
    probed = tuple(_probe_report(*of_probe, hollow) for of_probe in zip(probes, before, after, strict=True))
    empty = not any(report.elements for report in reports)
    if not any(report.finite for report in reports) and not (empty and hollow):
        what = "empty" if empty else "NaN or infinite"
        raise EquivalenceError(
            f"nothing could be compared: every output is {what}; give other inputs with ", option("inputs")
        )
    problems = [r.reason for r in reports if not r.equal] + [p.reason for p in probed if not p.within]
    identical = all(report.identical for report in reports)
    return Verdict(
        equal=not problems,
        identical=identical,
        outputs=reports,
        probes=probed,
        trials=len(trials),
        provider=chosen,
        seconds=time.perf_counter() - start,
        reason="; ".join(problems) if problems else _praise(reports, probed, len(trials)),
    )


def expose(model: Path | bytes, names: Sequence[str]) -> bytes:
    """The model, as bytes, with these top-level values as outputs after its own.

    External data stays where it is, and so do large weights of a path: as if they were external data in its folder.
    Nothing is parsed: in protobuf's wire format a message followed by another is the two merged, lists appended
    (https://protobuf.dev/programming-guides/encoding/#last-one-wins). Names that do not exist are left to ONNX Runtime.
    """
    outputs = [onnx.ValueInfoProto(name=name) for name in names]
    tail: bytes = onnx.ModelProto(graph=onnx.GraphProto(output=outputs)).SerializeToString()
    return (left_in_place(model) if isinstance(model, Path) else model) + tail


def _compare_outputs(
    original: Session,
    changed: Session,
    trials: Sequence[Mapping[str, Array]],
    rtol: float | None,
    atol: float | None,
    least: float,
    progress: Progress | None,
) -> tuple[tuple[OutputReport, ...], frozenset[str]]:
    """A report per output, and the names that need no exposing."""
    _require_same_interface(original, changed)
    reports: dict[str, OutputReport] = {}
    for trial, feed in enumerate(trials):
        if progress:
            progress(trial, len(trials), f"trial {trial + 1} of {len(trials)}")
        before = original.run(feed)
        try:
            after = changed.run(feed)
        except SessionError as error:
            raise _RefusedError(*error.parts) from error
        for name in dict.fromkeys(output.name for output in original.outputs):  # one may be listed twice
            pair = before.pop(name), after.pop(name)
            for report in compare_values(name, *pair, rtol, atol, least):
                reason = f"{report.reason} (trial {trial + 1} of {len(trials)})" if report.reason else ""
                report = dataclasses.replace(report, reason=reason)
                known = reports.get(report.name)
                reports[report.name] = report if known is None else worst_of(known, report)
    return tuple(reports.values()), frozenset(s.name for s in original.outputs)


def _runs(session: Session, feed: Mapping[str, Array]) -> bool:
    try:
        session.run(feed)
    except SessionError:
        return False
    return True


def _is_hollow(session: Session) -> bool:
    """Whether the model itself, not the feed, makes values empty: a size of an input or an output is fixed at 0."""
    return any(0 in spec.shape for spec in (*session.inputs, *session.outputs))


def _refused(error: SessionError, trials: int, provider: str, seconds: float) -> Verdict:
    return Verdict(
        equal=False,
        identical=False,
        outputs=(),
        probes=(),
        trials=trials,
        provider=provider,
        seconds=seconds,
        reason=f"it refuses inputs that the original runs: {error}",
    )


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


def _run_probes(
    load: Callable[[Sequence[str]], Session],
    own: frozenset[str],
    trials: Sequence[Mapping[str, Array]],
    probes: Sequence[Probe],
) -> list[tuple[float, int, int]]:
    """For each probe its worst |y - exact| / bound in this model, how many elements were checked, of how many."""
    if not probes:
        return []
    fed = frozenset(name for feed in trials for name in feed)
    names = dict.fromkeys(name for probe in probes for name in (probe.input, probe.output))
    try:
        session = load([name for name in names if name not in own | fed])
    except SessionError as error:
        if not lacks_value(error):
            raise
        raise EquivalenceError(
            *error.parts, "; a probed value must be in the top-level graph of both models"
        ) from error
    worst, checked, elements = [0.0] * len(probes), [0] * len(probes), [0] * len(probes)
    for feed in trials:
        for first in range(0, len(probes), RUN_AT_ONCE // 2):
            group = range(first, min(first + RUN_AT_ONCE // 2, len(probes)))
            wanted = dict.fromkeys(n for i in group for n in (probes[i].input, probes[i].output) if n not in fed)
            values = dict(feed) | (session.run(feed, list(wanted)) if wanted else {})
            for i in group:
                ratio, count = _ratio(session.name, probes[i], values)
                worst[i], checked[i] = max(worst[i], ratio), checked[i] + count
                elements[i] += values[probes[i].output].size
    return list(zip(worst, checked, elements, strict=True))


def _ratio(model: str, probe: Probe, values: Mapping[str, Array]) -> tuple[float, int]:
    x, y = values[probe.input], values[probe.output]
    if not probe.by_rows or x.ndim < 2 or x.shape[:-1] != y.shape[:-1] or not x.size or not y.size:
        return _ratio_of(model, probe, x, y)
    rows_x, rows_y = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1])
    step = max(ROWS, WIDE_BYTES // (WIDE_COPIES * np.dtype(np.float64).itemsize * (x.shape[-1] + y.shape[-1])))
    parts = [
        _ratio_of(model, probe, rows_x[start : start + step], rows_y[start : start + step])
        for start in range(0, len(rows_x), step)
    ]
    return max(ratio for ratio, _ in parts), sum(count for _, count in parts)


def _ratio_of(model: str, probe: Probe, x: Array, y: Array) -> tuple[float, int]:
    narrow = probe.narrow
    exact, bound = probe.reference(x) if narrow is None else probe.reference(x, narrow)
    if exact.shape != y.shape or bound.shape != y.shape:
        raise EquivalenceError(
            f"{model}: {probe.node}: {probe.output!r} has shape {y.shape}, its reference {exact.shape}; "
            f"the probe is for another node"
        )
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        # Outside the range of the type, and after a NaN or an Inf, the analysis of rounding does not hold.
        largest = limits(y.dtype if narrow is None else narrow)[2]
        valid = np.isfinite(exact) & np.isfinite(bound) & (np.abs(exact) + bound <= largest)
        error = np.abs(y.astype(np.float64) - exact)
        ratio = np.where(error == 0, 0.0, error / bound)[valid]
    return float(np.where(np.isnan(ratio), np.inf, ratio).max(initial=0.0)), int(valid.sum())


def _probe_report(
    probe: Probe, original: tuple[float, int, int], changed: tuple[float, int, int], hollow: bool
) -> ProbeReport:
    """hollow: whether a product without any element is as it should be, see `_is_hollow`."""
    checked = original[1] + changed[1]
    reason = ""
    if changed[0] > 1:
        reason = f"{probe.node}: {probe.output!r} is {changed[0]:.3g} times its error bound away from the exact product"
    elif original[0] > 1:
        reason = (
            f"{probe.node}: {probe.output!r} of the original itself is {original[0]:.3g} times the error bound away; "
            f"the probe's reference is for another weight"
        )
    elif (not original[1] or not changed[1]) and not (hollow and not original[2] and not changed[2]):
        reason = f"{probe.node}: not one finite element of {probe.output!r} to check; give real inputs"
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
    own = "its error bound" if len(probes) == 1 else "their error bounds"
    bounds = f"; {counted(len(probes), 'product')} within {own}" if probes else ""
    if not any(output.elements for output in outputs):
        return f"every output is empty, with the same shape and type {where}"
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
