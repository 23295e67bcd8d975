"""The top of the pipeline: load, plan, rewrite, check, bench, and keep what is proved and faster."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import onnx

from ...ir.brief import brief
from ...ir.errors import Remedy, ScissionError
from ...ir.graph.sizes import Setting
from ...ir.io.external import data_file
from ...ir.io.load import Model, Source, load
from ...ir.io.save import Staged, refuse_output, save, save_copy, stage, to_proto
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.grain import Grain
from ...ir.plan.plan import Plan, PlanError
from ...ir.plan.wanted import Wanted
from ...ir.plural import counted
from ...passes.planning.planner import OWN, Progress, make_plan
from ...passes.rewrite.rewrite import anneal as without
from ...passes.rewrite.rewrite import rewrite
from ..compare import compare
from ..inputs.settings import settings_of
from ..measure.comparison import Speed
from ..ort.opened import as_file
from ..ort.trials import Trials
from ..renamed import renamed
from ..render.words import why_nothing
from .judgement import judge_speed, speed_of

if TYPE_CHECKING:
    from ..calibrate.budget_search import Selection
    from ..calibrate.dataset import Labelled
    from ..calibrate.metric.metric import Budget
    from ..calibrate.prepare import Annealer
    from ..compare.check import Verdict
    from ..measure.bench import Bench
    from ..tune.fallback import Fallback
    from ..tune.tune import Tuned

__all__ = ["Result", "apply", "optimize", "plan", "tuned_plan"]

Lowerings: TypeAlias = "str | Sequence[str] | None"
Out: TypeAlias = "Path | bytes | onnx.ModelProto | ir.Model"
Planner: TypeAlias = "Callable[[Model], tuple[Plan, Tuned | None]]"
ROOM = 1 << 12  # bytes that the nodes of blocks may take beside their weights before a file counts as larger


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What `optimize` did. outcome: 'split', 'unchanged' (nothing to gain, or no difference was measurable and no gain
    is predicted), 'slower' (clearly, original kept) or 'failed' (the check failed, nothing written); model: the
    optimised model in the form that the original came in; selection: what was annealed and with what measured effect,
    where that was asked for; tuned: what was measured of each unit of the plan, where that was asked for; fallbacks:
    units that went back to dense because the model was slower with them. The verdict compares the annealed model with
    the split one: annealing itself is judged by its metric."""

    outcome: str
    reason: str
    plan: Plan
    verdict: Verdict | None = None
    benches: tuple[Bench, ...] = ()
    written: tuple[Path, ...] = ()
    model: Any = None
    selection: Selection | None = None
    tuned: Tuned | None = None
    fallbacks: tuple[Fallback, ...] = ()

    __repr__ = brief

    @property
    def ok(self) -> bool:
        """Whether the output can be used: everything but a failed check."""
        return self.outcome != "failed"

    @property
    def speed(self) -> Speed | None:
        """What the benches show together, None where nothing was timed."""
        return speed_of(self.benches)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the plan as `Plan.dumps` writes it."""
        import json

        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "written": [str(path) for path in self.written],
            "check": self.verdict.to_dict() if self.verdict else None,
            "speed": self.speed.value if self.speed else None,
            "bench": [bench.to_dict() for bench in self.benches],
            "fallbacks": [fallback.to_dict() for fallback in self.fallbacks],
            **({"annealing": self.selection.to_dict()} if self.selection else {}),
            **({"tuning": self.tuned.to_dict()} if self.tuned else {}),
            "plan": json.loads(self.plan.dumps()),
        }


@renamed(rows="batch")
def plan(
    model: Source,
    *,
    provider: str = "auto",
    batch: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    device: str = "auto",
    anneal: Annealer | str | None = None,
    regions: bool = True,
    tune: bool = False,
    cache: bool = True,
    custom_ops: Sequence[Path] = (),
    granularity: int | None = None,
    parts: int | None = None,
    lowering: Lowerings = None,
) -> Plan:
    """Find the blocks of every linear of a model and choose what to do with each; changes nothing.

    provider: 'auto', 'cpu' or 'cuda', whose costs are predicted; batch: sizes of the leading open dimension of the
    inputs to predict for, without it 1, 16 and 256 positions over all open dimensions; sizes: of other open dimensions,
    by name; threads: that will run it, all cores by default; force: split whatever splits, also where that is slower,
    each block by itself; device: that weights are analysed on, 'cpu', 'cuda' or 'auto', which is CUDA for large models
    where torch has it: the plan is the same; anneal: remove weights that learning did not confirm before anything is
    split, which is lossy and here neither measured nor bounded: `optimize` does that; regions: split linears together
    where that gains more, and put the features of inner streams in the order of the blocks, else each linear is taken
    alone; tune: measure the ways to split each operator here and keep the fastest, see `tune`; cache: whether that
    takes what was measured before; granularity: features of the widest block; parts: number of groups of blocks, even
    in multiply-adds; lowering: a way such as 'scatternd' that every linear is to have whatever it costs, 'NODE=split'
    for one, or several of these; custom_ops: libraries of custom operators that the model needs. Raises ModelError when
    the model cannot be read or nothing takes it, PlanError for a lowering or a node that is none, DeviceError when
    there is no such device, SessionError where tuning cannot run anything, InputError for sizes of what is not open,
    and for annealing what `prepare` raises.
    """
    loaded = _valid(model, custom_ops)
    trials = Trials(custom_ops=tuple(custom_ops), sizes=sizes)
    asked = _asked(granularity, parts, lowering)
    settings = settings_of(loaded, batch, sizes)
    options = (provider, batch, settings, threads, force, progress, device, regions, *asked)
    return _planned(loaded, options, anneal, tune, cache, trials)[0]


@renamed(rows="batch")
def tuned_plan(
    model: Source,
    *,
    provider: str = "auto",
    batch: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    device: str = "auto",
    anneal: Annealer | str | None = None,
    regions: bool = True,
    cache: bool = True,
    trials: Trials | None = None,
    granularity: int | None = None,
    parts: int | None = None,
    lowering: Lowerings = None,
) -> Tuned:
    """A tuned plan, and what was measured for it; as `plan` with `tune`. trials: sizes, seed and tolerance."""
    trials = trials or Trials()
    trials = trials if sizes is None else replace(trials, sizes=sizes)
    loaded = _valid(model, trials.custom_ops)
    asked = _asked(granularity, parts, lowering)
    settings = settings_of(loaded, batch, trials.sizes)
    options = (provider, batch, settings, threads, force, progress, device, regions, *asked)
    chosen, found = _planned(loaded, options, anneal, True, cache, trials)
    assert found is not None
    return replace(found, plan=chosen)


def _valid(model: Source, custom_ops: Sequence[Path] = ()) -> Model:
    """The model, which something must run; raises ModelError where nothing does."""
    from ..ort.validity import require_valid

    loaded = load(model)
    require_valid(loaded, model, custom_ops)
    return loaded


def _planned(
    loaded: Model,
    options: tuple[Any, ...],
    anneal: Annealer | str | None,
    tune: bool,
    cache: bool,
    trials: Trials | None = None,
) -> tuple[Plan, Tuned | None]:
    """A plan, and what was measured for it where it is tuned."""
    provider, _, _, threads, _, progress, *_ = options
    if tune:
        from ..ort.session import require_provider

        require_provider(provider, loaded.name)
    own = replace(trials or Trials(), provider=provider, threads=threads)
    planned = _planner(loaded, options, own if tune else None, cache)
    if anneal is None:
        return planned(loaded)
    from ...passes.anneal.model import anneal_model
    from ..calibrate.budget_search import NO_GAIN
    from ..calibrate.prepare import AnnealOptionsError, as_annealer, prepare

    anneal = as_annealer(anneal)
    if anneal.needs_data:
        raise AnnealOptionsError("a plan knows no data: refit, veto and exposed belong to `optimize`, with data")
    decided = anneal_model(loaded, prepare(loaded, anneal).settings, progress)
    why = {one.node: one.reason for one in decided.found if one.reason}
    chosen = decided.annealing
    while True:
        left = _without(loaded, without(loaded.graph, chosen)) if chosen else loaded
        found, tuned = planned(left)
        split = {step.node for step in found.rewrites}
        why |= {one.node: NO_GAIN for one in chosen if one.node not in split}
        if all(one.node in split for one in chosen):
            break
        chosen = tuple(one for one in chosen if one.node in split)  # the others would lose weights for nothing
    steps = [
        replace(step, reason=f"not annealed: {why[step.node]}; as it is: {step.reason}") if step.node in why else step
        for step in found.steps
    ]
    return replace(found, steps=tuple(steps), annealing=chosen), tuned


def _planner(loaded: Model, options: tuple[Any, ...], trials: Trials | None, cache: bool) -> Planner:
    """What plans a model whose weights may still lie in the file of `loaded`, and tunes it where there are trials."""

    def planned(model: Model) -> tuple[Plan, Tuned | None]:
        chosen = _plan(model, *options)
        if trials is None:
            return chosen, None
        from ..tune.tune import tune

        _, batch, _, _, force, progress, *_, wanted = options
        home = _at_home(loaded, model)
        with phase("tune"):
            found = tune(home, chosen, trials, batch, cache=cache, force=force or bool(wanted), progress=progress)
        return found.plan, found

    return planned


def _at_home(loaded: Model, exact: Model) -> Model:
    """The same model, with the file that its weights are read from."""
    return Model(graph=exact.graph, name=exact.name, path=loaded.path)


def _without(model: Model, graph: ir.Model) -> Model:
    """The same model with another graph, which has no file of its own."""
    return Model(graph=graph, name=model.name, kept=model.kept)


def _plan(
    model: Model,
    provider: str,
    batch: Sequence[int] | None,
    sized: Callable[[], tuple[Setting, ...]],
    threads: int | None,
    force: bool,
    progress: Progress | None,
    device: str,
    regions: bool,
    grain: Grain,
    wanted: Wanted,
) -> Plan:
    return make_plan(
        model,
        provider=resolve(provider),
        batch=batch,
        sized=sized,
        threads=threads or os.cpu_count() or 1,
        force=force,
        progress=progress,
        device=device,
        regions=regions,
        grain=grain,
        wanted=wanted,
    )


def _asked(granularity: int | None, parts: int | None, lowering: Lowerings) -> tuple[Grain, Wanted]:
    """What is asked for and not left to prices; raises PlanError where that contradicts itself, or is unknown."""
    texts = [lowering] if isinstance(lowering, str) else list(lowering or ())
    return Grain(granularity=granularity, parts=parts), Wanted.of(*texts)


def resolve(provider: str) -> str:
    """'cpu' or 'cuda' for 'auto', without waking ONNX Runtime where there is no NVIDIA driver anyway."""
    if provider in ("cpu", "cuda"):
        return provider
    if provider != "auto":
        raise ScissionError(f"provider {provider!r} is none of auto, cpu, cuda")
    if os.name == "posix" and not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists():
        return "cpu"
    from ..ort.session import cuda_problem

    return "cpu" if cuda_problem() else "cuda"


@overload
def apply(
    model: Source,
    plan: Plan,
    output: str | os.PathLike[str],
    *,
    overwrite: bool = ...,
    custom_ops: Sequence[Path] = ...,
) -> Path: ...
@overload
def apply(
    model: bytes, plan: Plan, output: None = None, *, overwrite: bool = ..., custom_ops: Sequence[Path] = ...
) -> bytes: ...
@overload
def apply(
    model: onnx.ModelProto, plan: Plan, output: None = None, *, overwrite: bool = ..., custom_ops: Sequence[Path] = ...
) -> onnx.ModelProto: ...
@overload
def apply(
    model: ir.Model, plan: Plan, output: None = None, *, overwrite: bool = ..., custom_ops: Sequence[Path] = ...
) -> ir.Model: ...
def apply(
    model: Source,
    plan: Plan,
    output: str | os.PathLike[str] | None = None,
    *,
    overwrite: bool = False,
    custom_ops: Sequence[Path] = (),
) -> Out:
    """Carry out a plan. A model given as bytes, ModelProto or onnx_ir.Model comes back as the same; one given as a
    path is written to `output`, which is returned.

    custom_ops: libraries of custom operators that the model needs. With nothing to rewrite the result is the original,
    byte for byte. Raises PlanError when the plan was made for other weights, ModelError when nothing takes the model,
    or the output exists or cannot be written.
    """
    if not isinstance(plan, Plan):
        raise PlanError(f"a plan is wanted, not a {type(plan).__name__}; read a file of one with scission.Plan.loads")
    loaded = _valid(model, custom_ops)
    changed = rewrite(loaded.graph, plan) if plan.rewrites or plan.annealing else None
    if loaded.path is not None or output is not None:
        if output is None:
            raise ValueError("a model given as a path needs an output path")
        _refuse_inputs(Path(output), [Path(library) for library in custom_ops])
        return _write(model, loaded, changed, Path(output), overwrite)[0]
    return _as_given(model, loaded, changed)


def _refuse_inputs(output: Path, sources: Sequence[Path]) -> None:
    """Raise ModelError where a model or its data would be written over what it is made from, even with `overwrite`."""
    for path in (output, data_file(output)) if sources else ():
        refuse_output(path, sources, True, output)


def _write(source: Source, model: Model, changed: ir.Model | None, output: Path, overwrite: bool) -> list[Path]:
    """Write the changed model, or the original byte for byte."""
    if changed is None and model.path is not None:
        return save_copy(model, output, overwrite)
    with stage(model, changed or model.graph.clone(), output, overwrite) as staged:
        if changed is None and isinstance(source, (bytes, onnx.ModelProto)):
            staged.path.write_bytes(source if isinstance(source, bytes) else source.SerializeToString())
        return staged.publish()


def _as_given(source: Source, model: Model, changed: ir.Model | None) -> Out:
    """The result in the form of the source: itself where nothing changed."""
    if changed is None:
        return source if not isinstance(source, (str, os.PathLike)) else Path(source)
    if not isinstance(source, (bytes, onnx.ModelProto)):
        return changed
    proto = to_proto(model, changed)
    return proto.SerializeToString() if isinstance(source, bytes) else proto


@renamed(rows="batch")
def optimize(
    model: Source,
    output: str | os.PathLike[str] | None = None,
    *,
    batch: Sequence[int] | None = None,
    force: bool = False,
    check: bool = True,
    bench: bool = True,
    overwrite: bool = False,
    trials: Trials | None = None,
    progress: Progress | None = None,
    device: str = "auto",
    anneal: Annealer | str | None = None,
    data: Labelled | Mapping[str, Any] | str | os.PathLike[str] | None = None,
    labels: Any = None,
    max_drop: str | None = None,
    regions: bool = True,
    tune: bool = False,
    cache: bool = True,
    granularity: int | None = None,
    parts: int | None = None,
    lowering: Lowerings = None,
) -> Result:
    """plan + apply + check + bench: split what pays, prove it equal, measure it, and keep the faster model.

    Where the split model is measured slower than the original and `force` is false, the units of the plan are measured
    one by one and the slow ones go back to dense, `Result.fallbacks`, until the model is as fast as what came in. The
    output is the original, byte for byte, when nothing splits, or when none of that helps; nothing is written when the
    check fails. A model given as a path needs `output`; others come back in `Result.model`, as what they came in.
    device, regions, tune, cache, granularity, parts, lowering: as in `plan`.

    anneal: how to remove weights that learning did not confirm, off by default because it is lossy; then `max_drop`,
    such as 'argmax<=0.01', bounds what the task metric may lose on `data` (with `labels`), see `select`. Raises
    ModelError, SessionError, InputError and DeviceError for bad input, and what `select` raises.
    """
    trials = trials or Trials()
    loaded = _valid(model, trials.custom_ops)
    if loaded.path is not None and output is None:
        raise ValueError("a model given as a path needs an output path")
    from ..ort.session import require_provider

    require_provider(trials.provider, loaded.name)
    if anneal is not None:
        from ..calibrate.prepare import as_annealer

        anneal = as_annealer(anneal)
    target = Path(output) if output is not None else None
    given = (data, labels, trials.inputs, anneal.initial if anneal is not None else None, *trials.custom_ops)
    sources = [Path(path) for path in given if isinstance(path, (str, os.PathLike))]
    if target is not None:
        models = [path for path in sources if path.suffix.lower() == ".onnx"]  # an initial checkpoint may be one
        sources += [file for path in models for file in load(path).data_files()]
        _refuse_inputs(target, sources)
    asked = _asked(granularity, parts, lowering)
    settings = settings_of(loaded, batch, trials.sizes)
    options = (trials.provider, batch, settings, trials.threads, force, progress, device, regions, *asked)
    planned = _planner(loaded, options, trials if tune else None, cache)
    selection, exact, lossy = None, loaded, None
    if anneal is not None:
        lossy, selection, exact, (chosen, tuned) = _annealed(
            loaded, anneal, data, labels, max_drop, trials, planned, progress
        )
    else:
        chosen, tuned = planned(exact)
    if not chosen.rewrites:
        written = _write(model, loaded, None, target, overwrite) if target else []
        back = _as_given(model, loaded, None)
        return Result(
            outcome="unchanged",
            reason=_nothing(chosen, selection, "measured" if tuned else "predicted"),
            plan=chosen,
            written=tuple(written),
            model=target if loaded.path else back,
            selection=selection,
            tuned=tuned,
        )
    kept = force or bool(asked[1])
    attempt = _Attempt(model, loaded, target, overwrite, trials, batch, check, bench, kept, tune, progress)
    tried = attempt.run(exact, chosen)
    refused = ""
    if tried.outcome == "failed" and (chosen.joints or chosen.reorderings):
        # Sums are rounded in another order there, which an ArgMax over equal votes may show.
        alone = _planner(loaded, (*options[:-3], False, *asked), trials if tune else None, cache)
        other, measured = alone(exact)
        again = attempt.run(exact, other) if other.rewrites else None
        if again is not None and again.outcome != "failed":
            refused = f"; operators are split one by one, since together they failed the check: {tried.reason}"
            tried, chosen, tuned = again, other, measured
    fallbacks: tuple[Fallback, ...] = ()
    if tried.outcome == "slower":
        later = _fallen_back(attempt, exact, chosen, selection, lossy)
        if later is not None:
            tried, selection, exact, chosen, fallbacks = later
    if selection is not None and selection.chosen:
        chosen = replace(chosen, annealing=selection.annealing, effect=selection.effect)
    outcome, reason = tried.outcome, tried.reason
    if fallbacks:
        reason += f"; {len(fallbacks)} went back to dense, with which the model was slower than the original"
    reason += refused
    reason += growth(loaded, tried.written)
    written = list(tried.written)
    if selection is not None and selection.chosen and outcome != "split":  # what is handed back has all its weights
        why = f"annealed and split ({selection.effect}) it was not kept: {reason}"
        selection = replace(selection, chosen=(), held_back=None, tuning=None, reason=why)
        chosen = replace(chosen, annealing=(), effect="")
    if target and outcome in ("slower", "unchanged"):
        written = _write(model, loaded, None, target, overwrite)
    back = _as_given(model, loaded, tried.changed if outcome == "split" else None)
    return Result(
        outcome=outcome,
        reason=reason,
        plan=chosen,
        verdict=tried.verdict,
        benches=tried.benches,
        written=tuple(written),
        model=target if loaded.path and written else back,
        selection=selection,
        tuned=tuned,
        fallbacks=fallbacks,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tried:
    """A rewritten model that was run beside its original; written: where it is now, when it was kept."""

    outcome: str
    reason: str
    changed: ir.Model
    verdict: Verdict | None
    benches: tuple[Bench, ...]
    written: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How plans for one model are carried out, checked and timed."""

    source: Source
    loaded: Model
    target: Path | None
    overwrite: bool
    trials: Trials
    batch: Sequence[int] | None
    check: bool
    bench: bool
    force: bool
    tuned: bool
    progress: Progress | None

    def run(self, exact: Model, plan: Plan) -> _Tried:
        """Rewrite the annealed model, prove it equal, time it beside the original, and write it when it is kept."""
        from ..compare.evaluator import REFERENCE, UnprovableError, lacks_kernel
        from ..ort.session import SessionError  # needed only where something is run

        changed = rewrite(exact.graph, plan)
        verdict: Verdict | None = None
        benches: tuple[Bench, ...] = ()
        with _staged(self.loaded, changed, self.target, self.overwrite) as staged:
            original = self.loaded.path or self.source
            try:
                if self.check:
                    with _beside(self.loaded, exact) as annealed:
                        verdict = compare.check(
                            annealed or original, staged.path, trials=self.trials, progress=self.progress
                        )
                on_runtime = verdict is None or verdict.provider != REFERENCE
                if self.bench and on_runtime and (verdict is None or not verdict.different):
                    benches = compare.bench(
                        original, staged.path, trials=self.trials, batch=self.batch, progress=self.progress
                    )
                outcome, reason = _judge(plan, verdict, benches, self.force, self.tuned)
            except UnprovableError as error:
                outcome, reason = "unchanged", str(error)
            except SessionError as error:
                if lacks_kernel(error) and not self.check:
                    untimed = Remedy("bench=False", "--no-bench")
                    raise SessionError(*error.parts, "; nothing can be timed here: add ", untimed) from error
                refused = _refusal(original, staged.path, self.trials)
                if refused is None:
                    raise
                outcome, reason = "failed", refused
            written = staged.publish() if self.target and outcome == "split" else []
        return _Tried(
            outcome=outcome, reason=reason, changed=changed, verdict=verdict, benches=benches, written=tuple(written)
        )


