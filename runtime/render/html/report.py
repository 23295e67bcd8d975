"""A report on a model and its rewrite, everything in one HTML file: what is gathered for it, and its verdict."""

from __future__ import annotations

import datetime
import hashlib
import os
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ....ir.files.reading import DATA, open_file
from ....ir.findings.difference import Difference
from ....ir.findings.inspection import Inspected
from ....ir.findings.recording import RecordingObstacle
from ....ir.io.load import Model, Source, load
from ....ir.io.save import files_read, refuse_output
from ....ir.phase import phase
from ....ir.plan.plan import Decomposition, Plan, require_plan
from ....ir.progress import Progress
from ....ir.provenance import PLAN
from ....ir.staging.folder import temporary_folder
from ....passes.decompose.recurrent import RecurrentAnalysis
from ....passes.diff.differences import differences
from ....passes.diff.totals import census
from ....passes.planning.analysis import Analysis
from ....passes.planning.inspect import inspect_model, row_of, scopes_of
from ....passes.rewrite.preparations import prepared
from ....passes.rewrite.prepare import planned_view
from ....passes.rewrite.static.obstacles import recording_obstacles
from ....passes.rewrite.verification.same_model import require_same_model
from ...compare import compare
from ...fields import chosen, keywords
from ...ort.trials import Trials
from ...ort.validity import require_valid
from ...pipeline.apply import apply
from ...pipeline.options import PlanOptions, ReportKeywords, ReportOptions, agreed, refuse_shaping, with_inputs_of
from ...renamed import renamed
from .document import About, FileFact, Report
from .linear_section import drawable, finest, portraits
from .products import products, written_weights

if TYPE_CHECKING:
    from ...measure.bench import Bench

__all__ = ["report"]

PIECE = 1 << 20  # bytes that are hashed at a time


@phase("report")
@renamed(rows="batch")
@keywords(PlanOptions, ReportOptions)
def report(
    model: Source,
    changed: Source | None = None,
    output: str | os.PathLike[str] | None = None,
    options: PlanOptions | None = None,
    *,
    further: ReportOptions | None = None,
    plan: Plan | None = None,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[ReportKeywords],
) -> Report:
    """Gather everything that there is to tell of a model and of what scission made of it, and write it as one page.

    changed: the rewritten model; without it the plan says what would be done. output: an .html file that needs no
    other; without it nothing is written, and `Report.html` makes it. Each field of PlanOptions and ReportOptions may be
    given as a keyword of its own, which goes before the one in `options` or `further`: those of `plan`, for the plan
    that is told of; check, bench, compare and time the two models, by default where `changed` is given, and asked for
    without it the plan is carried out in a temporary folder; overwrite, replace an output that exists; command, the
    line that makes the report again. plan: the one that was carried out, where it is at hand; else it is made again.
    trials: how the models are run; progress: called with (done, total, what). Raises PlanError for a plan that is none
    or of another model, OptionError for options that cannot be, or that say how to plan beside a plan, ModelError when
    a model cannot be read or the output exists and `overwrite` is false, and what `plan`, `check` and `bench` raise.
    """
    plan = None if plan is None else require_plan(plan)
    options, trials = agreed(chosen(PlanOptions, options, single), trials)
    further = chosen(ReportOptions, further, single)
    if plan is not None:
        refuse_shaping(options)
    target = Path(output) if output is not None else None
    loaded = _loaded(model, changed, target, trials, further.overwrite)
    options, trials = with_inputs_of(loaded, options, trials)
    groups: dict[str, Decomposition] = {}
    found = _told(loaded, plan, options, groups, progress)
    wanted = [changed is not None if one is None else one for one in (further.check, further.bench)]
    with _result(loaded, found.plan, changed, any(wanted)) as other:
        after = load(other) if other is not None else None
        verdict = compare.check(model, other, trials=trials, progress=progress) if other and wanted[0] else None
        timed = _timed(model, other, trials, options.batches, progress) if other and wanted[1] else ((), "")
        made = _gathered(
            loaded,
            after,
            found,
            trials,
            given=changed is not None,
            timed=timed,
            portraits=portraits(loaded, found, groups, progress),
            verdict=verdict,
            command=_command(model, changed, target) if further.command is None else further.command,
        )
    if target is not None:
        from ....ir.io.files import write

        with phase("page"):
            write({target: made.html().encode()}, further.overwrite)
    return made


def _loaded(model: Source, changed: Source | None, target: Path | None, trials: Trials, overwrite: bool) -> Model:
    """The original, once it is clear that the page is written over nothing that is read."""
    given = (trials.inputs, trials.inputs_file, *trials.custom_ops)
    if target is not None:
        refuse_output(target, _paths(model, changed, *given), overwrite)
    loaded = load(model)
    require_valid(loaded, model, trials.custom_ops)
    if target is not None:
        other = load(changed) if changed is not None else None
        refuse_output(target, files_read(loaded, other, *given), overwrite)
    return loaded


def _paths(*given: Any) -> list[Path]:
    """The files among what was given."""
    return [Path(one) for one in given if isinstance(one, (str, os.PathLike))]


