"""`scission optimize`: split what pays, prove it equal, keep the faster model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ...calibrate.annealer import Annealer
from ...ort.trials import Trials
from ...pipeline.options import SHARED, OptimizeOptions, PlanOptions, refuse_idle
from ...say import say
from ..common.annealing import annealing, on_device
from ..common.from_fields import group, takes
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar
from .plan import show_plan

__all__ = ["optimize"]


@takes(
    group(Patience),
    planning=group(PlanOptions),
    further=group(OptimizeOptions),
    trials=group(Trials, without=SHARED),
    anneal=annealing(method=None),
    printing=group(Printing),
)
def optimize(
    model: Annotated[Path, typer.Argument(metavar="IN", help="the model, an .onnx file, or a folder of models")],
    output: Annotated[Path | None, typer.Argument(metavar="OUT", help="where the result goes")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the plan")] = False,
    *,
    planning: PlanOptions,
    further: OptimizeOptions,
    trials: Trials,
    anneal: Annealer | None,
    printing: Printing,
) -> None:
    """Plan, apply, check and bench: split what pays, prove it equal, keep the faster model.

    With --anneal, --data and --max-drop also what splits only without the weights that learning did not confirm.
    Where IN is a folder, as Hugging Face and onnxruntime-genai have them, every model in it is, and OUT is a new folder
    with these and all other files; with --overwrite it replaces one that holds nothing else. --size, --value and so
    on are then about each of the models that has such a dimension or input.
    """
    from ...pipeline import optimize as optimizing

    refuse_idle(further, anneal)
    anneal = on_device(anneal, planning.device)
    if model.is_dir():
        _folder(model, output, dry_run or anneal is not None, (planning, further, trials), printing)
        return
    if dry_run:
        show_plan(model, planning, further, trials, anneal, printing)
        return
    if output is None:
        raise typer.BadParameter("OUT is missing: give an output file, or --dry-run to see the plan only")
    with progress_bar(printing.bare) as progress:
        result = optimizing.optimize(
            model, output, planning, further=further, anneal=anneal, trials=trials, progress=progress
        )
    printing.show(result.to_dict, lambda report: report.result_view(result, printing.everything))
    if result.taken_back is not None and result.taken_back.faulty:
        say(f"warning: {result.taken_back.text}", err=True)
    if not result.ok:
        say(f"check failed, nothing was written: {result.reason}", err=True)
        raise typer.Exit(1)


def _folder(
    folder: Path,
    output: Path | None,
    alone: bool,
    options: tuple[PlanOptions, OptimizeOptions, Trials],
    printing: Printing,
) -> None:
    """Every model of a folder; alone: whether something is asked for that only one model can have."""
    from ...hub.optimize_folder import optimize_folder

    if alone or output is None:
        told = (
            "--dry-run and --anneal are for one model; give its file" if alone else "OUT is missing: give a new folder"
        )
        raise typer.BadParameter(told)
    planning, further, trials = options
    with progress_bar(printing.bare) as progress:
        found = optimize_folder(folder, output, planning, further=further, trials=trials, progress=progress)
    printing.show(found.to_dict, lambda report: report.folder_view(found.results, printing.everything))
    if not found.ok:
        say(found.sentence, err=True)
        raise typer.Exit(1)
    if not printing.bare:
        say(f"wrote {output}: {found.sentence}")
