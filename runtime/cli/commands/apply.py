"""`scission apply`: carry out a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...pipeline.options import PlanOptions
from ...say import say
from ..common.arguments import Input, Output, Overwrite
from ..common.from_fields import group, takes
from ..common.given import read_plan
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar

__all__ = ["apply"]


@takes(
    group(Patience), needs=group(PlanOptions, only=("custom_ops",)), printing=group(Printing, only=("quiet", "verbose"))
)
def apply(
    model: Input,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="a plan from `scission plan -o`")],
    output: Output,
    restore: Annotated[
        list[str] | None,
        typer.Option(
            "--restore",
            metavar="NODE",
            help="give an operator, or a weight, back what annealing removed, and leave it dense (repeatable)",
        ),
    ] = None,
    overwrite: Overwrite = False,
    *,
    needs: PlanOptions,
    printing: Printing,
) -> None:
    """Carry out a plan, possibly edited by hand."""
    from ....ir.io.save import refuse_model
    from ....ir.plan.plan import PlanError
    from ...pipeline import apply as applying
    from ...pipeline.growth import grown

    chosen = read_plan(plan, model)
    refuse_model(output, [plan])  # whoever carries it out knows what else is read
    try:
        chosen = chosen.restored(restore) if restore else chosen
        with progress_bar(printing.quiet):
            applying.apply(model, chosen, output, overwrite=overwrite, custom_ops=needs.custom_ops)
    except PlanError as error:
        raise PlanError(f"{plan}: ", *error.parts) from error
    larger = grown(model, output)
    if not printing.quiet:
        lossy = f", {len(chosen.annealing)} annealed" if chosen.annealing else ""
        say(f"wrote {output}: {chosen.done}{lossy}{larger}")
