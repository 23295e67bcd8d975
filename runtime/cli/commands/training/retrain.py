"""`scission retrain`: the blocks of a model go on learning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ....calibrate.sources.forms import FORMS
from ....ort.trials import Trials
from ....retrain.options import RetrainOptions
from ....say import say
from ...common.arguments import Input, Output
from ...common.from_fields import group, takes
from ...common.patience import Patience
from ...common.terminal import Printing, progress_bar

__all__ = ["retrain"]


@takes(
    group(Patience),
    options=group(RetrainOptions),
    trials=group(Trials, only=("provider", "threads", "seconds", "custom_ops", "memory")),
    printing=group(Printing),
)
def retrain(
    model: Input,
    output: Output,
    data: Annotated[Path, typer.Option(metavar="DATA", help=f"inputs to learn from: {FORMS}")],
    teacher: Annotated[
        Path | None, typer.Option("--teacher", metavar="ORIGINAL", help="a model whose outputs are learnt")
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="PLAN", help="a plan from `scission plan -o` (default: one is made)"),
    ] = None,
    *,
    options: RetrainOptions,
    trials: Trials,
    printing: Printing,
) -> None:
    """Train the blocks of a model on labels, or on what another model says, and write what they became.

    A run that was stopped goes on from its checkpoint when the same command is given again.
    """
    from ....retrain import retrain as retraining
    from ....retrain.shown import retrained_view
    from ...common.given import read_plan

    chosen = None if plan is None else read_plan(plan, model)
    with progress_bar(printing.bare) as progress:
        done = retraining.retrain(
            model, output, options, data=data, plan=chosen, teacher=teacher, trials=trials, progress=progress
        )
    printing.show(done.to_dict, lambda _: retrained_view(done, printing.everything))
    if not done.ok:
        say(f"check failed, nothing was written: {done.reason}", err=True)
        raise typer.Exit(1)
