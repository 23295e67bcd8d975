"""Any number of models timed on the same input in one run: interleaved, in turns, hopeless ones left behind."""

from __future__ import annotations

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import onnx

from ..ir.errors import ScissionError
from .deviation import compare_values
from .session import Bound, Choice, GraphChoice, Session, SessionError, graph_problem, open_session, resolved

__all__ = ["BenchError", "Race", "Spread", "Timing", "file_bytes", "race"]

Array = npt.NDArray[Any]

WARM_UP = 3
LEAST_ROUNDS = 5
GRAPH_RTOL = 1e-2  # of a graph's outputs: what it did not write is off by far more, another choice of kernels by less


class BenchError(ScissionError):
    """A benchmark that was asked for something impossible."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Median, 10 % and 90 % quantile of repeated measurements."""

    median: float
    q10: float
    q90: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One model: latency of one run and time to load it in seconds, rows per second, bytes with external data."""

    latency: Spread
    rows_per_second: float | None
    load_seconds: float
    bytes_: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Race:
    """Several models on the same input, by name, in the order they were given in.

    paired: latency of the first model over that of each, in the same round, above 1 where it is faster than the first;
    rounds: in how many each took part, fewer for one that was left behind; rows: first dimension of the first input;
    threads: None for ONNX Runtime's own choice; cuda_graph: whether all ran as CUDA graphs, with the reason if not.
    """

    timings: Mapping[str, Timing]
    paired: Mapping[str, Spread]
    rounds: Mapping[str, int]
    rows: int | None
    provider: str
    threads: int | None
    cuda_graph: bool
    cuda_graph_reason: str

    @property
    def fastest(self) -> str:
        """The model with the lowest median latency, of equal ones the first."""
        return min(self.timings, key=lambda name: self.timings[name].latency.median)

    def to_dict(self) -> dict[str, Any]:
        """The race for JSON."""
        return dataclasses.asdict(self)


def race(
    models: Mapping[str, Path | bytes],
    feeds: Mapping[str, Array],
    *,
    provider: Choice = "cpu",
    threads: int | None = None,
    seconds: float = 2.0,
    repeats: int | None = None,
    custom_ops: Sequence[Path] = (),
    cuda_graph: GraphChoice = "auto",
    drop: float | None = None,
) -> Race:
    """Time all models on one feed: warm-up, then rounds in which each runs once, each time in another order.

    repeats: number of rounds; without it as many as fit into `seconds`, at least 5. threads: the same for all.
    cuda_graph: on CUDA, 'auto' runs all of them as CUDA graphs if every one can, else none. drop: models whose median
    after 5 rounds is more than this times the best are not run again; the race is over when one is left.
    On CUDA the inputs are copied beforehand and the outputs stay on the GPU. No model is checked here.
    Raises BenchError for no models, repeats below 1, seconds not above 0, a drop below 1, or CUDA graphs demanded where
    they cannot be had, SessionError when ONNX Runtime refuses something.
    """
    require_sense(models, provider, seconds, repeats, cuda_graph, drop)
    load = functools.partial(open_session, provider=provider, threads=threads, custom_ops=custom_ops)
    field = _field(models, feeds, load, cuda_graph)
    times = _rounds(field.calls, repeats, seconds, drop)
    return Race(
        timings={
            name: _timing(times[name], field.rows, field.load_seconds[name], file_bytes(model))
            for name, model in models.items()
        },
        paired=_paired(times),
        rounds={name: len(taken) for name, taken in times.items()},
        rows=field.rows,
        provider=field.provider,
        threads=threads,
        cuda_graph=not field.reason,
        cuda_graph_reason=field.reason,
    )


def require_sense(
    models: Mapping[str, Path | bytes],
    provider: Choice,
    seconds: float,
    repeats: int | None,
    cuda_graph: str,
    drop: float | None = None,
) -> None:
    """Raise BenchError for settings of a race that make no sense, SessionError for CUDA where there is none."""
    if not models:
        raise BenchError("there is nothing to time: no models were given")
    if repeats is not None and repeats < 1:
        raise BenchError(f"repeats must be at least 1, got {repeats}")
    if not seconds > 0:
        raise BenchError(f"seconds must be above 0, got {seconds}")
    if drop is not None and not drop >= 1:
        raise BenchError(f"drop must be at least 1, got {drop}: it is a multiple of the best median")
    if cuda_graph not in get_args(GraphChoice):
        raise BenchError(f"cuda_graph must be one of {list(get_args(GraphChoice))}, got {cuda_graph!r}")
    if cuda_graph == "on" and resolved(provider, "this machine") == "cpu":
        raise BenchError("CUDA graphs run on CUDA only; use --provider cuda where there is a GPU, or --cuda-graph auto")


def file_bytes(model: Path | bytes) -> int:
    """Bytes of a model and of the external data files it names; a file named twice counts once."""
    if isinstance(model, bytes):
        return len(model)
    proto = onnx.load(str(model), format="protobuf", load_external_data=False)
    files = {model.parent / place for place in _external_files(proto)} - {model}
    return model.stat().st_size + sum(file.stat().st_size for file in files if file.is_file())


def _external_files(proto: onnx.ModelProto) -> Iterator[str]:
    tensors = list(proto.graph.initializer)
    nodes = list(proto.graph.node) + [node for function in proto.functions for node in function.node]
    while nodes:
        for attribute in nodes.pop().attribute:
            nodes += attribute.g.node
            tensors += [*attribute.g.initializer, attribute.t]
    for tensor in tensors:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """Models at the start: a call that runs each, what loading each took, and why they are no CUDA graphs, if so."""

    calls: Mapping[str, Callable[[], None]]
    load_seconds: Mapping[str, float]
    rows: int | None
    provider: str
    reason: str


def _field(
    models: Mapping[str, Path | bytes], feeds: Mapping[str, Array], load: Callable[..., Session], cuda_graph: str
) -> Field:
    """All models loaded and bound, as CUDA graphs where that is wanted and every one can be; see `race`."""
    # Messages call a file by its path and any other model by its name here.
    sessions = {name: load(model, name=name if isinstance(model, bytes) else None) for name, model in models.items()}
    first, *_ = sessions.values()
    bound = {name: session.bind(feeds) for name, session in sessions.items()}
    reason = "switched off" if cuda_graph == "off" else "" if first.provider == "cuda" else "there are none on the CPU"
    if not reason:
        try:
            bound = {name: _captured(plain, feeds, load) for name, plain in bound.items()}
        except (BenchError, SessionError) as error:
            if cuda_graph == "on":
                raise BenchError(f"no CUDA graphs: {error}") from error
            reason = str(error)
    return Field(
        calls=bound,
        load_seconds={name: session.load_seconds for name, session in sessions.items()},
        rows=_rows(first, feeds),
        provider=first.provider,
        reason=reason,
    )


def _captured(plain: Bound, feeds: Mapping[str, Array], load: Callable[..., Session]) -> Bound:
    """The same model as a CUDA graph that was recorded, replayed, and gave the outputs it gives without.

    Raises BenchError or SessionError with the reason when that cannot be had.
    """
    session = plain.session
    if problem := graph_problem(session):
        raise BenchError(f"{session.name}: {problem}")
    plain()
    graph = load(session.source, name=session.name, cuda_graph=True).bind(feeds)
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


def _rounds(
    calls: Mapping[str, Callable[[], None]], repeats: int | None, seconds: float, drop: float | None
) -> dict[str, list[float]]:
    """Seconds of each call, round by round; those left behind have fewer."""
    for _ in range(WARM_UP):
        for call in calls.values():
            call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    running = list(calls)
    stop = time.perf_counter() + seconds
    turn = 0
    while turn < repeats if repeats is not None else turn < LEAST_ROUNDS or time.perf_counter() < stop:
        for name in _order(running, turn):
            times[name].append(_clock(calls[name]))
        turn += 1
        if drop is not None and turn == LEAST_ROUNDS:
            running = _hopeful(times, drop)
            if len(running) == 1 < len(calls):
                break
    return times


def _order(names: Sequence[str], turn: int) -> list[str]:
    """All names, beginning with another one each turn, in steps of another width each time all have begun.

    So no model always follows the same one, whose traces in the caches would be part of its time.

    >>> [_order("abc", turn) for turn in (0, 1, 3)]
    [['a', 'b', 'c'], ['b', 'c', 'a'], ['a', 'c', 'b']]
    """
    count = len(names)
    widths = [width for width in range(1, count + 1) if math.gcd(width, count) == 1]
    width = widths[turn // count % len(widths)]
    return [names[(turn + width * place) % count] for place in range(count)]


def _hopeful(times: Mapping[str, Sequence[float]], drop: float) -> list[str]:
    """The names whose median is at most `drop` times the best."""
    medians = {name: float(np.median(seconds)) for name, seconds in times.items()}
    best = min(medians.values())
    return [name for name, median in medians.items() if median <= drop * best]


def _paired(times: Mapping[str, Sequence[float]]) -> dict[str, Spread]:
    """Seconds of the first over those of each, over the rounds in which both ran."""
    first, *_ = (np.array(seconds) for seconds in times.values())
    both = {name: min(len(first), len(seconds)) for name, seconds in times.items()}
    return {name: _spread(first[: both[name]] / np.array(seconds[: both[name]])) for name, seconds in times.items()}


def _clock(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _rows(session: Session, feeds: Mapping[str, Array]) -> int | None:
    shape = feeds[session.inputs[0].name].shape if session.inputs else ()
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
