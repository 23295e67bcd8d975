"""How fast two models are: interleaved runs of both in one process, until it is clear which is faster."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy.typing as npt

from ...ir.brief import brief_line
from ...ir.notebook import as_html
from ..ort.environment import machine
from ..ort.memory import release
from ..ort.session import open_session
from ..ort.trials import Trials
from .clock import Clock, ClockName
from .comparison import Comparison, Speed
from .race import PRECISE, BenchError, Spread, Timing, file_bytes, race, require_sense

__all__ = ["CHANGED", "Bench", "BenchError", "Spread", "Timing", "bench", "file_bytes"]

Array = npt.NDArray[Any]

ORIGINAL, CHANGED = "original", "changed"  # what the race of two models calls them


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Two models on the same input.

    comparison: how many times faster the changed model is, by rounds in which both ran, with the interval and what it
    shows; paired: spread of the rounds one by one; clock: 'cpu' where seconds are those of the processor, 'wall' where
    they pass; rows: first dimension of the first input; threads: None for ONNX Runtime's own choice; cuda_graph:
    whether both ran as CUDA graphs, and if not, cuda_graph_reason says why; tf32: whether on CUDA factors of float32
    products were rounded to 10 bits in both, None on the CPU, which does not.
    """

    original: Timing
    changed: Timing
    comparison: Comparison
    paired: Spread
    clock: ClockName
    rows: int | None
    provider: str
    threads: int | None
    machine: Mapping[str, Any]
    cuda_graph: bool = False
    cuda_graph_reason: str = ""
    tf32: bool | None = None

    __repr__ = brief_line
    columns: ClassVar = (
        *("rows", "provider", "original, s|original.latency.median", "changed, s|changed.latency.median"),
        *("speed-up|speedup", "shown|speed"),
    )
    _repr_html_ = as_html(columns)

    @property
    def speedup(self) -> float:
        """Latency of the original over that of the changed model, median over pairs, above 1 when that is faster."""
        return self.comparison.ratio

    @property
    def pairs(self) -> int:
        """How many rounds there were in which both ran."""
        return self.comparison.pairs

    @property
    def speed(self) -> Speed:
        """What was shown of the changed model."""
        return self.comparison.speed

    def to_dict(self) -> dict[str, Any]:
        """The benchmark for JSON.

        speedup, pairs: those of the comparison, in which speed is 'faster', 'slower', 'equal' or 'unmeasurable', and
        low and high are the ends of the interval, null where they are not known. Latencies are in seconds on `clock`.
        """
        own = {"comparison": self.comparison.to_dict(), "speedup": self.speedup, "pairs": self.pairs}
        return dataclasses.asdict(self) | own


def bench(
    original: Path | bytes,
    changed: Path | bytes,
    feeds: Mapping[str, Array],
    *,
    trials: Trials | None = None,
    repeats: int | None = None,
    precision: float | None = PRECISE,
    clock: Clock | None = None,
) -> Bench:
    """Time both models on one feed: warm-up, then rounds in which both run, in an order that is drawn for each.

    repeats: number of rounds; without it as many as it takes to know which is faster, and how much within `precision`,
    until the `seconds` of the trials are over, but at least 12. trials: provider, threads, custom operators, for both;
    on CUDA a `cuda_graph` of 'auto' runs both models as CUDA graphs if both can, else the original alone if that can,
    so that what the other loses without counts. clock: what tells the time, see `clock_for`.
    On CUDA the inputs are copied beforehand and the outputs stay on the GPU. Neither model is checked here.
    Raises BenchError for repeats below 1 or CUDA graphs demanded where they cannot be had,
    SessionError when ONNX Runtime refuses something.
    """
    models = {ORIGINAL: original, CHANGED: changed}
    trials = trials or Trials(provider="cpu")
    require_sense(models, trials, repeats)
    context = machine(trials.provider)
    # Thrown away: the first session of a process pays for the runtime, the first read of a file for the disk.
    settings: dict[str, Any] = {"tf32": trials.tf32, "custom_ops": trials.custom_ops}
    open_session(original, provider=trials.provider, threads=trials.threads, **settings)
    release()
    found = race(models, feeds, trials=trials, repeats=repeats, precision=precision, clock=clock)
    one, other = found.timings[ORIGINAL], found.timings[CHANGED]
    return Bench(
        original=one,
        changed=other,
        comparison=found.comparisons[CHANGED],
        paired=found.paired[CHANGED],
        clock=found.clock,
        rows=found.rows,
        provider=found.provider,
        threads=trials.threads,
        machine=context,
        cuda_graph=found.cuda_graph,
        cuda_graph_reason=found.cuda_graph_reason,
        tf32=trials.tf32 if found.provider == "cuda" else None,
    )
