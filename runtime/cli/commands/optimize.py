"""`scission optimize`: split what pays, prove it equal, keep the faster model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..common.options import (
    AcceptNull,
    All,
    Alpha,
    Atol,
    Axis,
    Batch,
    Cache,
    Correction,
    CustomOps,
    Data,
    Device,
    DropStrays,
    Exposed,
    Force,
    Granularity,
    Init,
    Initial,
    Input,
    Inputs,
    Json,
    Labels,
    Likes,
    Literal,
    Lowering,
    MaxDrop,
    Memory,
    Method,
    Overwrite,
    Parts,
    Provider,
    Quiet,
    Ranges,
    Refit,
    Regions,
    Rtol,
    Seconds,
    Seed,
    Size,
    Strays,
    Threads,
    Tune,
    Values,
    Verbose,
    Veto,
    annealer,
    trials_of,
)
from ..common.terminal import progress_bar, refuse_input, show

__all__ = ["optimize"]


def optimize(
    model: Input,
    output: Annotated[Path | None, typer.Argument(metavar="OUT", help="where the result goes")] = None,
    provider: Provider = "auto",
    device: Device = "auto",
    threads: Threads = None,
    batch: Batch = None,
    force: Force = False,
    granularity: Granularity = None,
    parts: Parts = None,
    lowering: Lowering = None,
    regions: Regions = True,
    tune: Tune = False,
    cache: Cache = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the plan")] = False,
    check: Annotated[bool, typer.Option(help="prove the result equal")] = True,
    bench: Annotated[bool, typer.Option(help="measure, and keep the original where it is faster")] = True,
    inputs: Inputs = None,
    size: Size = None,
    value: Values = None,
    range_: Ranges = None,
    like: Likes = None,
    seed: Seed = 0,
    rtol: Rtol = None,
    atol: Atol = None,
    seconds: Seconds = 3.0,
    custom_ops: CustomOps = None,
    memory: Memory = None,
    anneal: Method = None,
    alpha: Alpha = 0.05,
    correction: Correction = "bonferroni",
    init: Init = None,
    initial: Initial = None,
    literal: Literal = False,
    strays: Strays = 100,
    drop_strays: DropStrays = False,
    axis: Axis = "inputs",
    accept_null: AcceptNull = False,
    refit: Refit = False,
    veto: Veto = None,
    exposed: Exposed = False,
    data: Data = None,
    labels: Labels = None,
    max_drop: MaxDrop = None,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Plan, apply, check and bench: split what pays, prove it equal, keep the faster model.

    With --anneal, --data and --max-drop also what splits only without the weights that learning did not confirm.
    """
    from ...pipeline import optimize as optimizing
    from ...pipeline import plan as planning

    trials = trials_of(
        provider,
        threads,
        inputs,
        size,
        seed,
        rtol,
        atol,
        seconds,
        custom_ops,
        wishes=(value, range_, like),
        memory=memory,
    )
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
        refit=refit,
        veto=veto,
        exposed=exposed,
        seed=seed,
        device="cpu" if device == "auto" else device,
    )
    if anneal is None and (data or labels or max_drop):
        raise typer.BadParameter("judges annealing; give --anneal METHOD as well", param_hint="--data")
    if dry_run:
        with progress_bar(quiet or as_json) as progress:
            settings: dict[str, Any] = {
                "provider": provider,
                "batch": batch,
                "sizes": trials.sizes,
                "threads": threads,
                "force": force,
                "granularity": granularity,
                "parts": parts,
                "lowering": lowering,
                "progress": progress,
                "device": device,
                "anneal": options,
                "regions": regions,
            }
            tuned = planning.tuned_plan(model, trials=trials, cache=cache, **settings) if tune else None
            chosen = tuned.plan if tuned else planning.plan(model, custom_ops=trials.custom_ops, **settings)
        show(
            quiet,
            as_json,
            lambda: json.loads(chosen.dumps()),
            lambda report: report.plan_view(chosen, everything, tuned),
        )
        return
    if output is None:
        raise typer.BadParameter("give an output file, or --dry-run to see the plan only", param_hint="OUT")
    for source in (inputs, data, labels, initial, *trials.custom_ops):
        refuse_input(output, source)
    with progress_bar(quiet or as_json) as progress:
        result = optimizing.optimize(
            model,
            output,
            batch=batch,
            force=force,
            granularity=granularity,
            parts=parts,
            lowering=lowering,
            check=check,
            bench=bench,
            overwrite=overwrite,
            trials=trials,
            progress=progress,
            device=device,
            anneal=options,
            regions=regions,
            data=data,
            labels=labels,
            max_drop=max_drop,
            tune=tune,
            cache=cache,
        )
    show(quiet, as_json, result.to_dict, lambda report: report.result_view(result, everything))
    if not result.ok:
        typer.echo(f"check failed, nothing was written: {result.reason}", err=True)
        raise typer.Exit(1)