def _fallen_back(
    attempt: _Attempt, exact: Model, plan: Plan, selection: Selection | None, lossy: _Lossy | None
) -> tuple[_Tried, Selection | None, Model, Plan, tuple[Fallback, ...]] | None:
    """The first plan with fewer units that is not slower than the original, or whose check failed; None for none."""
    from ..tune.fallback import ROUNDS, dropped, to_drop, unit_speeds

    together = {node for joint in plan.joints for node in joint.nodes}
    alone = [step for step in plan.rewrites if step.node not in together]
    if len(alone) + len(plan.joints) < 2:
        return None  # without its only unit it is the original
    home = _at_home(attempt.loaded, exact)
    speeds = unit_speeds(home, plan, attempt.trials, attempt.batch, progress=attempt.progress)
    gone: tuple[Fallback, ...] = ()
    for _ in range(ROUNDS):
        more = to_drop(speeds, gone)
        gone, plan = (*gone, *more), dropped(plan, more)
        if not plan.rewrites or not more:
            return None
        if lossy is not None and selection is not None:
            selection, exact, plan = lossy.settled(selection, exact, plan)
            if not plan.rewrites:
                return None
        tried = attempt.run(exact, plan)
        if tried.outcome != "slower":
            return tried, selection, exact, plan, gone
    return None


