"""`scission check`: two models on the same inputs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ...ort.trials import Trials
from ...pipeline.options import PlanOptions
from ...say import say
from ..common.arguments import First, Second
from ..common.from_fields import group, takes
from ..common.patience import Patience
from ..common.terminal import UNSHOWN, Printing, progress_bar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ....ir.progress import Progress
    from ...compare.verdict import Verdict

__all__ = ["check"]


@takes(
    group(Patience),
    trials=group(Trials, without=("seconds", "cuda_graph")),
    planning=group(PlanOptions, only=("batch",)),
    printing=group(Printing, without=("everything",)),
)
def check(original: First, changed: Second, *, trials: Trials, planning: PlanOptions, printing: Printing) -> None:
    """Run two models on the same inputs and compare every output; exit status 1 when they differ.

    One of the two may be a folder that `scission partition` wrote, whose parts are put together.
    Exit status 4 when no difference was found, but a branch or loop body that is not the same in both never ran.
    """
    with progress_bar(printing.bare) as progress:
        verdict = _verdict(original, changed, trials, planning.batches, progress)
    printing.show(verdict.to_dict, lambda report: report.verdict_view(verdict))
    if not verdict.equal:
        say(f"different: {verdict.reason}" if verdict.different else verdict.reason, err=True)
        raise typer.Exit(1 if verdict.different else UNSHOWN)
    if not printing.bare:
        say(f"equal: {verdict.reason}")


def _verdict(
    original: Path, changed: Path, trials: Trials, batch: Sequence[int] | None, progress: Progress | None
) -> Verdict:
    """Of two models, or of a model and a folder of its parts, whichever of them comes first."""
    if original.is_dir() or changed.is_dir():
        from ...serve.check import check_parts

        folder, model = (original, changed) if original.is_dir() else (changed, original)
        return check_parts(folder, model, trials=trials, batch=batch, progress=progress)
    from ...compare import compare

    return compare.check(original, changed, trials=trials, batch=batch, progress=progress)
