"""`scission explain`: everything known of one operator."""

from __future__ import annotations

from typing import Annotated

import typer

from ...ort.trials import Trials
from ...pipeline.options import PlanOptions
from ..common.arguments import Input
from ..common.from_fields import group, takes
from ..common.given import say_refused
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar

__all__ = ["explain"]


@takes(
    group(Patience),
    planning=group(PlanOptions),
    trials=group(Trials, only=("inputs_file", "inputs_beside")),
    printing=group(Printing),
)
def explain(
    model: Input,
    node: Annotated[str, typer.Argument(metavar="NODE", help="an operator as `inspect` names it, or its weight")],
    *,
    planning: PlanOptions,
    trials: Trials,
    printing: Printing,
) -> None:
    """Tell everything known about one operator: what was tried, why not taken, and what holds its weight together."""
    from ...pipeline import explain as explanation
    from ...render.text import explanation as explanation_report

    with progress_bar(printing.bare) as progress:
        found = explanation.explain(model, node, planning, trials=trials, progress=progress)
    say_refused(model)
    printing.show(found.to_dict, lambda _: explanation_report.explanation_view(found, printing.everything))
