"""`scission decompose`: a dense model made smaller, as much as a budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from .....ir.io.files import write
from ....calibrate.sources.forms import FORMS
from ....decompose.options import DecomposeOptions
from ....fields import setting
from ....ort.trials import Trials
from ....say import say
from ...common.arguments import Input
from ...common.from_fields import group, takes
from ...common.patience import Patience
from ...common.terminal import Printing, progress_bar, refuse_outputs

__all__ = ["decompose"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """Where a smaller model goes, and the picture."""

    output: Path | None = setting(None, "where the smaller model goes", flags=("--output", "-o"), metavar="OUT")
    plot: tuple[Path, ...] = setting((), "draw the candidates, .png or .svg (repeatable)", metavar="FILE")
    overwrite: bool = setting(False, "replace the output if it exists")


@takes(
    group(Patience),
    made=group(_Made),
    options=group(DecomposeOptions),
    trials=group(Trials, only=("provider", "threads", "seed", "seconds", "custom_ops", "memory")),
    printing=group(Printing),
)
def decompose(
    model: Input,
    data: Annotated[Path, typer.Option(metavar="DATA", help=f"inputs to fit to, choose by and judge by: {FORMS}")],
    *,
    made: _Made,
    options: DecomposeOptions,
    trials: Trials,
    printing: Printing,
) -> None:
    """Make a dense model smaller within a budget: hidden units and heads that cost least are left out, or each sample
    runs those alone that it needs, weights become products of smaller ones, or are trained into blocks.

    What is left is fitted again on a part of the data, and trained on it where that is asked for; another part chooses,
    and a third, that nothing else sees, judges. Exit status 1: nothing is kept, or the budget does not hold on that
    third part; no model is written then.
    """
    from .....ir.io.load import load
    from .....ir.io.save import files_read, save
    from ....calibrate.metric.function import module_file
    from ....calibrate.sources.source import files_of_source
    from ....decompose.decompose import decompose as decomposing
    from ....decompose.drawn import decompose_picture
    from ....decompose.shown import decompose_view
    from ....render.picture.structure import check_picture

    drawn = {path: check_picture(path) for path in made.plot}
    outputs = [*drawn, *([made.output] if made.output is not None else [])]
    if outputs:
        held = *files_of_source(data), *files_of_source(options.labels)
        metrics = module_file(options.metric), module_file(options.budget)
        read = files_read(load(model), *held, *trials.custom_ops, *metrics)
        refuse_outputs(outputs, read, made.overwrite)
    with progress_bar(printing.bare) as progress:
        found = decomposing(model, data, options, trials=trials, progress=progress)
    if found.ok and found.chosen is not None and made.output is not None:
        save(found.original, found.chosen.candidate.model, made.output, overwrite=made.overwrite)
    if drawn:
        write({path: decompose_picture(found, suffix) for path, suffix in drawn.items()}, made.overwrite)
    printing.show(found.to_dict, lambda _: decompose_view(found, printing.everything))
    if not found.ok:
        said = "does not hold on samples that took no part" if found.chosen is not None else "nothing is kept"
        say(f"{said}; no model was written", err=True)
        raise typer.Exit(1)
