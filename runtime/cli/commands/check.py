"""`scission check`: two models on the same inputs."""

from __future__ import annotations

import typer

from ..common.options import (
    Atol,
    Batch,
    CustomOps,
    First,
    Inputs,
    Json,
    Likes,
    Memory,
    Provider,
    Quiet,
    Ranges,
    Rtol,
    Second,
    Seed,
    Size,
    Threads,
    Values,
    Verbose,
    trials_of,
)
from ..common.terminal import UNSHOWN, progress_bar, show

__all__ = ["check"]


def check(
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
    rtol: Rtol = None,
    atol: Atol = None,
    custom_ops: CustomOps = None,
    memory: Memory = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run two models on the same inputs and compare every output; exit status 1 when they differ.

    Exit status 4 when no difference was found, but a branch or loop body that is not the same in both never ran.
    """
    from ...compare import compare

    wishes = value, range_, like
    trials = trials_of(provider, threads, inputs, size, seed, rtol, atol, 1.0, custom_ops, wishes=wishes, memory=memory)
    with progress_bar(quiet or as_json) as progress:
        verdict = compare.check(original, changed, trials=trials, batch=batch, progress=progress)
    show(quiet, as_json, verdict.to_dict, lambda report: report.verdict_view(verdict))
    if not verdict.equal:
        typer.echo(f"different: {verdict.reason}" if verdict.different else verdict.reason, err=True)
        raise typer.Exit(1 if verdict.different else UNSHOWN)
    if not quiet and not as_json:
        typer.echo(verdict.reason)
