"""Any number of models timed on the same input in one run: interleaved, until it is clear which is faster."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.errors import Remedy, ScissionError, option
from ...ir.io.load import load as load_model
from ..ort.cuda import graph_problem
from ..ort.library import SessionError, resolved
from ..ort.memory import release
from ..ort.session import Bound, ModelSource, Session, open_session
from ..ort.trials import Trials
from .clock import Clock, ClockName, clock_for
from .comparison import Comparison, compare_times
from .deviation import compare_values
from .rounds import WARM_UP, Steer, Taken, take_rounds

__all__ = ["BenchError", "NoGraphError", "Race", "Spread", "Timing", "file_bytes", "race"]

Array = npt.NDArray[Any]

PRECISE = 1.05  # ends of an interval this factor apart say how much faster well enough
GRAPH_RTOL = 1e-2  # of a graph's outputs: what it did not write is off by far more, another choice of kernels by less


class BenchError(ScissionError):
    """A benchmark that was asked for something impossible."""


class NoGraphError(BenchError):
    """CUDA graphs were demanded, and a model cannot run as one; model: what the race calls it."""

    def __init__(self, *parts: str | Remedy, model: str = "") -> None:
        super().__init__(*parts)
        self.model = model


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median, 10 % and 90 % quantile of repeated measurements."""

    median: float
    q10: float
    q90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One model: latency of one run, in seconds on the clock of the race, rows per second by its median, seconds to
    load it, bytes with external data."""

    latency: Spread
    rows_per_second: float | None
    load_seconds: float
    bytes_: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Several models on the same input, by name, in the order they were given in.

    comparisons: each beside the first; paired: spread of the latency of the first over that of each, in the same round,
    above 1 where it is faster than the first; rounds: in how many each took part, fewer for one that was left behind;
    rows: first dimension of the first input; threads: None for ONNX Runtime's own choice; cuda_graph: whether all ran
    as CUDA graphs, with the reason if not; clock: 'cpu' where seconds are those of the processor, 'wall' where they
    pass; seconds: of one run in each round.
    """

    timings: Mapping[str, Timing]
    comparisons: Mapping[str, Comparison]
    paired: Mapping[str, Spread]
    rounds: Mapping[str, int]
    rows: int | None
    provider: str
    threads: int | None
    cuda_graph: bool
    cuda_graph_reason: str
    clock: ClockName
    seconds: Mapping[str, Sequence[float]] = field(repr=False)

    def comparison(self, name: str, beside: str) -> Comparison:
        """One model beside another, by the rounds in which both ran."""
        return compare_times(self.seconds[beside], self.seconds[name])

    def to_dict(self) -> dict[str, Any]:
        """The race for JSON, without the seconds of every round."""
        found = dataclasses.asdict(dataclasses.replace(self, seconds={}))
        del found["seconds"]
        return found | {"comparisons": {name: one.to_dict() for name, one in self.comparisons.items()}}