def _annealed(
    model: Model,
    anneal: Annealer,
    data: Labelled | Mapping[str, Any] | str | os.PathLike[str] | None,
    labels: Any,
    max_drop: str | None,
    trials: Trials,
    planned: Planner,
    progress: Progress | None,
) -> tuple[_Lossy, Selection, Model, tuple[Plan, Tuned | None]]:
    """What is annealed within the budget, the model without it, and its plan; only where the split that follows pays.

    Nothing is annealed without data and a bound on what it may cost.
    """
    from ..calibrate.budget_search import select
    from ..calibrate.dataset import Labelled
    from ..calibrate.level_sweep import read_data
    from ..calibrate.metric.metric import parse_budget
    from ..calibrate.prepare import AnnealOptionsError

    if data is None or max_drop is None:
        raise AnnealOptionsError(
            "annealing is lossy: give data to judge it by (",
            Remedy("data=…", "--data FILE.npz"),
            ") and how much the task may lose (",
            Remedy("max_drop='argmax<=0.01'", "--max-drop 'argmax<=0.01'"),
            "); ",
            Remedy("`scission.plan(model, anneal=…)`", "`scission plan --anneal`"),
            " shows what it would remove without either",
        )
    budget = parse_budget(max_drop)
    held = data if isinstance(data, Labelled) else read_data(model, data, labels)
    selection = select(model, anneal, held, budget, trials, progress)
    lossy = _Lossy(model, held, budget, anneal.seed, trials, planned)
    if not selection.chosen:
        return lossy, selection, model, planned(model)
    exact = lossy.exact(selection)
    found = planned(exact)
    useful = lossy.useful(selection, found[0])
    if useful is selection:
        return lossy, selection, exact, found
    exact = lossy.exact(useful)
    return lossy, useful, exact, planned(exact)


