"""The command line: `scission optimize | plan | apply | check | bench | inspect | structure`.

Exit status: 0 fine, 1 the check failed, 2 bad input or usage, 3 a defect of scission itself.
"""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from ..ir.errors import ScissionError

if TYPE_CHECKING:
    from ..passes.planner import Progress
    from .compare import Trials
    from .session import Choice
    from .weight_source import Weight

__all__ = ["app", "main"]

CHOICES = 40  # weights of a model that are listed when none is named

app = typer.Typer(
    name="scission",
    help="Split the dense weights of ONNX models into the independent blocks hidden in them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Input = Annotated[Path, typer.Argument(metavar="IN", help="the model, an .onnx file")]
Output = Annotated[Path, typer.Argument(metavar="OUT", help="where the result goes")]
PlanOutput = Annotated[Path | None, typer.Option("--output", "-o", metavar="PLAN", help="write the plan as JSON")]
First = Annotated[Path, typer.Argument(metavar="A", help="the original model")]
Second = Annotated[Path, typer.Argument(metavar="B", help="the changed model")]
Provider = Annotated[str, typer.Option(help="cpu, cuda, or auto: CUDA where it really works")]
Device = Annotated[str, typer.Option(help="where weights are analysed: cpu, cuda, or auto: CUDA for large models")]
Threads = Annotated[int | None, typer.Option(help="threads of ONNX Runtime (default: its own choice)", min=1, max=1024)]
Rows = Annotated[
    list[int] | None, typer.Option("--rows", help="batch rows to predict and time for (repeatable; 1, 16, 256)", min=1)
]
Force = Annotated[bool, typer.Option("--force", help="split whatever splits, also where that is slower")]
Json = Annotated[bool, typer.Option("--json", help="print JSON instead of tables")]
All = Annotated[bool, typer.Option("--all", help="show every node")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="print nothing but errors")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="replace the output if it exists")]
Inputs = Annotated[Path | None, typer.Option(metavar="FILE.npz", help="real inputs instead of random ones")]
Size = Annotated[list[str] | None, typer.Option("--size", metavar="NAME=N", help="size of a symbolic dimension")]
Seed = Annotated[int, typer.Option(help="seed of the random inputs", min=0)]
Rtol = Annotated[float | None, typer.Option(help="allowed error relative to the largest output (by type)", min=0)]
Atol = Annotated[float | None, typer.Option(help="allowed absolute error besides", min=0)]
Seconds = Annotated[float, typer.Option(help="time spent on each input size", min=0.01)]
CustomOps = Annotated[list[Path] | None, typer.Option(metavar="LIB", help="library of custom operators")]


def _version(wanted: bool) -> None:
    if wanted:
        from .. import __version__

        typer.echo(f"scission {__version__}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")]


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
    rows: Rows = None,
    force: Force = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only show the plan")] = False,
    check: Annotated[bool, typer.Option(help="prove the result equal")] = True,
    bench: Annotated[bool, typer.Option(help="measure, and keep the original where it is faster")] = True,
    inputs: Inputs = None,
    size: Size = None,
    seed: Seed = 0,
    rtol: Rtol = None,
    atol: Atol = None,
    seconds: Seconds = 1.0,
    custom_ops: CustomOps = None,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plan, apply, check and bench: split what pays, prove it equal, keep the faster model."""
    from . import pipeline

    trials = _trials(provider, threads, inputs, size, seed, rtol, atol, seconds, custom_ops)
    if dry_run:
        with _progress(quiet or as_json) as progress:
            chosen = pipeline.plan(
                model, provider=provider, rows=rows, threads=threads, force=force, progress=progress, device=device
            )
        _show(quiet, as_json, lambda: json.loads(chosen.dumps()), lambda report: report.plan_view(chosen, everything))
        return
    if output is None:
        raise typer.BadParameter("give an output file, or --dry-run to see the plan only", param_hint="OUT")
    _refuse_input(output, inputs)
    with _progress(quiet or as_json) as progress:
        result = pipeline.optimize(
            model,
            output,
            rows=rows,
            force=force,
            check=check,
            bench=bench,
            overwrite=overwrite,
            trials=trials,
            progress=progress,
            device=device,
        )
    _show(quiet, as_json, result.to_dict, lambda report: report.result_view(result, everything))
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
    rows: Rows = None,
    force: Force = False,
    overwrite: Overwrite = False,
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what would be done with every linear, and why; changes nothing."""
    from . import pipeline

    with _progress(quiet or as_json) as progress:
        chosen = pipeline.plan(
            model, provider=provider, rows=rows, threads=threads, force=force, progress=progress, device=device
        )
    if output is not None:
        _refuse_input(output, model)
        _write({output: chosen.dumps().encode()}, overwrite)
    _show(quiet, as_json, lambda: json.loads(chosen.dumps()), lambda report: report.plan_view(chosen, everything))


