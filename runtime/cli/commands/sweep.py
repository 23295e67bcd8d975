"""`scission sweep`: annealed at many levels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ....ir.io.files import write
from ..common.options import (
    AcceptNull,
    All,
    Alpha,
    Axis,
    Correction,
    CustomOps,
    DropStrays,
    Exposed,
    Init,
    Initial,
    Input,
    Json,
    Labels,
    Literal,
    MaxDrop,
    Method,
    Overwrite,
    Provider,
    Quiet,
    Seed,
    Strays,
    Threads,
    Verbose,
    annealer,
    levels_of,
    trials_of,
)
from ..common.terminal import files_of, progress_bar, refuse_outputs, show

__all__ = ["sweep"]


def sweep(
    model: Input,
    data: Annotated[Path, typer.Option(metavar="FILE.npz", help="labelled inputs, by name, samples first")],
    labels: Labels = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="argmax, top5, cosine (the default), mse, perplexity or python:module.function, also METRIC@OUTPUT"
        ),
    ] = None,
    levels: Annotated[
        str | None, typer.Option(metavar="A,B,…", help="levels of the test (0.5 down to 1e-30, twelve of them)")
    ] = None,
    max_drop: MaxDrop = None,
    anneal: Method = "auto",
    alpha: Alpha = 0.05,
    correction: Correction = "bonferroni",
    init: Init = None,
    initial: Initial = None,
    literal: Literal = False,
    strays: Strays = 100,
    drop_strays: DropStrays = False,
    axis: Axis = "inputs",
    accept_null: AcceptNull = False,
    exposed: Exposed = False,
    explain: Annotated[bool, typer.Option(help="when nothing decomposes, say how far each weight is from it")] = True,
    provider: Provider = "auto",
    threads: Threads = None,
    seed: Seed = 0,
    custom_ops: CustomOps = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="write it as JSON")] = None,
    picture: Annotated[
        list[Path] | None, typer.Option("--plot", metavar="FILE", help="draw it, .png or .svg (repeatable)")
    ] = None,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Anneal at many levels beside the original: what is kept, what splits, what the task says; writes no model."""
    from ...calibrate import level_sweep as validation
    from ...calibrate.metric.metric import parse_budget
    from ...render.picture.structure import check_picture
    from ...render.text import validation as validation_report

    drawn = {path: check_picture(path) for path in picture or []}
    written = [*drawn, *([output] if output else [])]
    if written:
        refuse_outputs(written, files_of(model, data, labels, initial, *(custom_ops or ())), overwrite)
    budget = parse_budget(max_drop) if max_drop else None
    if budget and metric and metric != budget.metric.name:
        raise typer.BadParameter(f"is for {budget.metric.name}, --metric for {metric}", param_hint="--max-drop")
    options = annealer(
        method=anneal,
        alpha=alpha,
        correction=correction,
        init=init,
        initial=initial,
        literal=literal,
        strays=strays,
        drop_strays=drop_strays,
        axis=axis,
        accept_null=accept_null,
        exposed=exposed,
        seed=seed,
    )
    with progress_bar(quiet or as_json) as progress:
        found = validation.sweep(
            model,
            data,
            labels=labels,
            metric=budget.metric if budget else metric or "cosine",
            limit=budget.limit if budget else None,
            levels=levels_of(levels) or validation.LEVELS,
            options=options,
            trials=trials_of(provider, threads, None, None, seed, None, None, 1.0, custom_ops),
            explain=explain,
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
    show(
        quiet,
        as_json,
        lambda: validation_report.to_dict(found, budget),
        lambda _: validation_report.validation_view(found, budget, everything),
    )
