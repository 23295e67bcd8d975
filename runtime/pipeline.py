"""The top of the pipeline: load, plan, rewrite, check, bench, and keep what is proved and faster."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import onnx

from ..ir.errors import ScissionError
from ..ir.model import Model, Source, load
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.plan import Plan
from ..ir.store import Staged, save_copy, stage, to_proto
from ..passes.planner import Progress, make_plan
from ..passes.rewrite import rewrite
from . import compare
from .compare import Trials

if TYPE_CHECKING:
    from .bench import Bench
    from .equivalence import Verdict

__all__ = ["Result", "apply", "optimize", "plan"]

Out: TypeAlias = "Path | bytes | onnx.ModelProto | ir.Model"
LIMIT = 1.0  # a rewritten model that is measured slower than this many times the original is not kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What `optimize` did. outcome: 'split', 'unchanged' (nothing to gain), 'slower' (original kept) or 'failed' (the
    check failed, nothing written); model: the optimised model in the form that the original came in."""

    outcome: str
    reason: str
    plan: Plan
    verdict: Verdict | None = None
    benches: tuple[Bench, ...] = ()
    written: tuple[Path, ...] = ()
    model: Any = None

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
) -> Plan:
    """Find the blocks of every linear of a model and choose what to do with each; changes nothing.

    provider: 'auto', 'cpu' or 'cuda', whose costs are predicted; rows: activation rows to predict for; threads: that
    will run it, all cores by default; force: split whatever splits; device: that weights are analysed on, 'cpu',
    'cuda' or 'auto', which is CUDA for large models where torch has it: the plan is the same. Raises ModelError when
    the model cannot be read, DeviceError when there is no such device.
    """
    return _plan(load(model), provider, rows, threads, force, progress, device)


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
    changed = rewrite(loaded.graph, plan) if plan.rewrites else None
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
) -> Result:
    """plan + apply + check + bench: split what pays, prove it equal, measure it, and keep the faster model.

    The output is the original, byte for byte, when nothing splits, or when the split model was measured slower and
    `force` is false; nothing is written when the check fails. A model given as a path needs `output`; others come back
    in `Result.model`, as what they came in. device: as in `plan`. Raises ModelError, SessionError, InputError and
    DeviceError for bad input.
    """
    trials = trials or Trials()
    loaded = load(model)
    if loaded.path is not None and output is None:
        raise ValueError("a model given as a path needs an output path")
    chosen = _plan(loaded, trials.provider, rows, trials.threads, force, progress, device)
    target = Path(output) if output is not None else None
    if not chosen.rewrites:
        written = _write(model, loaded, None, target, overwrite) if target else []
        back = _as_given(model, loaded, None)
        return Result(
            outcome="unchanged",
            reason=_nothing(chosen),
            plan=chosen,
            written=tuple(written),
            model=target if loaded.path else back,
        )
    from .session import SessionError  # needed only where something is run

    changed = rewrite(loaded.graph, chosen)
    verdict: Verdict | None = None
    benches: tuple[Bench, ...] = ()
    with _staged(loaded, changed, target, overwrite) as staged:
        original = loaded.path or model
        try:
            if check:
                verdict = compare.check(original, staged.path, trials=trials)
            if bench and (verdict is None or verdict.equal):
                benches = compare.bench(original, staged.path, trials=trials, rows=rows)
            outcome, reason = _judge(chosen, verdict, benches, force)
        except SessionError:
            refused = _refusal(original, staged.path, trials)
            if refused is None:
                raise
            outcome, reason = "failed", refused
        written = staged.publish() if target and outcome == "split" else []
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
    )


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
        return "slower", f"measured {slow.speedup:.2f}x the speed of the original{at}, so the original is kept"
    return "split", f"{len(plan.rewrites)} of {len(plan.steps)} operators split"


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


def _nothing(plan: Plan) -> str:
    if not plan.steps:
        return "the model has no linear with a constant weight that can be split"
    splits = sum(step.components > 1 for step in plan.steps)
    if not splits:
        return f"no weight splits: each of the {len(plan.steps)} operators is one component"
    return f"{splits} of {len(plan.steps)} operators split, but none is predicted to gain"