def race(
    models: Mapping[str, Path | bytes],
    feeds: Mapping[str, Array],
    *,
    trials: Trials | None = None,
    repeats: int | None = None,
    drop: float | None = None,
    precision: float | None = PRECISE,
    clock: Clock | None = None,
    seed: int = 0,
) -> Race:
    """Time all models on one feed: warm-up, then rounds in which each runs, in an order that is drawn for each.

    The race is over when it is clear how each compares with the fastest, and that with the first within `precision`,
    None for never, or when the `seconds` of the trials are over, but not before an interval can be had. trials:
    provider, threads, TF32, custom operators, the same for all; on CUDA a `cuda_graph` of 'auto' runs those that can as
    CUDA graphs if the first can, so that what others lose without counts, else none. repeats: exactly so many rounds,
    however clear. drop: models that clearly take more than this times the fastest are not run again; the race is over
    when one is left. clock: what tells the time, see `clock_for`; seed: of the order.
    On CUDA the inputs are copied beforehand and the outputs stay on the GPU. No model is checked here.
    Raises BenchError for no models, repeats below 1, a drop below 1, or CUDA graphs demanded where
    they cannot be had, as NoGraphError where a model is what speaks against them, SessionError when ONNX Runtime
    refuses something.
    """
    trials = trials or Trials(provider="cpu")
    require_sense(models, trials, repeats, drop)
    load = functools.partial(
        open_session,
        provider=trials.provider,
        threads=trials.threads,
        tf32=trials.tf32,
        custom_ops=trials.custom_ops,
    )
    start = _start(models, feeds, load, trials.cuda_graph)
    clock = clock or clock_for(start.provider, trials.threads, trials.custom_ops)
    steer = _steer(next(iter(models)), drop, precision if repeats is None else None)
    taken = take_rounds(start.calls, clock, trials.seconds, repeats, steer, np.random.default_rng(seed))
    first, *_ = taken.rounds.values()
    return Race(
        timings={
            name: _timing(taken.readings[name], start.rows, start.load_seconds[name], file_bytes(model))
            for name, model in models.items()
        },
        comparisons={name: compare_times(first, seconds) for name, seconds in taken.rounds.items()},
        paired=_paired(taken),
        rounds={name: len(seconds) for name, seconds in taken.rounds.items()},
        rows=start.rows,
        provider=start.provider,
        threads=trials.threads,
        cuda_graph=not start.reason,
        cuda_graph_reason=start.reason,
        clock=clock.name,
        seconds=taken.rounds,
    )


def _steer(first: str, drop: float | None, precision: float | None) -> Steer:
    """Which models go on after some rounds: none where all is clear, else all that are not hopeless."""

    def going(rounds: Mapping[str, Sequence[float]], running: Sequence[str]) -> Sequence[str]:
        best, *others = sorted(running, key=lambda name: float(np.median(rounds[name])))
        beside = {name: compare_times(rounds[best], rounds[name]) for name in others}
        told = compare_times(rounds[best], rounds[first if best != first else [*others, first][0]])
        clear = all(one.decided for one in (told, *beside.values()))
        if precision is not None and clear and told.narrow(precision):
            return []
        return [name for name in running if name == best or drop is None or beside[name].high * drop >= 1]

    return going


def require_sense(
    models: Mapping[str, Path | bytes], trials: Trials, repeats: int | None, drop: float | None = None
) -> None:
    """Raise BenchError for settings of a race that make no sense, SessionError for CUDA where there is none."""
    if not models:
        raise BenchError("there is nothing to time: no models were given")
    if repeats is not None and repeats < 1:
        raise BenchError(f"repeats must be at least 1, got {repeats}")
    if drop is not None and not drop >= 1:
        raise BenchError(f"drop must be at least 1, got {drop}: it is a multiple of the best median")
    if trials.cuda_graph == "on" and resolved(trials.provider, "this machine") == "cpu":
        raise BenchError(
            "CUDA graphs run on CUDA only; use ",
            option("provider", "cuda"),
            " where there is a GPU, or ",
            option("cuda_graph", "auto"),
        )