def _gathered(
    loaded: Model,
    after: Model | None,
    found: Inspected,
    trials: Trials,
    *,
    given: bool,
    timed: tuple[tuple[Bench, ...], str],
    **rest: Any,
) -> Report:
    """The report; given: whether the rewritten model is one that the user has; rest: fields of the report."""
    from .... import __version__
    from ...ort.environment import machine

    rewritten = after if given else None
    return Report(
        about=_about(loaded),
        changed=rewritten.name if rewritten is not None else "",
        carried_out=rewritten.graph.metadata_props.get(PLAN, "") if rewritten is not None else "",
        found=found,
        benches=timed[0],
        untimed=timed[1],
        difference=_difference(loaded, after) if after is not None else None,
        files=(*_files("original", loaded), *(_files("rewritten", rewritten) if rewritten is not None else ())),
        machine=machine(trials.provider),
        version=__version__,
        recording=_recording(loaded, found.plan),
        products=products(loaded, found.plan),
        written=written_weights(loaded, found.plan),
        made=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **rest,
    )


def _recording(model: Model, plan: Plan) -> tuple[RecordingObstacle, ...]:
    """What keeps the prepared model from being recorded as a CUDA graph, where it is planned for CUDA."""
    return recording_obstacles(prepared(model.graph, plan.preparations)) if plan.provider == "cuda" else ()


def _told(
    model: Model,
    plan: Plan | None,
    options: PlanOptions,
    groups: dict[str, Decomposition],
    progress: Progress | None,
) -> Inspected:
    """A row for each linear with the plan that is given, or one that is made now; groups: takes what each linear comes
    apart into, as it is seen on the way."""

    def keep(node: str, seen: Analysis | RecurrentAnalysis) -> None:
        if (found := finest(seen)) is not None:
            groups[node] = found

    if plan is None:
        return inspect_model(
            model, options.settings(model), sized=options.sized(model), progress=progress, observe=keep
        )
    require_same_model(model.graph, plan, planned_view(model.graph, drawable(plan)).found)
    scope = scopes_of(model, plan)
    shares = {step.node: step.decomposition.mac_share if step.decomposition.blocks else 1.0 for step in plan.steps}
    told = tuple(row_of(step, scope[step.node], shares[step.node], None) for step in plan.steps)
    return Inspected(plan=plan, rows=told)


@contextmanager
def _result(model: Model, plan: Plan, changed: Source | None, wanted: bool) -> Iterator[Source | None]:
    """The model to compare with: the one given, else what the plan makes where that is wanted and it makes anything."""
    if changed is not None or not wanted or not plan.changes:
        yield changed
        return
    if model.path is None:
        yield apply(model.graph, plan)
        return
    with temporary_folder() as folder:
        path = folder / model.path.name
        apply(model.path, plan, path)
        yield path


def _timed(
    model: Source, other: Source, trials: Trials, batch: Sequence[int] | None, progress: Progress | None
) -> tuple[tuple[Bench, ...], str]:
    """The benches, or none and why where ONNX Runtime has no kernel: what does not run here can still be told of."""
    from ...ort.library import SessionError
    from ...ort.messages import lacks_kernel

    batch = batch if trials.inputs is None else None  # real inputs have sizes of their own
    try:
        return compare.bench(model, other, trials=trials, batch=batch, progress=progress), ""
    except SessionError as error:
        if not lacks_kernel(error):
            raise
        return (), "not timed: ONNX Runtime has no kernel for it here"


@phase("difference")
def _difference(before: Model, after: Model) -> Difference:
    return differences(before, after)


def _about(model: Model) -> About:
    graph = model.graph
    return About(
        name=model.name,
        producer=" ".join(text for text in (graph.producer_name, graph.producer_version) if text),
        ir_version=graph.ir_version,
        opsets=tuple((domain or "ai.onnx", version) for domain, version in graph.opset_imports.items()),
        inputs=tuple(_value(value) for value in graph.graph.inputs if value.const_value is None),
        outputs=tuple(_value(value) for value in graph.graph.outputs),
        totals=census(graph),
    )


def _value(value: Any) -> str:
    shape = "?" if value.shape is None else ", ".join(str(getattr(dim, "value", dim) or "?") for dim in value.shape)
    kind = value.dtype.name.lower() if value.dtype is not None else str(value.type)
    return f"{value.name}: {kind}[{shape}]"


def _files(role: str, model: Model) -> Iterator[FileFact]:
    for path in [*([model.path] if model.path is not None else []), *model.data_files()]:
        what = role if path == model.path else f"{role}, external data"
        yield FileFact(role=what, name=path.name, bytes_=path.stat().st_size, sha256=_sha256(path))


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open_file(path, DATA) as file:
        while piece := file.read(PIECE):
            digest.update(piece)
    return digest.hexdigest()


def _command(model: Source, changed: Source | None, target: Path | None) -> str:
    """The line for models that lie in files, with the settings that it has without options."""
    if not (given := _paths(model, changed)):
        return ""
    return shlex.join(["scission", "report", *map(str, given), "-o", str(target or "report.html")])