@app.command()
def apply(
    model: Input,
    plan: Annotated[Path, typer.Argument(metavar="PLAN", help="a plan from `scission plan -o`")],
    output: Output,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Carry out a plan, possibly edited by hand."""
    from ..ir.plan import Plan, PlanError
    from . import pipeline

    try:
        chosen = Plan.loads(plan.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise PlanError(f"{plan}: cannot be read as a plan ({error}); make one with `scission plan -o`") from None
    except PlanError as error:
        raise PlanError(f"{plan}: {error}") from None
    _refuse_input(output, plan)
    pipeline.apply(model, chosen, output, overwrite=overwrite)
    if not quiet:
        typer.echo(f"wrote {output}: {len(chosen.rewrites)} of {len(chosen.steps)} operators split")


@app.command()
def check(
    original: First,
    changed: Second,
    provider: Provider = "auto",
    threads: Threads = None,
    inputs: Inputs = None,
    size: Size = None,
    seed: Seed = 0,
    rtol: Rtol = None,
    atol: Atol = None,
    custom_ops: CustomOps = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run two models on the same inputs and compare every output; exit status 1 when they differ."""
    from . import compare

    trials = _trials(provider, threads, inputs, size, seed, rtol, atol, 1.0, custom_ops)
    verdict = compare.check(original, changed, trials=trials)
    _show(quiet, as_json, verdict.to_dict, lambda report: report.verdict_view(verdict))
    if not verdict.equal:
        typer.echo(f"different: {verdict.reason}", err=True)
        raise typer.Exit(1)
    if not quiet and not as_json:
        typer.echo(verdict.reason)


@app.command()
def bench(
    original: First,
    changed: Second,
    provider: Provider = "auto",
    threads: Threads = None,
    rows: Rows = None,
    inputs: Inputs = None,
    size: Size = None,
    seed: Seed = 0,
    seconds: Seconds = 2.0,
    custom_ops: CustomOps = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Time two models side by side, interleaved."""
    from . import compare

    trials = _trials(provider, threads, inputs, size, seed, None, None, seconds, custom_ops)
    benches = compare.bench(original, changed, trials=trials, rows=rows)
    _show(quiet, as_json, lambda: [b.to_dict() for b in benches], lambda report: report.timings(benches))


@app.command()
def inspect(
    model: Input,
    device: Device = "auto",
    everything: All = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show what every linear is like: its blocks, and how far it is from having any."""
    from . import pipeline

    with _progress(quiet or as_json) as progress:
        chosen = pipeline.plan(model, provider="cpu", progress=progress, device=device)
    _show(quiet, as_json, lambda: json.loads(chosen.dumps()), lambda report: report.inspection(chosen, everything))


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
) -> None:
    """Show the states of one weight: components, layers, SCCs, and the permutation that brings out its blocks."""
    from . import states as states_
    from . import structure_report
    from .picture import check_picture

    options: dict[str, Any] = {"engine": engine, "device": device, "order": order}
    drawn = {path: check_picture(path) for path in picture or []}
    to_terminal = dot is not None and str(dot) == "-"
    if to_terminal and as_json:
        raise typer.BadParameter("--dot - and --json both print to the terminal; choose one", param_hint="--dot")
    weight = _weight(source, everything)
    _refuse_outputs([*drawn, *([dot] if dot and not to_terminal else [])], weight.files, overwrite)
    if states_.is_oversized(weight, cast("Any", scope)) and dot is None and not drawn:
        summary = structure_report.summarize_operator(weight, threshold)
        _show(
            quiet,
            as_json,
            lambda: structure_report.oversized_dict(summary, weight.name),
            lambda _: structure_report.oversized_view(summary, weight.name),
        )
        return
    states = states_.states_of(weight, scope=cast("Any", scope), paper=paper, threshold=threshold)
    found = states_.find(states, **options)
    first = int(from_one)
    made: dict[Path, bytes] = {}  # all of it before any of it is written
    if dot is not None:
        from .dot import dot as to_dot

        made[dot] = to_dot(found, states, first).encode()
    for path, suffix in drawn.items():
        from .picture import picture as draw

        made[path] = draw(found, states, suffix, first)
    if to_terminal and dot is not None:
        typer.echo(made.pop(dot).decode(), nl=False)
    _write(made, overwrite)
    _show(
        quiet or to_terminal,
        as_json,
        lambda: structure_report.to_dict(found, states, first),
        lambda _: structure_report.structure_view(found, states, first, everything),
    )


def _weight(source: str, everything: bool) -> Weight:
    """The weight to look at; where there are several, they are listed and the exit status is 2."""
    from .weight_source import AmbiguousError, read_weight

    try:
        return read_weight(source)
    except AmbiguousError as error:
        typer.echo(f"error: {error}", err=True)
        shown = error.choices if everything else error.choices[:CHOICES]
        for name, shape in shown:
            typer.echo(f"  {name}  {shape}", err=True)
        if len(shown) < len(error.choices):
            typer.echo(f"  … and {len(error.choices) - len(shown)} more (--all shows them)", err=True)
        raise typer.Exit(2) from None


def _refuse_outputs(outputs: list[Path], inputs: Sequence[Path], overwrite: bool) -> None:
    """Everything that can be said against the outputs, before anything is computed."""
    from ..ir.store import refuse_output

    for index, path in enumerate(outputs):
        refuse_output(path, inputs, overwrite)
        if path.resolve() in [other.resolve() for other in outputs[:index]]:
            raise ScissionError(f"{path}: is given as an output twice; choose another name for one of them")


def _trials(
    provider: str,
    threads: int | None,
    inputs: Path | None,
    size: list[str] | None,
    seed: int,
    rtol: float | None,
    atol: float | None,
    seconds: float,
    custom_ops: list[Path] | None,
) -> Trials:
    from .compare import Trials

    if provider not in ("auto", "cpu", "cuda"):
        raise typer.BadParameter(f"{provider!r} is none of auto, cpu, cuda", param_hint="--provider")
    return Trials(
        provider=cast("Choice", provider),
        threads=threads,
        inputs=inputs,
        sizes=dict(map(_size, size or [])),
        seed=seed,
        rtol=rtol,
        atol=atol,
        seconds=seconds,
        custom_ops=tuple(custom_ops or ()),
    )


def _size(text: str) -> tuple[str, int]:
    name, sign, number = text.rpartition("=")
    if not sign or not number.isdecimal() or len(number) > 12 or int(number) < 1:
        raise typer.BadParameter(f"{text!r} is not NAME=N with N at least 1", param_hint="--size")
    return name, int(number)


def _refuse_input(output: Path, source: Path | None) -> None:
    """An input file is never written to, not even with --overwrite."""
    from ..ir.store import refuse_output

    refuse_output(output, [source] if source is not None else [], True)


def _write(files: Mapping[Path, bytes], overwrite: bool) -> None:
    """Write small files, each whole or none of them."""
    from ..ir.store import refuse_output

    staged: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in files.items():
            refuse_output(path, [], overwrite)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".scission.")
            staged[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            mask = os.umask(0)
            os.umask(mask)
            staged[path].chmod(0o666 & ~mask)  # as a file that is opened for writing has it
        for path in files:
            staged[path].replace(path)
    except OSError as error:
        raise ScissionError(f"{path}: {error.strerror}; nothing was written") from None
    finally:
        for left in staged.values():
            left.unlink(missing_ok=True)


def _show(quiet: bool, as_json: bool, data: Callable[[], Any], view: Callable[[Any], Any]) -> None:
    if as_json:
        typer.echo(json.dumps(data(), indent=1))
    elif not quiet:
        from . import report

        report.console().print(view(report))


@contextmanager
def _progress(quiet: bool) -> Iterator[Progress | None]:
    """A progress bar on the terminal, for work that takes longer than a moment."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    started = time.monotonic()
    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("analysing", total=None, visible=False)

        def advance(done: int, total: int, node: str) -> None:
            bar.update(task, completed=done, total=total, description=node, visible=time.monotonic() - started > 0.5)

        yield advance


def main() -> None:
    """Run the command line; every expected error is one line on stderr and exit status 2."""
    if sys.stderr is None:  # closed by the caller
        sys.stderr = io.StringIO()
    for stream in (sys.stdout, sys.stderr):  # a name that this locale cannot show is no reason to fail
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    logging.getLogger("onnx_ir").setLevel(logging.CRITICAL)  # what matters of it comes back as our own message
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # whoever read our output has seen enough; 1 would say "failed"
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that temporary files go
    try:
        app()
    except ScissionError as error:
        typer.echo("error: " + " ".join(str(error).splitlines()), err=True)
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
