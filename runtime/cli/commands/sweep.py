"""`scission sweep`: annealed at many levels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ....ir.io.files import write
from ...calibrate.annealer import Annealer
from ...calibrate.sources.forms import FORMS
from ...calibrate.sweep_options import SweepOptions
from ...fields import setting
from ...ort.trials import Trials
from ..common.annealing import annealing
from ..common.arguments import Input
from ..common.from_fields import group, takes
from ..common.patience import Patience
from ..common.terminal import Printing, progress_bar, refuse_outputs

__all__ = ["sweep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """Where a sweep goes."""

    output: Path | None = setting(None, "write it as JSON", flags=("--output", "-o"), metavar="FILE")
    plot: tuple[Path, ...] = setting((), "draw it, .png or .svg (repeatable)", metavar="FILE")
    overwrite: bool = setting(False, "replace the output if it exists")


@takes(
    group(Patience),
    written=group(_Written),
    options=group(SweepOptions),
    anneal=annealing("refit", "veto"),
    trials=group(Trials, only=("provider", "threads", "seed", "custom_ops", "memory")),
    printing=group(Printing),
)
def sweep(
    model: Input,
    data: Annotated[Path, typer.Option(metavar="DATA", help=f"labelled inputs: {FORMS}")],
    *,
    written: _Written,
    options: SweepOptions,
    anneal: Annealer,
    trials: Trials,
    printing: Printing,
) -> None:
    """Anneal at many levels beside the original: what is kept, what splits, what the task says; writes no model."""
    from ....ir.io.load import load
    from ....ir.io.save import files_read
    from ...calibrate import level_sweep as validation
    from ...calibrate.metric.function import module_file
    from ...calibrate.sources.source import files_of_source
    from ...render.picture.structure import check_picture
    from ...render.text import validation as validation_report

    drawn = {path: check_picture(path) for path in written.plot or ()}
    outputs = [*drawn, *([written.output] if written.output else [])]
    if outputs:
        metrics = module_file(options.metric), module_file(options.max_drop)
        held = *files_of_source(data), *files_of_source(options.labels)
        read = files_read(load(model), *held, anneal.initial, *trials.custom_ops, *metrics)
        refuse_outputs(outputs, read, written.overwrite)
    with progress_bar(printing.bare) as progress:
        found = validation.sweep(model, data, options, anneal=anneal, trials=trials, progress=progress)
    made: dict[Path, bytes] = {}
    for path, suffix in drawn.items():
        from ...render.picture.sweep import sweep_picture

        made[path] = sweep_picture(found.sweep, suffix)
    if written.output is not None:
        text = json.dumps(validation_report.to_dict(found, options.budget), indent=1)
        made[written.output] = f"{text}\n".encode()
    write(made, written.overwrite)
    printing.show(
        lambda: validation_report.to_dict(found, options.budget),
        lambda _: validation_report.validation_view(found, options.budget, printing.everything),
    )