@dataclass(frozen=True, slots=True)
class _Lossy:
    """What annealing is judged by, so that it can be taken back where the split does not follow after all."""

    model: Model
    data: Labelled
    budget: Budget
    seed: int
    trials: Trials
    planned: Planner

    def exact(self, selection: Selection) -> Model:
        """The model without what the selection removes, which the split one must equal."""
        if not selection.chosen:
            return self.model
        kept = without(self.model.graph, selection.annealing, selection.refitted, effect=selection.effect)
        return _without(self.model, kept)

    def useful(self, selection: Selection, plan: Plan) -> Selection:
        """The selection without operators that the plan leaves dense: they would only lose."""
        from ..calibrate.budget_search import without_useless

        split = {step.node for step in plan.rewrites}
        return without_useless(self.model, selection, split, self.data, self.seed, self.budget, self.trials)

    def settled(self, selection: Selection, exact: Model, plan: Plan) -> tuple[Selection, Model, Plan]:
        """Selection, annealed model and plan after some operators went back to dense."""
        useful = self.useful(selection, plan)
        if useful is selection:
            return selection, exact, plan
        split = {step.node for step in plan.rewrites}
        if {c.annealing.node for c in useful.chosen} != {c.annealing.node for c in selection.chosen} & split:
            # Without them the budget does not hold, so nothing is annealed, and the plan is for other weights.
            dense = {step.node: step.reason for step in plan.steps if step.lowering == "dense"}
            plan, _ = self.planned(self.model)
            for step in plan.rewrites:
                if step.node in dense:
                    plan = plan.kept_dense([step.node], dense[step.node])
        return useful, self.exact(useful), plan


