"""Two models side by side: the same interface, the same numbers, and every rewritten product within its error bound."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt

from ...ir.errors import option
from ...ir.phase import phase
from ...ir.plural import counted
from ..measure.deviation import OutputReport, compare_values, worst_of
from ..ort.library import SessionError
from ..ort.memory import release
from ..ort.session import ModelSource, Session, open_session
from ..ort.tensor_spec import TensorSpec
from ..ort.trials import Trials
from .probe_runs import expose, probe_report, run_probes
from .verdict import EquivalenceError, Probe, ProbeReport, Verdict

if TYPE_CHECKING:
    from ...ir.progress import Progress

__all__ = ["check"]

Array = npt.NDArray[Any]
Feed: TypeAlias = "Mapping[str, Array]"
_Found: TypeAlias = "tuple[tuple[OutputReport, ...], list[list[tuple[float, int, int]]]]"


class _RefusedError(SessionError):
    """The changed model does not run on what the original ran on."""


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two models, and how sessions of it are opened."""

    source: ModelSource
    optimize: bool
    trials: Trials

    @staticmethod
    def of(model: Path | bytes | ModelSource, label: str, optimize: bool, trials: Trials) -> _Side:
        """label: what messages call a model in memory."""
        if isinstance(model, Path):
            model = ModelSource(model, str(model), model.absolute().parent)
        elif isinstance(model, bytes):
            model = ModelSource(model, label)
        return _Side(model, optimize, trials)

    def open(self, exposed: Sequence[str] = (), plain: bool = False) -> Session:
        """A session, with these values as outputs too; plain: whether ONNX Runtime leaves the graph as it is."""
        model = expose(self.source.model, exposed) if exposed else self.source.model
        return open_session(
            dataclasses.replace(self.source, model=model),
            provider=self.trials.provider,
            threads=self.trials.threads,
            optimize=self.optimize and not plain,
            tf32=self.trials.tf32,
            custom_ops=self.trials.custom_ops,
        )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Both models and what is asked of them; opened: sessions of the two that are open already, used first."""

    original: _Side
    changed: _Side
    probes: Sequence[Probe]
    trials: Trials
    least: float
    progress: Progress | None
    opened: list[Session]

    def __call__(self, feeds: Sequence[Feed]) -> _Found:
        """A report per output, and what `run_probes` finds in each of the two models.

        Each pair of sessions is closed before the next one is opened: weights are held in two at the most.
        Raises _RefusedError where the changed model does not run, SessionError where the original does not.
        """
        pair = self.opened or [self.original.open(), self.changed.open()]
        try:
            _require_same_interface(pair[0], pair[1], self.trials.sizes or {})
            own = frozenset(output.name for output in pair[0].outputs)
            reports = self._outputs(pair[0], pair[1], feeds)
        finally:
            pair.clear()
            release()
        whole = [dataclasses.replace(probe, narrow=None) for probe in self.probes]
        sides = ((self.original, whole), (self.changed, self.probes))
        return reports, [run_probes(side.open, own, feeds, held) for side, held in sides]

    def _outputs(self, original: Session, changed: Session, feeds: Sequence[Feed]) -> tuple[OutputReport, ...]:
        """The worst report of each output over all feeds."""
        reports: dict[str, OutputReport] = {}
        for trial, feed in enumerate(feeds):
            if self.progress:
                self.progress(trial, len(feeds), f"trial {trial + 1} of {len(feeds)}")
            before = original.run(feed)
            try:
                after = changed.run(feed)
            except SessionError as error:
                raise _RefusedError(*error.parts) from error
            for name in dict.fromkeys(output.name for output in original.outputs):  # one may be listed twice
                pair = before.pop(name), after.pop(name)
                for report in compare_values(name, *pair, self.trials.rtol, self.trials.atol, self.least):
                    reason = f"{report.reason} (trial {trial + 1} of {len(feeds)})" if report.reason else ""
                    report = dataclasses.replace(report, reason=reason)
                    known = reports.get(report.name)
                    reports[report.name] = report if known is None else worst_of(known, report)
        return tuple(reports.values())


@phase("check")
def check(
    original: Path | bytes | ModelSource,
    changed: Path | bytes | ModelSource,
    *,
    feeds: Iterable[Feed] | Callable[[Session], Iterable[Feed]],
    trials: Trials | None = None,
    probes: Sequence[Probe] = (),
    least: float = 0.0,
    optimize: tuple[bool, bool] = (True, True),
    progress: Progress | None = None,
) -> Verdict:
    """Run both models on the same feeds and compare every output; then check every probe against its error bound.

    An element of a float output may differ by atol + rtol · max|original output|; without `rtol` the type of the output
    decides (`RTOL`), without `atol` it is 0. NaN and Inf must be in the same places, everything else must be equal.
    The outputs are compared on the models as they are; for the probes they run once more with the probed values as
    extra outputs, which may switch fusions off. On CUDA both run without TF32.
    feeds: the inputs, or what chooses them once the original is open. trials: provider, threads, custom operators and
    tolerances. least: tolerance below which no output is held, see `compare_values`; optimize: whether ONNX Runtime
    optimises the original and the changed model; progress: called with (done, total, what).
    Outputs that are empty whatever the inputs hold are equal when their shapes and types are.
    Raises EquivalenceError when the interfaces differ, there are no feeds, or a probed value does not exist, and
    SessionError when ONNX Runtime refuses a model or an input.
    """
    start, trials = time.perf_counter(), trials or Trials(provider="cpu")
    one, other = _Side.of(original, "original", optimize[0], trials), _Side.of(changed, "changed", optimize[1], trials)
    first = one.open()
    given = [dict(feed) for feed in (feeds(first) if callable(feeds) else feeds)]
    if not given:
        raise EquivalenceError("there is nothing to compare on: no inputs were given")
    provider, hollow = first.provider, _is_hollow(first)
    compare = _Comparison(one, other, probes, trials, least, progress, [first, other.open()])
    del first  # or it would stay open
    given, found = _compared(compare, given)
    if isinstance(found, _RefusedError):
        return _refused(found, len(given), provider, time.perf_counter() - start)
    reports, (before, after) = found
    probed = tuple(probe_report(*of_probe, hollow) for of_probe in zip(probes, before, after, strict=True))
    empty = not any(report.elements for report in reports)
    if not any(report.finite for report in reports) and not (empty and hollow):
        what = "empty" if empty else "NaN or infinite"
        raise EquivalenceError(
            f"nothing could be compared: every output is {what}; give other inputs with ", option("inputs")
        )
    problems = [r.reason for r in reports if not r.equal] + [p.reason for p in probed if not p.within]
    return Verdict(
        equal=not problems,
        identical=all(report.identical for report in reports),
        outputs=reports,
        probes=probed,
        trials=len(given),
        provider=provider,
        seconds=time.perf_counter() - start,
        reason="; ".join(problems) if problems else _praise(reports, probed, len(given)),
    )


def _compared(
    compare: _Comparison, feeds: list[dict[str, Array]]
) -> tuple[list[dict[str, Array]], _Found | _RefusedError]:
    """The feeds that the original runs, and what was found on them, or that the changed model refuses one of these.

    Fused operators may run what the graph as it is written refuses: that says nothing about the changed model.
    """
    try:
        return feeds, compare(feeds)
    except SessionError as error:
        plain = compare.original.open(plain=True)
        sound = [feed for feed in feeds if _runs(plain, feed)]
        del plain  # or it would stay open
        if len(sound) == len(feeds) and isinstance(error, _RefusedError):
            return feeds, error
        if not sound or len(sound) == len(feeds):
            raise
    try:
        return sound, compare(sound)
    except _RefusedError as error:
        return sound, error


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


def _require_same_interface(original: Session, changed: Session, sizes: Mapping[str, int]) -> None:
    """Raise EquivalenceError unless both have the same inputs and outputs; open dimensions may have these sizes."""
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
            same = _narrower(one, other, sizes) if kind == "input" else _compatible(one, other)
            if one.dtype != other.dtype or not same:
                raise EquivalenceError(
                    f"{changed.name}: {kind} {one.name!r} is {other.dtype}{list(other.shape)}, in {original.name} "
                    f"it is {one.dtype}{list(one.shape)}; a rewrite keeps types and shapes"
                )


def _narrower(one: TensorSpec, other: TensorSpec, sizes: Mapping[str, int]) -> bool:
    """Whether an input of the changed model takes what that of the original does at these sizes."""
    return len(one.shape) == len(other.shape) and all(
        a == b or (isinstance(a, str) and a in sizes and sizes[a] == b)
        for a, b in zip(one.shape, other.shape, strict=True)
    )


def _compatible(one: TensorSpec, other: TensorSpec) -> bool:
    """Whether no fixed sizes contradict; what ONNX Runtime infers for outputs may be vaguer after a rewrite."""
    if not one.shape or not other.shape:  # also how an unknown rank looks
        return True
    return len(one.shape) == len(other.shape) and all(
        a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in zip(one.shape, other.shape, strict=True)
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