def file_bytes(model: Path | bytes) -> int:
    """Bytes of a model and of the external data files it names; a file named twice counts once."""
    if isinstance(model, bytes):
        return len(model)
    outside = {file for file in load_model(model).data_files() if file != model}
    return model.stat().st_size + sum(file.stat().st_size for file in outside if file.is_file())


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Models at the start: a call that runs each, what loading each took, and why they are no CUDA graphs, if so."""

    calls: Mapping[str, Callable[[], None]]
    load_seconds: Mapping[str, float]
    rows: int | None
    provider: str
    reason: str


def _start(
    models: Mapping[str, Path | bytes], feeds: Mapping[str, Array], load: Callable[..., Session], cuda_graph: str
) -> Start:
    """All models loaded and bound, as CUDA graphs where that is wanted and every one can be; see `race`."""
    # Messages call a file by its path and any other model by its name here.
    sessions = {
        name: load(ModelSource(model, name if isinstance(model, bytes) else None)) for name, model in models.items()
    }
    release()  # what reading the files took
    first, *_ = sessions.values()
    bound = {name: session.bind(feeds) for name, session in sessions.items()}
    reason = "switched off" if cuda_graph == "off" else "" if first.provider == "cuda" else "there are none on the CPU"
    if not reason:
        bound, reason = _recorded(bound, feeds, load, demanded=cuda_graph == "on")
    return Start(
        calls=bound,
        load_seconds={name: session.load_seconds for name, session in sessions.items()},
        rows=_rows(first, feeds),
        provider=first.provider,
        reason=reason,
    )


def _recorded(
    plain: Mapping[str, Bound], feeds: Mapping[str, Array], load: Callable[..., Session], *, demanded: bool
) -> tuple[dict[str, Bound], str]:
    """The calls as CUDA graphs, all that can be where the first can, else none; and why not all are, else ''.

    Raises NoGraphError for the first that cannot be one where all are demanded.
    """
    found, problems = dict(plain), []
    for name, call in plain.items():
        try:
            found[name] = _captured(call, feeds, load)
        except (BenchError, SessionError) as error:
            if demanded:
                raise NoGraphError("no CUDA graphs: ", *error.parts, model=name) from error
            if name == next(iter(plain)):
                return found, str(error)
            problems.append(str(error))
    return found, f"{problems[0]}, and what it is timed beside runs as one" if problems else ""


def _captured(plain: Bound, feeds: Mapping[str, Array], load: Callable[..., Session]) -> Bound:
    """The same model as a CUDA graph that was recorded, replayed, and gave the outputs it gives without.

    Raises BenchError or SessionError with the reason when that cannot be had.
    """
    session = plain.session
    if problem := graph_problem(session):
        raise BenchError(f"{session.name}: {problem}")
    plain()
    graph = load(ModelSource(session.source, session.name), cuda_graph=True).bind(feeds)
    if not (plain.fixed and graph.fixed):
        raise BenchError(f"{session.name}: an output is empty or its size varies")
    for _ in range(WARM_UP):
        graph()  # one of them records, the others replay
    graph.spoil()
    graph()
    after = graph.outputs()
    for name, before in plain.outputs().items():
        for report in compare_values(name, before, after[name], GRAPH_RTOL, None):
            if not report.equal:
                raise BenchError(f"{session.name}: as a CUDA graph {report.reason}")
    return graph


def _paired(taken: Taken) -> dict[str, Spread]:
    """Seconds of the first over those of each, over the rounds in which both ran."""
    times = taken.rounds
    first, *_ = (np.array(seconds) for seconds in times.values())
    both = {name: min(len(first), len(seconds)) for name, seconds in times.items()}
    return {name: _spread(first[: both[name]] / np.array(seconds[: both[name]])) for name, seconds in times.items()}


def _rows(session: Session, feeds: Mapping[str, Array]) -> int | None:
    """The leading extent of the first input that is given and is a tensor: optional ones may be absent."""
    given = (feeds[one.name] for one in session.inputs if one.name in feeds)
    shape = next((array.shape for array in given if isinstance(array, np.ndarray)), ())
    return int(shape[0]) if shape else None


def _timing(seconds: Sequence[float], rows: int | None, load_seconds: float, size: int) -> Timing:
    latency = _spread(np.array(seconds))
    return Timing(
        latency=latency,
        rows_per_second=rows / latency.median if rows else None,
        load_seconds=load_seconds,
        bytes_=size,
    )


def _spread(values: npt.NDArray[np.float64]) -> Spread:
    q10, median, q90 = (float(value) for value in np.quantile(values, (0.1, 0.5, 0.9)))
    return Spread(median=median, q10=q10, q90=q90)
