"""`scission inspect`: what every linear is like."""

from __future__ import annotations

from dataclasses import replace

import typer

from ..common.given import say_refused
from ..common.options import (
    All,
    Batch,
    Csv,
    Device,
    Filter,
    Input,
    Json,
    Provider,
    Quiet,
    Reverse,
    Size,
    Sort,
    Top,
    Verbose,
    sizes_of,
)
from ..common.terminal import progress_bar, show

__all__ = ["inspect"]


def inspect(
    model: Input,
    provider: Provider = "auto",
    batch: Batch = None,
    size: Size = None,
    device: Device = "auto",
    sort: Sort = None,
    reverse: Reverse = False,
    wanted: Filter = "",
    top: Top = None,
    everything: All = False,
    as_json: Json = False,
    as_csv: Csv = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what every linear is like, how little blocks and covers need of it, and what `plan` would do, and why."""
    from ...pipeline import inspect as inspection
    from ...render.text import inspection as inspection_report

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv both print to the terminal; choose one", param_hint="--csv")
    if everything and top is not None:
        raise typer.BadParameter(f"--all shows more than the first {top}; choose one", param_hint="--top")
    inspection_report.check_column(sort)
    with progress_bar(quiet or as_json or as_csv) as progress:
        found = inspection.inspected(
            model, provider=provider, batch=batch, sizes=sizes_of(size), device=device, progress=progress
        )
    say_refused(model)
    rows = inspection_report.select_rows(found.rows, sort=sort, reverse=reverse, wanted=wanted, top=top)
    if as_csv:
        typer.echo(inspection_report.to_csv(rows), nl=False)
        return
    show(
        quiet,
        as_json,
        lambda: replace(found, rows=rows).to_dict(),
        lambda _: inspection_report.inspection_view(found, rows, everything or top is not None),
    )
