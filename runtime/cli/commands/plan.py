"""`scission plan`: what would be done with every linear."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ....ir.io.files import write
from ...calibrate.annealer import Annealer
from ...ort.trials import Trials
from ...pipeline.options import OptimizeOptions, PlanOptions
from ...say import say
from ..common.annealing import annealing, on_device
from ..common.arguments import Input, PlanOutput
from ..common.from_fields import group, takes
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar, refuse_outputs

if TYPE_CHECKING:
    from ....ir.plan.plan import Plan

__all__ = ["plan", "show_plan"]


@takes(
    group(Patience),
    planning=group(PlanOptions),
    further=group(OptimizeOptions, only=("tune", "cache", "overwrite")),
    trials=group(Trials, only=("seconds", "memory", "inputs_file", "inputs_beside")),
    anneal=annealing("refit", "veto", "exposed", "seed", method=None),
    printing=group(Printing),
)
def plan(
    model: Input,
    output: PlanOutput = None,
    *,
    planning: PlanOptions,
    further: OptimizeOptions,
    trials: Trials,
    anneal: Annealer | None,
    printing: Printing,
) -> None:
    """Show what would be done with every linear, and why; changes nothing.

    With --anneal also which weights would be removed, neither measured nor bounded: `sweep` and `optimize` do that.
    """
    from ....ir.io.load import load
    from ....ir.io.save import files_read

    anneal = on_device(anneal, planning.device)
    if output is None:
        show_plan(model, planning, further, trials, anneal, printing)
        return

    initial = anneal.initial if anneal is not None else None
    read = files_read(load(model), initial, trials.inputs_file, *planning.custom_ops, further.cache_file)
    refuse_outputs([output], read, further.overwrite)

    def keep(chosen: Plan) -> None:
        write({output: chosen.dumps().encode()}, further.overwrite)

    show_plan(model, planning, further, trials, anneal, printing, keep)


def show_plan(
    model: Path,
    planning: PlanOptions,
    further: OptimizeOptions,
    trials: Trials,
    anneal: Annealer | None,
    printing: Printing,
    keep: Callable[[Plan], None] | None = None,
) -> None:
    """Make a plan and print it; keep: what is done with it before."""
    from ...ort.environment import gpu_name
    from ...pipeline import plan as planner
    from ...render.words import priced_elsewhere

    with progress_bar(printing.bare) as progress:
        if further.tune:
            tuned = planner.tuned_plan(
                model, planning, anneal=anneal, cache=further.cache, trials=trials, progress=progress
            )
            chosen = tuned.plan
        else:
            tuned, chosen = None, planner.plan(model, planning, anneal=anneal, trials=trials, progress=progress)
    if keep is not None:
        keep(chosen)
    printing.show(
        lambda: json.loads(chosen.dumps()), lambda report: report.plan_view(chosen, printing.everything, tuned)
    )
    if chosen.provider == "cuda" and not printing.quiet and (told := priced_elsewhere("cuda", gpu_name())):
        say(told, err=True)
