"""The top of the pipeline: load, plan, rewrite, check, bench, and keep what is proved and faster."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx

from ..ir.errors import ScissionError
from ..ir.model import Model, Source, load
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.plan import Plan
from ..ir.store import Staged, refuse_output, save, save_copy, stage, to_proto
from ..passes.planner import OWN, Progress, make_plan
from ..passes.rewrite import anneal as without
from ..passes.rewrite import rewrite
from . import compare
from .compare import Trials

if TYPE_CHECKING:
    from .annealer import Annealer
    from .bench import Bench
    from .equivalence import Verdict
    from .labelled import Labelled
    from .selection import Selection

__all__ = ["Result", "apply", "optimize", "plan"]

Out: TypeAlias = "Path | bytes | onnx.ModelProto | ir.Model"
LIMIT = 1.0  # a rewritten model that is measured slower than this many times the original is not kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What `optimize` did. outcome: 'split', 'unchanged' (nothing to gain), 'slower' (original kept) or 'failed' (the
    check failed, nothing written); model: the optimised model in the form that the original came in; selection: what
    was annealed and with what measured effect, where that was asked for. The verdict compares the annealed model with
    the split one: annealing itself is judged by its metric."""

    outcome: str
    reason: str
    plan: Plan
    verdict: Verdict | None = None
    benches: tuple[Bench, ...] = ()
    written: tuple[Path, ...] = ()
    model: Any = None
    selection: Selection | None = None

    @property
    def ok(self) -> bool:
        """Whether the output can be used: everything but a failed check."""
        return self.outcome != "failed"

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the plan as `Plan.dumps` writes it."""
        import json

        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "written": [str(path) for path in self.written],
            "check": self.verdict.to_dict() if self.verdict else None,
            "bench": [bench.to_dict() for bench in self.benches],
            **({"annealing": self.selection.to_dict()} if self.selection else {}),
            "plan": json.loads(self.plan.dumps()),
        }


def plan(
    model: Source,
    *,
    provider: str = "auto",
    rows: Sequence[int] | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    device: str = "auto",
    anneal: Annealer | str | None = None,
) -> Plan:
    """Find the blocks of every linear of a model and choose what to do with each; changes nothing.

    provider: 'auto', 'cpu' or 'cuda', whose costs are predicted; rows: activation rows to predict for; threads: that
    will run it, all cores by default; force: split whatever splits; device: that weights are analysed on, 'cpu',
    'cuda' or 'auto', which is CUDA for large models where torch has it: the plan is the same; anneal: remove weights
    that learning did not confirm before anything is split, which is lossy and here neither measured nor bounded:
    `optimize` does that. Raises ModelError when the model cannot be read, DeviceError when there is no such device,
    and for annealing what `prepare` raises.
    """
    loaded = load(model)
    if anneal is None:
        return _plan(loaded, provider, rows, threads, force, progress, device)
    from ..passes.anneal_model import anneal_model
    from .annealer import AnnealOptionsError, as_annealer, prepare
    from .selection import NO_GAIN

    anneal = as_annealer(anneal)
    if anneal.needs_data:
        raise AnnealOptionsError("a plan knows no data: refit, veto and exposed belong to `optimize`, with data")
    decided = anneal_model(loaded, prepare(loaded, anneal).settings, progress)
    why = {one.node: one.reason for one in decided.found if one.reason}
    chosen = decided.annealing
    while True:
        left = _without(loaded, without(loaded.graph, chosen)) if chosen else loaded
        found = _plan(left, provider, rows, threads, force, progress, device)
        split = {step.node for step in found.rewrites}
        why |= {one.node: NO_GAIN for one in chosen if one.node not in split}
        if all(one.node in split for one in chosen):
            break
        chosen = tuple(one for one in chosen if one.node in split)  # the others would lose weights for nothing
    steps = [
        replace(step, reason=f"not annealed: {why[step.node]}; as it is: {step.reason}") if step.node in why else step
        for step in found.steps
    ]
    return replace(found, steps=tuple(steps), annealing=chosen)


def _without(model: Model, graph: ir.Model) -> Model:
    """The same model with another graph, which has no file of its own."""
    return Model(graph=graph, name=model.name, kept=model.kept)


def _plan(
    model: Model,
    provider: str,
    rows: Sequence[int] | None,
    threads: int | None,
    force: bool,
    progress: Progress | None,
    device: str,
) -> Plan:
    return make_plan(
        model,
        provider=resolve(provider),
        rows=rows,
        threads=threads or os.cpu_count() or 1,
        force=force,
        progress=progress,
        device=device,
    )


def resolve(provider: str) -> str:
    """'cpu' or 'cuda' for 'auto', without waking ONNX Runtime where there is no NVIDIA driver anyway."""
    if provider in ("cpu", "cuda"):
        return provider
    if provider != "auto":
        raise ScissionError(f"provider {provider!r} is none of auto, cpu, cuda")
    if os.name == "posix" and not Path("/dev/nvidiactl").exists() and not Path("/dev/dxg").exists():
        return "cpu"
    from .session import cuda_problem

    return "cpu" if cuda_problem() else "cuda"


def apply(model: Source, plan: Plan, output: str | os.PathLike[str] | None = None, *, overwrite: bool = False) -> Out:
    """Carry out a plan. A model given as bytes, ModelProto or onnx_ir.Model comes back as the same; one given as a
    path is written to `output`, which is returned.

    With nothing to rewrite the result is the original, byte for byte. Raises PlanError when the plan was made for
    other weights, ModelError when the output exists or cannot be written.
    """
    loaded = load(model)
    changed = rewrite(loaded.graph, plan) if plan.rewrites or plan.annealing else None
    if loaded.path is not None or output is not None:
        if output is None:
            raise ValueError("a model given as a path needs an output path")
        return _write(model, loaded, changed, Path(output), overwrite)[0]
    return _as_given(model, loaded, changed)


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
    if isinstance(source, ir.Model):
        return changed
    proto = to_proto(model, changed)
    return proto.SerializeToString() if isinstance(source, bytes) else proto


def optimize(
    model: Source,
    output: str | os.PathLike[str] | None = None,
    *,
    rows: Sequence[int] | None = None,
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
) -> Result:
    """plan + apply + check + bench: split what pays, prove it equal, measure it, and keep the faster model.

    The output is the original, byte for byte, when nothing splits, or when the split model was measured slower and
    `force` is false; nothing is written when the check fails. A model given as a path needs `output`; others come back
    in `Result.model`, as what they came in. device: as in `plan`.

    anneal: how to remove weights that learning did not confirm, off by default because it is lossy; then `max_drop`,
    such as 'argmax<=0.01', bounds what the task metric may lose on `data` (with `labels`), see `select`. Raises
    ModelError, SessionError, InputError and DeviceError for bad input, and what `select` raises.
    """
    trials = trials or Trials()
    loaded = load(model)
    if loaded.path is not None and output is None:
        raise ValueError("a model given as a path needs an output path")
    if anneal is not None:
        from .annealer import as_annealer

        anneal = as_annealer(anneal)
    target = Path(output) if output is not None else None
    given = (data, labels, trials.inputs, anneal.initial if anneal is not None else None)
    sources = [Path(path) for path in given if isinstance(path, (str, os.PathLike))]
    for path in (target, target.with_name(target.name + ".data")) if target is not None and sources else ():
        refuse_output(path, sources, True)  # an input is never written to
    options = (trials.provider, rows, trials.threads, force, progress, device)
    selection, exact = None, loaded
    if anneal is not None:
        selection, exact, chosen = _annealed(loaded, anneal, data, labels, max_drop, trials, options)
    else:
        chosen = _plan(exact, *options)
    if not chosen.rewrites:
        written = _write(model, loaded, None, target, overwrite) if target else []
        back = _as_given(model, loaded, None)
        return Result(
            outcome="unchanged",
            reason=_nothing(chosen, selection),
            plan=chosen,
            written=tuple(written),
            model=target if loaded.path else back,
            selection=selection,
        )
    from .session import SessionError  # needed only where something is run

    changed = rewrite(exact.graph, chosen)
    if selection is not None and selection.chosen:
        chosen = replace(chosen, annealing=selection.annealing, effect=selection.effect)
    verdict: Verdict | None = None
    benches: tuple[Bench, ...] = ()
    with _staged(loaded, changed, target, overwrite) as staged:
        original = loaded.path or model
        try:
            if check:
                with _beside(loaded, exact) as annealed:
                    verdict = compare.check(annealed or original, staged.path, trials=trials)
            if bench and (verdict is None or verdict.equal):
                benches = compare.bench(original, staged.path, trials=trials, rows=rows)
            outcome, reason = _judge(chosen, verdict, benches, force)
        except SessionError:
            refused = _refusal(original, staged.path, trials)
            if refused is None:
                raise
            outcome, reason = "failed", refused
        written = staged.publish() if target and outcome == "split" else []
    if selection is not None and selection.chosen and outcome != "split":  # what is handed back has all its weights
        why = f"annealed and split ({selection.effect}) it was not kept: {reason}"
        selection = replace(selection, chosen=(), held_back=None, tuning=None, reason=why)
        chosen = replace(chosen, annealing=(), effect="")
    if target and outcome == "slower":
        written = _write(model, loaded, None, target, overwrite)
    back = _as_given(model, loaded, changed if outcome == "split" else None)
    return Result(
        outcome=outcome,
        reason=reason,
        plan=chosen,
        verdict=verdict,
        benches=benches,
        written=tuple(written),
        model=target if loaded.path and written else back,
        selection=selection,
    )


def _annealed(
    model: Model,
    anneal: Annealer,
    data: Labelled | Mapping[str, Any] | str | os.PathLike[str] | None,
    labels: Any,
    max_drop: str | None,
    trials: Trials,
    options: tuple[Any, ...],
) -> tuple[Selection, Model, Plan]:
    """What is annealed within the budget, the model without it, and its plan; only where the split that follows pays.

    Nothing is annealed without data and a bound on what it may cost.
    """
    from .annealer import AnnealOptionsError
    from .labelled import Labelled
    from .metric import parse_budget
    from .selection import select, without_useless
    from .validation import read_data

    if data is None or max_drop is None:
        raise AnnealOptionsError(
            "annealing is lossy: give data to judge it by (--data FILE.npz) and how much the task may lose "
            "(--max-drop 'argmax<=0.01'); `scission plan --anneal` shows what it would remove without either"
        )
    budget = parse_budget(max_drop)
    held = data if isinstance(data, Labelled) else read_data(model, data, labels)
    selection = select(model, anneal, held, budget, trials, options[4])
    if not selection.chosen:
        return selection, model, _plan(model, *options)

    def left(found: Selection) -> Model:
        kept = without(model.graph, found.annealing, found.refitted, effect=found.effect)
        return _without(model, kept)

    exact = left(selection)
    planned = _plan(exact, *options)
    split = {step.node for step in planned.rewrites}
    useful = without_useless(model, selection, split, held, anneal.seed, budget, trials)
    if useful is selection:
        return selection, exact, planned
    exact = left(useful) if useful.chosen else model
    return useful, exact, _plan(exact, *options)


def _refusal(original: Source, changed: Path, trials: Trials) -> str | None:
    """What ONNX Runtime says against the rewritten model, when it takes the original; None when it takes both.

    Raises SessionError when it refuses the original, which is the input's fault and not the rewrite's.
    """
    from .session import SessionError, open_session

    options: Any = {"provider": trials.provider, "threads": trials.threads, "custom_ops": trials.custom_ops}
    try:
        open_session(changed, **options)
    except SessionError as error:
        with compare.as_file(original, "original") as (path, _):
            open_session(path, **options)
        return f"ONNX Runtime takes the original and refuses the rewritten model ({error}); please report this"
    return None


def _judge(plan: Plan, verdict: Verdict | None, benches: Sequence[Bench], force: bool) -> tuple[str, str]:
    """(outcome, reason) of a rewritten model that was run beside its original."""
    if verdict is not None and not verdict.equal:
        return "failed", verdict.reason
    slow = min(benches, key=lambda b: b.paired.median, default=None)
    if slow is not None and slow.paired.median < LIMIT and slow.speedup < LIMIT and not force:
        at = f" at {slow.rows} rows" if slow.rows else ""
        fast = max((b.speedup for b in benches), default=0.0)
        hint = "; --rows names the sizes that you run" if fast > LIMIT and len(benches) > 1 else ""
        return "slower", f"measured {slow.speedup:.2f}x the speed of the original{at}, so the original is kept{hint}"
    own = [step for step in plan.steps if step.reason != OWN]
    return "split", f"{len(plan.rewrites)} of {len(own)} operators split"


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


def _nothing(plan: Plan, selection: Selection | None = None) -> str:
    if selection is not None and not selection.chosen:
        return f"nothing was annealed: {selection.reason}"
    if selection is not None:
        count = len(selection.chosen)
        return f"{count} operators could be annealed, but none of them is predicted to gain, so nothing was removed"
    if not plan.steps:
        return "the model has no linear with a constant weight that can be split"
    splits = sum(step.components > 1 for step in plan.steps)
    if not splits:
        return f"no weight splits: each of the {len(plan.steps)} operators is one component"
    return f"{splits} of {len(plan.steps)} operators split, but none is predicted to gain"
