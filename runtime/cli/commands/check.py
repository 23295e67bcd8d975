"""`scission check`: two models on the same inputs."""

from __future__ import annotations

import typer

from ...ort.trials import Trials
from ...pipeline.options import PlanOptions
from ...say import say
from ..common.arguments import First, Second
from ..common.from_fields import group, takes
from ..common.patience import Patience
from ..common.terminal import UNSHOWN, Printing, progress_bar

__all__ = ["check"]


@takes(
    group(Patience),
    trials=group(Trials, without=("seconds", "cuda_graph")),
    planning=group(PlanOptions, only=("batch",)),
    printing=group(Printing, without=("everything",)),
)
def check(original: First, changed: Second, *, trials: Trials, planning: PlanOptions, printing: Printing) -> None:
    """Run two models on the same inputs and compare every output; exit status 1 when they differ.

    Exit status 4 when no difference was found, but a branch or loop body that is not the same in both never ran.
    """
    from ...compare import compare

    with progress_bar(printing.bare) as progress:
        verdict = compare.check(original, changed, trials=trials, batch=planning.batches, progress=progress)
    printing.show(verdict.to_dict, lambda report: report.verdict_view(verdict))
    if not verdict.equal:
        say(f"different: {verdict.reason}" if verdict.different else verdict.reason, err=True)
        raise typer.Exit(1 if verdict.different else UNSHOWN)
    if not printing.bare:
        say(verdict.reason)
