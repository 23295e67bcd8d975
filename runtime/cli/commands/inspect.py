"""`scission inspect`: what every linear is like."""

from __future__ import annotations

from dataclasses import asdict, replace

import typer

from ...ort.trials import Trials
from ...pipeline.options import PlanOptions
from ...say import say_lines
from ..common.arguments import Csv, Input, RowChoice
from ..common.from_fields import group, takes
from ..common.given import say_refused
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar

__all__ = ["inspect"]


@takes(
    group(Patience),
    chosen=group(RowChoice),
    planning=group(PlanOptions),
    trials=group(Trials, only=("inputs_file", "inputs_beside")),
    printing=group(Printing),
)
def inspect(
    model: Input,
    as_csv: Csv = False,
    *,
    chosen: RowChoice,
    planning: PlanOptions,
    trials: Trials,
    printing: Printing,
) -> None:
    """Show what every linear is like, how little blocks and covers need of it, and what `plan` would do, and why."""
    from ...pipeline import inspect as inspection
    from ...render.text import inspection as inspection_report

    if printing.as_json and as_csv:
        raise typer.BadParameter("--json and --csv both print to the terminal; choose one")
    if printing.everything and chosen.top is not None:
        raise typer.BadParameter(f"--all shows more than --top {chosen.top} does; choose one")
    inspection_report.check_column(chosen.sort)
    with progress_bar(printing.bare or as_csv) as progress:
        found = inspection.inspected(model, planning, trials, progress)
    say_refused(model)
    rows = inspection_report.select_rows(found.rows, **asdict(chosen))
    if as_csv:
        say_lines(inspection_report.to_csv(rows))
        return
    whole = printing.everything or chosen.top is not None
    printing.show(
        lambda: replace(found, rows=rows).to_dict(), lambda _: inspection_report.inspection_view(found, rows, whole)
    )
