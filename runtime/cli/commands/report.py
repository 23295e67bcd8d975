"""`scission report`: one HTML page about a model and what was made of it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from ..common.given import read_plan
from ..common.options import (
    Atol,
    Batch,
    CustomOps,
    Device,
    Input,
    Inputs,
    Json,
    Likes,
    Memory,
    Overwrite,
    Provider,
    Quiet,
    Ranges,
    Rtol,
    Seconds,
    Seed,
    Size,
    Threads,
    Values,
    Verbose,
    trials_of,
)
from ..common.terminal import UNSHOWN, progress_bar, refuse_input

__all__ = ["report"]


def report(
    model: Input,
    changed: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="what was made of it; without it the plan is told")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html", help="where the page goes")] = ...,  # type: ignore[assignment]
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="the plan that was carried out (default: made again)")
    ] = None,
    check: Annotated[
        bool | None, typer.Option("--check/--no-check", help="compare the outputs of both models (with OUT)")
    ] = None,
    bench: Annotated[bool | None, typer.Option("--bench/--no-bench", help="time both models (with OUT)")] = None,
    provider: Provider = "auto",
    device: Device = "auto",
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
    seconds: Seconds = 3.0,
    custom_ops: CustomOps = None,
    memory: Memory = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write one HTML page about a model and what was made of it: linears, patterns, check, bench, difference.

    Without OUT it tells what would be done; --check and --bench then carry that out in a temporary folder.
    """
    from ...render.html import report as html_report

    trials = trials_of(
        provider,
        threads,
        inputs,
        size,
        seed,
        rtol,
        atol,
        seconds,
        custom_ops,
        wishes=(value, range_, like),
        memory=memory,
    )
    chosen = read_plan(plan) if plan is not None else None
    refuse_input(output, plan)
    with progress_bar(quiet or as_json) as progress:
        found = html_report.report(
            model,
            changed,
            output,
            plan=chosen,
            check=check,
            bench=bench,
            batch=batch,
            trials=trials,
            device=device,
            overwrite=overwrite,
            progress=progress,
            command=shlex.join(["scission", *sys.argv[1:]]),
        )
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    elif not quiet:
        typer.echo(f"wrote {output}: {found.sentence}")
    if not found.ok and found.verdict is not None:
        typer.echo(f"different: {found.verdict.reason}", err=True)
        raise typer.Exit(1)
    if found.verdict is not None and not found.verdict.shown:
        typer.echo(found.verdict.reason, err=True)
        raise typer.Exit(UNSHOWN)
