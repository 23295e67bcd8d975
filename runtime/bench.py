"""How fast two models are: interleaved runs of both in one process, medians with spread, paired ratios."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt

from .environment import machine
from .race import BenchError, Spread, Timing, file_bytes, race, require_sense
from .session import Choice, GraphChoice, open_session

__all__ = ["Bench", "BenchError", "Spread", "Timing", "bench", "file_bytes"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Two models on the same input.

    speedup: ratio of the median latencies, above 1 when the changed model is faster; paired: the ratios of runs that
    followed one another, which a slow drift of the machine does not move; pairs: how many; rows: first dimension of the
    first input; threads: None for ONNX Runtime's own choice; cuda_graph: whether both ran as CUDA graphs, and if not,
    cuda_graph_reason says why.
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
    cuda_graph: bool = False
    cuda_graph_reason: str = ""

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
    cuda_graph: GraphChoice = "auto",
) -> Bench:
    """Time both models on one feed: warm-up, then pairs of runs whose order alternates.

    repeats: number of pairs; without it as many as fit into `seconds`, at least 5. threads: the same for both.
    cuda_graph: on CUDA, 'auto' runs both models as CUDA graphs if both can, else neither.
    On CUDA the inputs are copied beforehand and the outputs stay on the GPU. Neither model is checked here.
    Raises BenchError for repeats below 1, seconds not above 0 or CUDA graphs demanded where they cannot be had,
    SessionError when ONNX Runtime refuses something.
    """
    models = {"original": original, "changed": changed}
    require_sense(models, provider, seconds, repeats, cuda_graph)
    context = machine(provider)
    # Thrown away: the first session of a process pays for the runtime, the first read of a file for the disk.
    open_session(original, provider=provider, threads=threads, custom_ops=custom_ops)
    found = race(
        models,
        feeds,
        provider=provider,
        threads=threads,
        repeats=repeats,
        seconds=seconds,
        custom_ops=custom_ops,
        cuda_graph=cuda_graph,
    )
    one, other = found.timings["original"], found.timings["changed"]
    return Bench(
        original=one,
        changed=other,
        speedup=one.latency.median / other.latency.median,
        paired=found.paired["changed"],
        pairs=found.rounds["changed"],
        rows=found.rows,
        provider=found.provider,
        threads=threads,
        machine=context,
        cuda_graph=found.cuda_graph,
        cuda_graph_reason=found.cuda_graph_reason,
    )