def _refusal(original: Source, changed: Path, trials: Trials) -> str | None:
    """What ONNX Runtime says against the rewritten model, when it takes the original; None when it takes both.

    Raises SessionError when it refuses the original, which is the input's fault and not the rewrite's.
    """
    from ..ort.session import SessionError, open_session

    options: Any = {"provider": trials.provider, "threads": trials.threads, "custom_ops": trials.custom_ops}
    try:
        open_session(changed, **options)
    except SessionError as error:
        with as_file(original, "original") as (path, _):
            open_session(path, **options)
        return f"ONNX Runtime takes the original and refuses the rewritten model ({error}); please report this"
    return None


def _judge(plan: Plan, verdict: Verdict | None, benches: Sequence[Bench], force: bool, tuned: bool) -> tuple[str, str]:
    """(outcome, reason) of a rewritten model that was run beside its original."""
    from ..compare.evaluator import REFERENCE

    if verdict is not None and verdict.different:
        return "failed", verdict.reason
    found = judge_speed(plan, () if force else benches, tuned=tuned)
    if not found.keep:
        return "slower" if found.speed is Speed.SLOWER else "unchanged", found.reason
    own = [step for step in plan.steps if step.reason != OWN]
    untimed = ""
    if verdict is not None and verdict.provider == REFERENCE:
        untimed = f"ONNX Runtime has no kernel for it here, so it was proved on {REFERENCE} and not timed"
    unproved = verdict.reason if verdict is not None and not verdict.shown else ""
    split = f"{len(plan.rewrites)} of {counted(len(own), 'operator')} split"
    return "split", "; ".join(filter(None, [split, unproved, found.reason, untimed]))


