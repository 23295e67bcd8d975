"""A plan carried out and judged: the rewritten model is proved equal, and timed, beside its original."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ir.errors import Remedy, ScissionError
from ...ir.io.load import Model, Source
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Plan
from ...ir.plan.preparation import FixedSizes
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ...passes.rewrite.preparations import prepared
from ...passes.rewrite.rewrite import rewrite
from ..compare import compare
from ..measure.comparison import Speed
from ..ort.memory import release
from ..ort.opened import as_file, written
from ..ort.trials import Trials
from .destination import Destination
from .judgement import judge_speed, only_fixes_sizes
from .lossy import Draft

if TYPE_CHECKING:
    from ..compare.verdict import Verdict
    from ..measure.bench import Bench

__all__ = ["Attempt", "Tried", "untouched"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A rewritten model that was run beside its original; written: where it is now, when it was kept; changed: the
    graph, None where it is wanted as a file only."""

    outcome: str
    reason: str
    changed: ir.Model | None
    verdict: Verdict | None
    benches: tuple[Bench, ...]
    written: tuple[Path, ...]


def untouched(reason: str) -> Tried:
    """A model to which nothing is done, so that it needs no proof."""
    return Tried(outcome="unchanged", reason=reason, changed=None, verdict=None, benches=(), written=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How plans for one model are carried out, checked and timed.

    force: whether a model is kept however fast it is; tuned: whether the units of the plan were measured.
    """

    place: Destination
    trials: Trials
    batch: Sequence[int] | None
    check: bool
    bench: bool
    force: bool
    tuned: bool
    progress: Progress | None

    def original_runs(self) -> bool:
        """Whether the original can be checked at all: where it cannot, what a rewritten model raises says nothing."""
        original = self.place.original
        try:
            return compare.check(original, original, trials=self.trials, progress=self.progress).equal
        except ScissionError:
            return False

    def _breakdown(self, error: ScissionError) -> Reason | None:
        """What broke a rewritten model that ONNX Runtime takes, where the original runs; None where neither does."""
        if not self.original_runs():
            return None
        told = f"ONNX Runtime runs the original and fails to run the rewritten model ({error}); please report this"
        return Reason(Cause.REFUSED, told)

    def run(self, draft: Draft) -> Tried:
        """Rewrite the annealed model, prove it equal, time it beside the original, and write it when it is kept."""
        from ..compare.evaluator import REFERENCE, UnprovableError
        from ..measure.bench import CHANGED
        from ..measure.race import NoGraphError
        from ..ort.library import SessionError
        from ..ort.messages import lacks_kernel

        changed: ir.Model | None = rewrite(draft.exact.graph, draft.plan)
        assert changed is not None
        trials, progress = self.trials, self.progress
        verdict: Verdict | None = None
        benches: tuple[Bench, ...] = ()
        with self.place.staged(changed) as staged:
            original = self.place.original
            if self.place.loaded.path is not None:
                changed = None  # it lies in a file now
            release(self.place.loaded.graph, draft.exact.graph)
            try:
                if self.check:
                    with _beside(self.place.loaded, draft.exact) as annealed:
                        verdict = compare.check(annealed or original, staged.path, trials=trials, progress=progress)
                on_runtime = verdict is None or verdict.provider != REFERENCE
                if self.bench and on_runtime and (verdict is None or not verdict.different):
                    batch = self.batch if trials.inputs is None else None  # real inputs have sizes of their own
                    with self._timed_beside(draft.plan) as (beside, timed):
                        benches = compare.bench(beside, staged.path, trials=timed, batch=batch, progress=progress)
                outcome, reason = _judge(draft.plan, verdict, benches, self.force, self.tuned)
            except UnprovableError as error:
                outcome, reason = "unchanged", str(error)
            except NoGraphError as error:
                if error.model != CHANGED:
                    raise
                outcome, reason = "slower", f"{error}, as the original can, which is kept"
            except SessionError as error:
                if lacks_kernel(error) and not self.check:
                    untimed = Remedy("bench=False", "--no-bench")
                    raise SessionError(*error.parts, "; nothing can be timed here: add ", untimed) from error
                refused = _refusal(original, staged.path, trials) or self._breakdown(error)
                if refused is None:
                    raise
                outcome, reason = "failed", refused.text
            written = staged.publish() if self.place.target and outcome == "split" else []
        return Tried(
            outcome=outcome, reason=reason, changed=changed, verdict=verdict, benches=benches, written=tuple(written)
        )

    @contextmanager
    def _timed_beside(self, plan: Plan) -> Iterator[tuple[Source, Trials]]:
        """What the changed model is timed beside, and how: the original.

        Where the plan fixes sizes and does more than that it is the original at these sizes, which can be recorded as a
        CUDA graph where the changed model can.
        """
        fixes = tuple(one for one in plan.preparations if isinstance(one, FixedSizes))
        if not fixes or only_fixes_sizes(plan):
            yield self.place.original, self.trials
            return
        fixed = {name for one in fixes for name in one.sizes}
        sizes = {name: size for name, size in (self.trials.sizes or {}).items() if name not in fixed}
        loaded = self.place.loaded
        with written(loaded, prepared(loaded.graph, fixes), "fixed") as path:
            yield path, replace(self.trials, sizes=sizes or None)


def _refusal(original: Source, changed: Path, trials: Trials) -> Reason | None:
    """What ONNX Runtime says against the rewritten model, when it takes the original; None when it takes both.

    Raises SessionError when it refuses the original, which is the input's fault and not the rewrite's.
    """
    from ..ort.library import SessionError
    from ..ort.session import open_session

    options: Any = {"provider": trials.provider, "threads": trials.threads, "custom_ops": trials.custom_ops}
    try:
        open_session(changed, **options)
    except SessionError as error:
        with as_file(original, "original") as (path, _):
            open_session(path, **options)
        told = f"ONNX Runtime takes the original and refuses the rewritten model ({error}); please report this"
        return Reason(Cause.REFUSED, told)
    return None


def _judge(plan: Plan, verdict: Verdict | None, benches: Sequence[Bench], force: bool, tuned: bool) -> tuple[str, str]:
    """(outcome, reason) of a rewritten model that was run beside its original."""
    from ..compare.evaluator import REFERENCE

    if verdict is not None and verdict.different:
        return "failed", verdict.reason
    found = judge_speed(plan, () if force else benches, tuned=tuned)
    if not found.keep:
        return "slower" if found.speed is Speed.SLOWER else "unchanged", found.reason
    untimed = ""
    if verdict is not None and verdict.provider == REFERENCE:
        untimed = f"ONNX Runtime has no kernel for it here, so it was proved on {REFERENCE} and not timed"
    unproved = verdict.reason if verdict is not None and not verdict.shown else ""
    return "split", "; ".join(filter(None, [plan.done, unproved, found.reason, untimed]))


@contextmanager
def _beside(model: Model, exact: Model) -> Iterator[Path | None]:
    """The annealed model as a file, which the split one must equal; None where nothing was annealed."""
    if exact is model:
        yield None
        return
    with written(model, exact.graph.clone(), "annealed") as path:
        yield path
