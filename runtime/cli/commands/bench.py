"""`scission bench`: two models side by side."""

from __future__ import annotations

from ..common.options import (
    Batch,
    CudaGraph,
    CustomOps,
    First,
    Inputs,
    Json,
    Likes,
    Memory,
    Provider,
    Quiet,
    Ranges,
    Second,
    Seconds,
    Seed,
    Size,
    Threads,
    Values,
    Verbose,
    trials_of,
)
from ..common.terminal import progress_bar, show

__all__ = ["bench"]


def bench(
    original: First,
    changed: Second,
    provider: Provider = "auto",
    threads: Threads = None,
    batch: Batch = None,
    inputs: Inputs = None,
    size: Size = None,
    value: Values = None,
    range_: Ranges = None,
    like: Likes = None,
    seed: Seed = 0,
    seconds: Seconds = 5.0,
    custom_ops: CustomOps = None,
    memory: Memory = None,
    cuda_graph: CudaGraph = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Time two models side by side, interleaved."""
    from ...compare import compare

    trials = trials_of(
        provider,
        threads,
        inputs,
        size,
        seed,
        None,
        None,
        seconds,
        custom_ops,
        cuda_graph,
        wishes=(value, range_, like),
        memory=memory,
    )
    with progress_bar(quiet or as_json) as progress:
        benches = compare.bench(original, changed, trials=trials, batch=batch, progress=progress)
    show(quiet, as_json, lambda: [b.to_dict() for b in benches], lambda report: report.timings(benches))