@contextmanager
def _beside(model: Model, exact: Model) -> Iterator[Path | None]:
    """The annealed model as a file, which the split one must equal; None where nothing was annealed."""
    if exact is model:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="scission.") as folder:
        path = Path(folder) / "annealed.onnx"
        save(model, exact.graph.clone(), path)
        yield path


@contextmanager
def _staged(model: Model, changed: ir.Model, target: Path | None, overwrite: bool) -> Iterator[Staged]:
    """The changed model beside its target, or in a temporary folder when it only goes back to the caller."""
    if target is not None:
        with stage(model, changed, target, overwrite) as staged:
            yield staged
        return
    with (
        tempfile.TemporaryDirectory(prefix="scission.") as folder,
        stage(model, changed.clone(), Path(folder) / "changed.onnx") as staged,
    ):
        yield staged


def grown(source: Path, output: Path) -> str:
    """The same of two files."""
    changed = load(output)
    return growth(load(source), [output, *changed.data_files()])


def growth(model: Model, written: Sequence[Path]) -> str:
    """What is to be said where the written files are larger than those of the model; '' where they are not."""
    if model.path is None or not written:
        return ""
    from ..render.words import megabytes

    before, after = (
        sum(path.stat().st_size for path in paths) for paths in ([model.path, *model.data_files()], written)
    )
    if after <= before + ROOM or megabytes(before) == megabytes(after):
        return ""
    return f"; the file grows from {megabytes(before)} to {megabytes(after)}: blocks hold more than it did"


def _nothing(plan: Plan, selection: Selection | None = None, how: str = "predicted") -> str:
    if selection is not None and not selection.chosen:
        return f"nothing was annealed: {selection.reason}"
    if selection is not None:
        count = len(selection.chosen)
        none = "it is not" if count == 1 else "none of them is"
        return f"{counted(count, 'operator')} could be annealed, but {none} {how} to gain, so nothing was removed"
    return why_nothing(plan, how)
