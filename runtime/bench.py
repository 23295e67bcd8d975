"""How fast two models are: interleaved runs of both in one process, medians with spread, paired ratios."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ..ir.errors import ScissionError
from .environment import machine
from .session import Choice, Session, open_session

__all__ = ["Bench", "BenchError", "Spread", "Timing", "bench", "file_bytes"]

Array = npt.NDArray[Any]

WARM_UP = 3
LEAST_PAIRS = 5


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
class Bench:
    """Two models on the same input.

    speedup: ratio of the median latencies, above 1 when the changed model is faster; paired: the ratios of runs that
    followed one another, which a slow drift of the machine does not move; pairs: how many; rows: first dimension of the
    first input; threads: None for ONNX Runtime's own choice.
    """

    original: Timing
    changed: Timing
    speedup: float
    paired: Spread
    pairs: int
    rows: int | None
    provider: str
    threads: int | None
    machine: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The benchmark for JSON."""
        return dataclasses.asdict(self)


def bench(
    original: Path | bytes,
    changed: Path | bytes,
    feeds: Mapping[str, Array],
    *,
    provider: Choice = "cpu",
    threads: int | None = None,
    repeats: int | None = None,
    seconds: float = 2.0,
    custom_ops: Sequence[Path] = (),
) -> Bench:
    """Time both models on one feed: warm-up, then pairs of runs whose order alternates.

    repeats: number of pairs; without it as many as fit into `seconds`, at least 5. threads: the same for both.
    On CUDA the inputs are copied beforehand and the outputs stay on the GPU. Neither model is checked here.
    Raises BenchError for repeats below 1 or seconds not above 0, SessionError when ONNX Runtime refuses something.
    """
    if repeats is not None and repeats < 1:
        raise BenchError(f"repeats must be at least 1, got {repeats}")
    if not seconds > 0:
        raise BenchError(f"seconds must be above 0, got {seconds}")
    context = machine(provider)  # before the first session: it starts CUDA up
    load = functools.partial(open_session, provider=provider, threads=threads, custom_ops=custom_ops)
    load(original)  # thrown away: the first session of a process pays for the runtime, the first read for the disk
    sessions = [load(model) for model in (original, changed)]
    before, after = (session.bind(feeds) for session in sessions)
    times = np.array(list(_interleave(before, after, repeats, seconds)))
    rows = _rows(sessions[0], feeds)
    one, other = (
        _timing(times[:, side], session, rows, file_bytes(model))
        for side, (session, model) in enumerate(zip(sessions, (original, changed), strict=True))
    )
    return Bench(
        original=one,
        changed=other,
        speedup=one.latency.median / other.latency.median,
        paired=_spread(times[:, 0] / times[:, 1]),
        pairs=len(times),
        rows=rows,
        provider=sessions[0].provider,
        threads=threads,
        machine=context,
    )


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


def _interleave(
    before: Callable[[], None], after: Callable[[], None], repeats: int | None, seconds: float
) -> Iterator[tuple[float, float]]:
    """Seconds of (before, after), pair by pair; before first, then after first, and so on."""
    for _ in range(WARM_UP):
        before()
        after()
    stop = time.perf_counter() + seconds
    pair = 0
    while pair < repeats if repeats is not None else pair < LEAST_PAIRS or time.perf_counter() < stop:
        if pair % 2:
            second, first = _clock(after), _clock(before)
        else:
            first, second = _clock(before), _clock(after)
        yield first, second
        pair += 1


def _clock(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def _rows(session: Session, feeds: Mapping[str, Array]) -> int | None:
    shape = feeds[session.inputs[0].name].shape if session.inputs else ()
    return int(shape[0]) if shape else None


def _timing(seconds: npt.NDArray[np.float64], session: Session, rows: int | None, size: int) -> Timing:
    latency = _spread(seconds)
    return Timing(
        latency=latency,
        rows_per_second=rows / latency.median if rows else None,
        load_seconds=session.load_seconds,
        bytes_=size,
    )


def _spread(values: npt.NDArray[np.float64]) -> Spread:
    q10, median, q90 = (float(value) for value in np.quantile(values, (0.1, 0.5, 0.9)))
    return Spread(median=median, q10=q10, q90=q90)
