"""`scission sweep`: annealed at many levels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from ....ir.io.files import write
from ...calibrate.annealer import Annealer
from ...fields import setting
from ...ort.trials import Trials
from ..common.annealing import annealing
from ..common.arguments import Input, Overwrite
from ..common.from_fields import group, takes
from ..common.parsing import levels_of
from ..common.terminal import Printing, files_of, progress_bar, refuse_outputs

__all__ = ["sweep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sweeping:
    """What is judged at which levels."""

    labels: Path | None = setting(None, "their labels, .npy or .npz", metavar="FILE")
    metric: str | None = setting(
        None,
        "argmax, top5, cosine (the default), mse, perplexity, or python:M.F, a function F of a module M; also @OUTPUT",
        metavar="NAME",
    )
    levels: str | None = setting(None, "levels of the test (0.5 down to 1e-30, twelve of them)", metavar="A,B,…")
    max_drop: str | None = setting(None, "how much a metric may lose, such as 'argmax<=0.01'", metavar="METRIC<=X")
    explain: bool = setting(True, "when nothing decomposes, say how far each weight is from it")


@takes(
    asked=group(_Sweeping),
    options=annealing("refit", "veto"),
    trials=group(Trials, only=("provider", "threads", "seed", "custom_ops", "memory")),
    printing=group(Printing),
)
def sweep(
    model: Input,
    data: Annotated[Path, typer.Option(metavar="FILE.npz", help="labelled inputs, by name, samples first")],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="write it as JSON")] = None,
    picture: Annotated[
        list[Path] | None, typer.Option("--plot", metavar="FILE", help="draw it, .png or .svg (repeatable)")
    ] = None,
    overwrite: Overwrite = False,
    *,
    asked: _Sweeping,
    options: Annealer,
    trials: Trials,
    printing: Printing,
) -> None:
    """Anneal at many levels beside the original: what is kept, what splits, what the task says; writes no model."""
    from ...calibrate import level_sweep as validation
    from ...calibrate.metric.metric import parse_budget
    from ...render.picture.structure import check_picture
    from ...render.text import validation as validation_report

    drawn = {path: check_picture(path) for path in picture or []}
    written = [*drawn, *([output] if output else [])]
    initial = Path(options.initial) if options.initial is not None else None
    if written:
        refuse_outputs(written, files_of(model, data, asked.labels, initial, *trials.custom_ops), overwrite)
    budget = parse_budget(asked.max_drop) if asked.max_drop else None
    if budget and asked.metric and asked.metric != budget.metric.name:
        raise typer.BadParameter(f"--max-drop is about {budget.metric.name}, --metric about {asked.metric}")
    with progress_bar(printing.bare) as progress:
        found = validation.sweep(
            model,
            data,
            labels=asked.labels,
            metric=budget.metric if budget else asked.metric or "cosine",
            limit=budget.limit if budget else None,
            levels=levels_of(asked.levels) or validation.LEVELS,
            options=options,
            trials=trials,
            explain=asked.explain,
            progress=progress,
        )
    made: dict[Path, bytes] = {}
    for path, suffix in drawn.items():
        from ...render.picture.sweep import sweep_picture

        made[path] = sweep_picture(found.sweep, suffix)
    if output is not None:
        text = json.dumps(validation_report.to_dict(found, budget), indent=1)
        made[output] = f"{text}\n".encode()
    write(made, overwrite)
    printing.show(
        lambda: validation_report.to_dict(found, budget),
        lambda _: validation_report.validation_view(found, budget, printing.everything),
    )
