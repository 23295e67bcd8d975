"""The command line: `scission optimize | plan | apply | check | bench | sweep | inspect | explain | structure |
cover | diff | report | cache`.

Exit status: 0 fine, 1 the check failed, 2 bad input or usage, 3 a defect of scission itself, 4 a check that found no
difference, but in which a part that differs never ran.
"""

from __future__ import annotations

import io
import json
import logging
import os
import shlex
import signal
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ...ir.errors import ScissionError
from ...ir.io.files import write
from ...ir.plural import counted
from ..notes import show_notes
from .cache_command import cache_app
from .logs import stop_logging
from .options import (
    AcceptNull,
    All,
    Alpha,
    Atol,
    Axis,
    Batch,
    Cache,
    Correction,
    Csv,
    CudaGraph,
    CustomOps,
    Data,
    Device,
    DropStrays,
    Exposed,
    Filter,
    First,
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
    Output,
    Overwrite,
    Parts,
    PlanOutput,
    Provider,
    Quiet,
    Ranges,
    Refit,
    Regions,
    Reverse,
    Rtol,
    Second,
    Seconds,
    Seed,
    Size,
    Sort,
    Strays,
    Threads,
    Top,
    Tune,
    Values,
    Verbose,
    Veto,
    annealer,
    bytes_of,
    levels_of,
    sizes_of,
    trials_of,
)
from .terminal import files_of, progress_bar, refuse_input, refuse_outputs, show

if TYPE_CHECKING:
    from ...ir.plan.plan import Plan
    from ..weights.source import Weight

__all__ = ["app", "main"]

UNSHOWN = 4  # exit status of a check that neither found a difference nor showed that there is none
CHOICES = 40  # weights of a model that are listed when none is named

app = typer.Typer(
    name="scission",
    help="Split the dense weights of ONNX models into the independent blocks hidden in them.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(cache_app)


def _version(wanted: bool) -> None:
    if wanted:
        from ... import __version__

        typer.echo(f"scission {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", "-V", callback=_version, is_eager=True, help="print the version")]


@app.callback()
def _root(version: Version = False) -> None:
    pass


@app.command()
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
    from ..pipeline import optimize as optimizing
    from ..pipeline import plan as planning

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


@app.command()
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
    from ..ort.trials import Trials
    from ..pipeline import plan as planning

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


@app.command()
def apply(
    model: Input,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="a plan from `scission plan -o`")],
    output: Output,
    restore: Annotated[
        list[str] | None,
        typer.Option(
            "--restore",
            metavar="NODE",
            help="leave an operator, or a weight, as the original has it (repeatable)",
        ),
    ] = None,
    custom_ops: CustomOps = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Carry out a plan, possibly edited by hand."""
    from ..pipeline import apply as applying
    from ..pipeline.growth import grown

    chosen = _plan(plan)
    if restore:
        chosen = chosen.restored(restore)
    refuse_input(output, plan)
    with progress_bar(quiet):
        applying.apply(model, chosen, output, overwrite=overwrite, custom_ops=tuple(custom_ops or ()))
    larger = grown(model, output)
    if not quiet:
        lossy = f", {len(chosen.annealing)} annealed" if chosen.annealing else ""
        typer.echo(
            f"wrote {output}: {len(chosen.rewrites)} of {counted(len(chosen.steps), 'operator')} split{lossy}{larger}"
        )


@app.command()
def check(
    original: First,
    changed: Second,
    provider: Provider = "auto",
    threads: Threads = None,
    batch: Batch = None,
    inputs: Inputs = None,
    size: Size = None,
    value: Values = None,
    range_: Ranges = None,
    like: Likes = None,
    seed: Seed = 0,
    rtol: Rtol = None,
    atol: Atol = None,
    custom_ops: CustomOps = None,
    memory: Memory = None,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Run two models on the same inputs and compare every output; exit status 1 when they differ.

    Exit status 4 when no difference was found, but a branch or loop body that is not the same in both never ran.
    """
    from ..compare import compare

    wishes = value, range_, like
    trials = trials_of(provider, threads, inputs, size, seed, rtol, atol, 1.0, custom_ops, wishes=wishes, memory=memory)
    with progress_bar(quiet or as_json) as progress:
        verdict = compare.check(original, changed, trials=trials, batch=batch, progress=progress)
    show(quiet, as_json, verdict.to_dict, lambda report: report.verdict_view(verdict))
    if not verdict.equal:
        typer.echo(f"different: {verdict.reason}" if verdict.different else verdict.reason, err=True)
        raise typer.Exit(1 if verdict.different else UNSHOWN)
    if not quiet and not as_json:
        typer.echo(verdict.reason)


