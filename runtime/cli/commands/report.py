"""`scission report`: one HTML page about a model and what was made of it."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from ...ort.trials import Trials
from ...pipeline.options import SHARED, PlanOptions, ReportOptions
from ...say import say, say_lines
from ..common.arguments import Input
from ..common.from_fields import group, takes
from ..common.given import read_plan
from ..common.patience import Patience
from ..common.terminal import UNSHOWN, Printing, progress_bar, refuse_outputs

__all__ = ["report"]


@takes(
    group(Patience),
    further=group(ReportOptions, without=("command",)),
    planning=group(PlanOptions),
    trials=group(Trials, without=(*SHARED, "cuda_graph")),
    printing=group(Printing, without=("everything",)),
)
def report(
    model: Input,
    changed: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="what was made of it; without it the plan is told")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html", help="where the page goes")] = ...,  # type: ignore[assignment]
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="the plan that was carried out (default: made again)")
    ] = None,
    *,
    further: ReportOptions,
    planning: PlanOptions,
    trials: Trials,
    printing: Printing,
) -> None:
    """Write one HTML page about a model and what was made of it: linears, patterns, check, bench, difference.

    Without OUT it tells what would be done; --check and --bench then carry that out in a temporary folder.
    """
    from ...render.html import report as html_report

    chosen = read_plan(plan, model) if plan is not None else None
    refuse_outputs([output], [plan] if plan is not None else [], True)
    further = replace(further, command=shlex.join(["scission", *sys.argv[1:]]))
    with progress_bar(printing.bare) as progress:
        found = html_report.report(
            model, changed, output, planning, further=further, plan=chosen, trials=trials, progress=progress
        )
    if printing.as_json:
        say_lines(json.dumps(found.to_dict(), indent=1))
    elif not printing.quiet:
        say(f"wrote {output}: {found.sentence}")
    if not found.ok and found.verdict is not None:
        say(f"different: {found.verdict.reason}", err=True)
        raise typer.Exit(1)
    if found.verdict is not None and not found.verdict.shown:
        say(found.verdict.reason, err=True)
        raise typer.Exit(UNSHOWN)
