"""`scission plan`: what would be done with every linear."""

from __future__ import annotations

import json
from typing import Any

from ....ir.io.files import write
from ..common.options import (
    AcceptNull,
    All,
    Alpha,
    Axis,
    Batch,
    Cache,
    Correction,
    CustomOps,
    Device,
    DropStrays,
    Force,
    Granularity,
    Init,
    Initial,
    Input,
    Json,
    Literal,
    Lowering,
    Memory,
    Method,
    Overwrite,
    Parts,
    PlanOutput,
    Provider,
    Quiet,
    Regions,
    Seconds,
    Size,
    Strays,
    Threads,
    Tune,
    Verbose,
    annealer,
    bytes_of,
    sizes_of,
)
from ..common.terminal import files_of, progress_bar, refuse_input, show

__all__ = ["plan"]


def plan(
    model: Input,
    output: PlanOutput = None,
    provider: Provider = "auto",
    device: Device = "auto",
    threads: Threads = None,
    batch: Batch = None,
    size: Size = None,
    force: Force = False,
    granularity: Granularity = None,
    parts: Parts = None,
    lowering: Lowering = None,
    regions: Regions = True,
    tune: Tune = False,
    cache: Cache = True,
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
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what would be done with every linear, and why; changes nothing.

    With --anneal also which weights would be removed, neither measured nor bounded: `sweep` and `optimize` do that.
    """
    from ...ort.trials import Trials
    from ...pipeline import plan as planning

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
    )
    with progress_bar(quiet or as_json) as progress:
        settings: dict[str, Any] = {
            "provider": provider,
            "batch": batch,
            "sizes": sizes_of(size),
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
        libraries = tuple(custom_ops or ())
        trials = Trials(seconds=seconds, custom_ops=libraries, memory=bytes_of(memory))
        tuned = planning.tuned_plan(model, trials=trials, cache=cache, **settings) if tune else None
        chosen = tuned.plan if tuned else planning.plan(model, custom_ops=libraries, **settings)
    if output is not None:
        for source in files_of(model, initial, *libraries):
            refuse_input(output, source)
        write({output: chosen.dumps().encode()}, overwrite)
    show(quiet, as_json, lambda: json.loads(chosen.dumps()), lambda report: report.plan_view(chosen, everything, tuned))