@app.command()
def bench(
    original: First,
    changed: Second,
    provider: Provider = "auto",
    threads: Threads = None,
    batch: Batch = None,
    inputs: Inputs = None,
    size: Size = None,
    value: Values = None,
    range_: Ranges = None,
    like: Likes = None,
    seed: Seed = 0,
    seconds: Seconds = 5.0,
    custom_ops: CustomOps = None,
    memory: Memory = None,
    cuda_graph: CudaGraph = "auto",
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Time two models side by side, interleaved."""
    from ..compare import compare

    trials = trials_of(
        provider,
        threads,
        inputs,
        size,
        seed,
        None,
        None,
        seconds,
        custom_ops,
        cuda_graph,
        wishes=(value, range_, like),
        memory=memory,
    )
    with progress_bar(quiet or as_json) as progress:
        benches = compare.bench(original, changed, trials=trials, batch=batch, progress=progress)
    show(quiet, as_json, lambda: [b.to_dict() for b in benches], lambda report: report.timings(benches))


@app.command()
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
    from ..calibrate import level_sweep as validation
    from ..calibrate.metric.metric import parse_budget
    from ..render.picture.structure import check_picture
    from ..render.text import validation as validation_report

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
        from ..render.picture.sweep import sweep_picture

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


@app.command()
def inspect(
    model: Input,
    provider: Provider = "auto",
    batch: Batch = None,
    size: Size = None,
    device: Device = "auto",
    sort: Sort = None,
    reverse: Reverse = False,
    wanted: Filter = "",
    top: Top = None,
    everything: All = False,
    as_json: Json = False,
    as_csv: Csv = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what every linear is like, how little blocks and covers need of it, and what `plan` would do, and why."""
    from ..pipeline import inspect as inspection
    from ..render.text import inspection as inspection_report

    if as_json and as_csv:
        raise typer.BadParameter("--json and --csv both print to the terminal; choose one", param_hint="--csv")
    if everything and top is not None:
        raise typer.BadParameter(f"--all shows more than the first {top}; choose one", param_hint="--top")
    inspection_report.check_column(sort)
    with progress_bar(quiet or as_json or as_csv) as progress:
        found = inspection.inspected(
            model, provider=provider, batch=batch, sizes=sizes_of(size), device=device, progress=progress
        )
    _say_refused(model)
    rows = inspection_report.select_rows(found.rows, sort=sort, reverse=reverse, wanted=wanted, top=top)
    if as_csv:
        typer.echo(inspection_report.to_csv(rows), nl=False)
        return
    show(
        quiet,
        as_json,
        lambda: replace(found, rows=rows).to_dict(),
        lambda _: inspection_report.inspection_view(found, rows, everything or top is not None),
    )


@app.command()
def explain(
    model: Input,
    node: Annotated[str, typer.Argument(metavar="NODE", help="an operator as `inspect` names it, or its weight")],
    provider: Provider = "auto",
    batch: Batch = None,
    size: Size = None,
    device: Device = "auto",
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Tell everything known about one operator: what was tried, why not taken, and what holds its weight together."""
    from ..pipeline import explain as explanation
    from ..render.text import explanation as explanation_report

    with progress_bar(quiet or as_json) as progress:
        found = explanation.explain(
            model, node, provider=provider, batch=batch, sizes=sizes_of(size), device=device, progress=progress
        )
    _say_refused(model)
    show(quiet, as_json, found.to_dict, lambda _: explanation_report.explanation_view(found, everything))


@app.command()
def structure(
    source: Annotated[str, typer.Argument(metavar="WEIGHT|MODEL[:NODE]", help="a matrix file, or a weight of a model")],
    scope: Annotated[str, typer.Option(help="state: rows and columns are the same states; operator; auto")] = "auto",
    paper: Annotated[bool, typer.Option("--paper", help="row i lists the in-edges of i, as in the paper")] = False,
    threshold: Annotated[float, typer.Option(help="an edge is |w| above it", min=0)] = 0.0,
    engine: Annotated[str, typer.Option(help="auto, matrix, search, graph or bitset: all find the same")] = "auto",
    device: Annotated[str, typer.Option(help="where matrix and search run: cpu, cuda, cuda:1 …")] = "auto",
    order: Annotated[str, typer.Option(help="isolated-last, or paper: its literal sort key")] = "isolated-last",
    from_one: Annotated[bool, typer.Option("--from-one", help="count from 1, as in the paper")] = False,
    dot: Annotated[Path | None, typer.Option(metavar="FILE|-", help="write the graph for graphviz")] = None,
    picture: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="draw it, .png or .svg (repeatable)")
    ] = None,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show the states of one weight: components, layers, SCCs, and the permutation that brings out its blocks."""
    from ..render.picture.structure import check_picture
    from ..render.text import structure as structure_report
    from ..weights import states as states_

    options: dict[str, Any] = {"engine": engine, "device": device, "order": order}
    drawn = {path: check_picture(path) for path in picture or []}
    to_terminal = dot is not None and str(dot) == "-"
    if to_terminal and as_json:
        raise typer.BadParameter("--dot - and --json both print to the terminal; choose one", param_hint="--dot")
    weight = _weight(source, everything)
    refuse_outputs([*drawn, *([dot] if dot and not to_terminal else [])], weight.files, overwrite)
    if states_.is_oversized(weight, cast("Any", scope)) and dot is None and not drawn:
        summary = structure_report.summarize_operator(weight, threshold)
        show(
            quiet,
            as_json,
            lambda: structure_report.oversized_dict(summary, weight.name),
            lambda _: structure_report.oversized_view(summary, weight.name),
        )
        return
    states = states_.states_of(weight, scope=cast("Any", scope), paper=paper, threshold=threshold)
    with progress_bar(quiet or as_json or to_terminal):
        found = states_.find(states, **options)
    first = int(from_one)
    made: dict[Path, bytes] = {}  # all of it before any of it is written
    if dot is not None:
        from ..render.picture.dot import dot as to_dot

        made[dot] = to_dot(found, states, first).encode()
    for path, suffix in drawn.items():
        from ..render.picture.structure import picture as draw

        made[path] = draw(found, states, suffix, first)
    if to_terminal and dot is not None:
        typer.echo(made.pop(dot).decode(), nl=False)
    write(made, overwrite)
    show(
        quiet or to_terminal,
        as_json,
        lambda: structure_report.to_dict(found, states, first),
        lambda _: structure_report.structure_view(found, states, first, everything),
    )


@app.command()
def cover(
    source: Annotated[
        str,
        typer.Argument(
            metavar="WEIGHT|MODEL[:NODE]", help="a weight of a model, or a matrix file, rows being inputs (K, N)"
        ),
    ],
    transposed: Annotated[
        bool, typer.Option("--transposed", help="rows of the matrix file are outputs, as torch stores them")
    ] = False,
    rows: Annotated[
        list[int] | None, typer.Option("--rows", help="activation rows that costs are for (repeatable; 256)", min=1)
    ] = None,
    threads: Threads = None,
    picture: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="draw it, .png or .svg (repeatable)")
    ] = None,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show how the outputs of one weight come apart into groups that may share inputs, and what that would gain."""
    from ..render.picture.structure import check_picture
    from ..render.text import cover as cover_report
    from ..weights import cover_study as covering

    drawn = {path: check_picture(path) for path in picture or []}
    weight = _weight(source, everything)
    refuse_outputs([*drawn], weight.files, overwrite)
    with progress_bar(quiet or as_json):
        found = covering.cover_of(weight, rows=rows or covering.ROWS, transposed=transposed, threads=threads)
    made: dict[Path, bytes] = {}  # all of it before any of it is written
    for path, suffix in drawn.items():
        from ..render.picture.cover import cover_picture

        made[path] = cover_picture(found, suffix)
    write(made, overwrite)
    show(
        quiet,
        as_json,
        lambda: cover_report.to_dict(found),
        lambda _: cover_report.cover_view(found, everything),
    )


@app.command()
def diff(
    one: First,
    other: Second,
    page: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="write it as a page of its own")] = None,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Show what the graphs of two models differ in, by what nodes compute; exit status 1 when they differ."""
    from ..pipeline.diff import diff as difference_of
    from ..render.text.diff import diff_view

    if page is not None:
        from ...ir.io.load import load

        refuse_outputs([page], [one, other], overwrite)
        refuse_outputs([page], [file for path in (one, other) for file in load(path).data_files()], overwrite)
    with progress_bar(quiet or as_json):
        found = difference_of(one, other)
    _say_refused(one, other)
    if page is not None:
        from ..render.html.diff_page import diff_page

        write({page: diff_page(found).encode()}, overwrite)
    show(quiet, as_json, found.to_dict, lambda _: diff_view(found, everything))
    if not found.same:
        raise typer.Exit(1)


@app.command()
def report(
    model: Input,
    changed: Annotated[
        Path | None, typer.Argument(metavar="OUT", help="what was made of it; without it the plan is told")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE.html", help="where the page goes")] = ...,  # type: ignore[assignment]
    plan: Annotated[
        Path | None, typer.Option("--plan", metavar="PLAN", help="the plan that was carried out (default: made again)")
    ] = None,
    check: Annotated[
        bool | None, typer.Option("--check/--no-check", help="compare the outputs of both models (with OUT)")
    ] = None,
    bench: Annotated[bool | None, typer.Option("--bench/--no-bench", help="time both models (with OUT)")] = None,
    provider: Provider = "auto",
    device: Device = "auto",
    threads: Threads = None,
    batch: Batch = None,
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
    overwrite: Overwrite = False,
    as_json: Json = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Write one HTML page about a model and what was made of it: linears, patterns, check, bench, difference.

    Without OUT it tells what would be done; --check and --bench then carry that out in a temporary folder.
    """
    from ..render.html import report as html_report

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
    chosen = _plan(plan) if plan is not None else None
    refuse_input(output, plan)
    with progress_bar(quiet or as_json) as progress:
        found = html_report.report(
            model,
            changed,
            output,
            plan=chosen,
            check=check,
            bench=bench,
            batch=batch,
            trials=trials,
            device=device,
            overwrite=overwrite,
            progress=progress,
            command=shlex.join(["scission", *sys.argv[1:]]),
        )
    if as_json:
        typer.echo(json.dumps(found.to_dict(), indent=1))
    elif not quiet:
        typer.echo(f"wrote {output}: {found.sentence}")
    if not found.ok and found.verdict is not None:
        typer.echo(f"different: {found.verdict.reason}", err=True)
        raise typer.Exit(1)
    if found.verdict is not None and not found.verdict.shown:
        typer.echo(found.verdict.reason, err=True)
        raise typer.Exit(UNSHOWN)


def _say_refused(*models: Path) -> None:
    """A broken model can be looked at, but not without being told that it is broken."""
    from ...ir.io.load import load
    from ..ort.validity import refusal

    for path in models:
        if problem := refusal(load(path), path):
            typer.echo(f"warning: {ScissionError(f'{path}: ', *problem).for_shell}", err=True)


def _plan(path: Path) -> Plan:
    """A plan from its file. Raises PlanError when it cannot be read as one."""
    from ...ir.plan.plan import Plan, PlanError

    try:
        return Plan.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{path}: cannot be read as a plan ({error}); make one with `scission plan -o`") from None
    except PlanError as error:
        raise PlanError(f"{path}: ", *error.parts) from None


def _weight(source: str, everything: bool) -> Weight:
    """The weight to look at; where there are several, they are listed and the exit status is 2."""
    from ..weights.source import AmbiguousError, read_weight

    try:
        return read_weight(source)
    except AmbiguousError as error:
        typer.echo(f"error: {error.for_shell}", err=True)
        shown = error.choices if everything else error.choices[:CHOICES]
        for name, shape in shown:
            typer.echo(f"  {name}  {shape}", err=True)
        if len(shown) < len(error.choices):
            typer.echo(f"  … and {len(error.choices) - len(shown)} more (--all shows them)", err=True)
        raise typer.Exit(2) from None


def main() -> None:
    """Run the command line; every expected error is one line on stderr and exit status 2."""
    if sys.stderr is None:  # closed by the caller
        sys.stderr = io.StringIO()
    for stream in (sys.stdout, sys.stderr):  # a name that this locale cannot show is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    stop_logging()
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # what a library thinks of a weight is no answer to what was asked
    show_notes()
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)  # what matters of it comes back as our own message
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever read our output has seen enough; 1 would say "failed"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that temporary files go
    try:
        app(prog_name="scission")  # also under `python -m`: completion goes by it
    except ScissionError as error:
        typer.echo("error: " + " ".join(error.for_shell.splitlines()), err=True)
        sys.exit(2)
    except OSError as error:
        typer.echo(f"error: {error.strerror or error}: the output could not be printed", err=True)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(2)
    except Exception:
        import traceback

        traceback.print_exc()
        typer.echo("error: this is a defect of scission; please report it with the lines above", err=True)
        sys.exit(3)
