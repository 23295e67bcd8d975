"""A split model goes on learning, and is written back."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ...ir.given.sources import Source
from ...ir.phase import phase
from ...ir.plan.plan import Plan, PlanError
from ...ir.progress import Progress
from ...ir.provenance import PLAN
from ..calibrate.dataset import Labelled, labelled, read_labelled
from ..calibrate.sources.source import files_of_source
from ..compare import compare
from ..inputs.spec import spec_of
from ..ort.opened import written
from ..ort.session import open_session
from ..ort.trials import Trials, trials_of
from ..pipeline.destination import Destination
from ..pipeline.options import PlanOptions
from ..pipeline.plan import plan as plan_model
from .options import RetrainError, RetrainOptions

if TYPE_CHECKING:
    from ..compare.verdict import Verdict
    from ..measure.bench import Bench
    from ..upgrade.interpreter.interpreted import Interpreted
    from ..upgrade.to_onnx import Trained
    from .lesson import Lesson
    from .result import Retrained
    from .state import State

__all__ = ["Data", "retrain"]

Data = Labelled | Mapping[str, Any] | str | os.PathLike[str]
OFF = 1e-3  # of the largest value of an output; sums of float32 in another order differ by a hundredth of it
COARSE = 3e-2  # the same where outputs have 16 bits


@phase("retrain")
def retrain(
    model: Source,
    output: str | os.PathLike[str] | None = None,
    options: RetrainOptions | None = None,
    *,
    data: Data,
    plan: Plan | None = None,
    teacher: Source | None = None,
    trials: Trials | None = None,
    progress: Progress | None = None,
) -> Retrained:
    """Train the blocks of a model, and write what they became by the same plan.

    model: one that scission split is trained as it is, its blocks being weights of their own; any other is split by
    `plan`, or the one that scission makes for it, first, and only entries inside of blocks learn. data: inputs by name,
    samples along the first axis, or a source of them as `scission.sweep` takes it; with labels it is their loss that is
    made smaller, with a teacher how far outputs are from those of that model, relative to their mean square, and the
    same of values between layers that both models have; with both the sum of all. Some samples are held back: training
    stops where their loss does not become smaller, and weights are those of the look with the smallest one, which are
    those of the model itself where nothing was gained.
    options: how it learns; trials: provider and threads of the teacher, the check and the bench, and threads of torch;
    progress: called with (done, total, what). A run that ends early goes on from its checkpoint when it is called
    again, to the same bits.
    Raises RetrainError where torch is not installed, or nothing says what is to be learnt, or nothing can learn;
    UnsupportedOperatorError for operators that torch has no rules for; LabelledError and InputError for data that do
    not fit; PlanError for a plan that is for another model; and ModelError as `scission.optimize` does.
    """
    if importlib.util.find_spec("torch") is None:
        raise RetrainError("training needs torch; install scission[torch]")
    asked, trials = options or RetrainOptions(), trials_of(trials)
    read = [path for one in (data, asked.labels, teacher) for path in files_of_source(one)]
    place = Destination.of(model, output, asked.overwrite, trials.custom_ops, read)
    from ..upgrade.to_torch import to_torch

    if plan is None and PLAN not in place.loaded.graph.metadata_props:
        provider: Any = trials.provider
        plan = plan_model(place.original, PlanOptions(provider=provider, threads=trials.threads))
    try:
        module = to_torch(place.original, plan)
    except PlanError as error:
        raise PlanError(f"{place.loaded.name}: ", *error.parts) from error
    count = sum(parameter.numel() for parameter in module.parameters())
    if not count:
        raise RetrainError(
            f"{place.loaded.name}: has no weight that can learn"
            + "".join(f"; {one.node}: {one.reason}" for one in module.held[:1])
        )
    lesson = _lesson(place, module, data, teacher, (asked, trials))
    state, began = _trained(place, module, lesson, asked, trials, progress)
    return _finished(place, module, lesson, (state, began, count), (asked, trials, teacher), progress)


def _lesson(
    place: Destination, module: Interpreted, data: Data, teacher: Source | None, how: tuple[RetrainOptions, Trials]
) -> Lesson:
    from .lesson import lesson_of
    from .samples import outputs_of
    from .teacher import teacher_of

    asked, trials = how
    samples = _samples(place, data, asked)
    told: dict[str, npt.NDArray[Any]] = {}
    if teacher is not None:
        with teacher_of(teacher, module, samples.feeds[0], samples.samples, asked.regions, trials) as says:
            told = outputs_of(says, samples)
    return lesson_of(place.loaded, samples, told, asked)


def _samples(place: Destination, data: Data, asked: RetrainOptions) -> Labelled:
    if isinstance(data, Labelled):
        return data
    spec = spec_of(place.loaded, given=True)
    if isinstance(data, Mapping):
        return labelled(data, spec, asked.labels, asked.batch)
    return read_labelled(Path(data), spec, asked.labels, asked.batch)


def _trained(
    place: Destination,
    module: Interpreted,
    lesson: Lesson,
    asked: RetrainOptions,
    trials: Trials,
    progress: Progress | None,
) -> tuple[State, int]:
    from .training import Training, computing_alike

    checkpoint = asked.checkpoint
    if checkpoint is None and place.target is not None:
        checkpoint = place.target.with_name(f"{place.target.name}.checkpoint")
    run = _identity(module, lesson, asked, trials)
    with computing_alike(trials.threads):
        return Training(
            module=module,
            objective=lesson.objective,
            trained=lesson.trained,
            held_back=lesson.held_back,
            options=asked,
            checkpoint=checkpoint,
            run=run,
            inside=lesson.inside,
        )(progress)


def _identity(module: Interpreted, lesson: Lesson, asked: RetrainOptions, trials: Trials) -> str:
    """The SHA-256 of all that a run depends on."""
    digest = hashlib.sha256(json.dumps([asked.of_training(), trials.threads], sort_keys=True).encode())
    held: list[tuple[str, npt.NDArray[Any]]] = list(module.arrays().items())
    for part in (lesson.trained, lesson.held_back):
        held += [*part.data.arrays.items(), *part.data.shared.items(), *(("told", array) for array in part.told)]
        held += [] if part.data.targets is None else [("labels", part.data.targets)]
    for name, array in held:
        digest.update(f"{name}{array.shape}{array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _finished(
    place: Destination,
    module: Interpreted,
    lesson: Lesson,
    learnt: tuple[State, int, int],
    how: tuple[RetrainOptions, Trials, Source | None],
    progress: Progress | None,
) -> Retrained:
    """Written back, checked, timed, and kept where it is what was trained."""
    from ..upgrade.to_onnx import trained
    from .result import Retrained

    (state, began, count), (asked, trials, teacher) = learnt, how
    left = trained(module, _note(state, lesson))
    with ExitStack() as stack:
        staged = stack.enter_context(place.staged(left.model))
        session = open_session(staged.path, provider="cpu", threads=trials.threads, custom_ops=trials.custom_ops)
        difference = _difference(module, session.run, lesson)
        verdict, benches = _beside(place, left, staged.path, (asked, trials, teacher), progress)
        reason = _fault(verdict, difference, left)
        files: Sequence[Path] = staged.publish() if place.target and not reason else ()
    if not reason and (checkpoint := asked.checkpoint or _default(place)) is not None:
        checkpoint.unlink(missing_ok=True)
    back = place.target if files else None if reason else place.as_given(left.model)
    return Retrained(
        reason=reason,
        looks=tuple(state.looks),
        best=state.best_look,
        began=began,
        parameters=count,
        held=module.held,
        difference=difference,
        plan=left.plan,
        verdict=verdict,
        benches=benches,
        written=tuple(files),
        model=back,
    )


def _default(place: Destination) -> Path | None:
    return None if place.target is None else place.target.with_name(f"{place.target.name}.checkpoint")


def _note(state: State, lesson: Lesson) -> str:
    """What a trained model says of itself, as JSON."""
    best = state.best_look
    taught = ["labels"] * (lesson.objective.loss is not None) + ["teacher"] * bool(lesson.objective.taught)
    samples = lesson.trained.data.samples
    return json.dumps(
        {"steps": best.step, "samples": samples, "by": taught, "loss": best.loss, "before": state.looks[0].loss}
    )


def _beside(
    place: Destination,
    left: Trained,
    changed: Path,
    how: tuple[RetrainOptions, Trials, Source | None],
    progress: Progress | None,
) -> tuple[Verdict | None, tuple[Bench, ...]]:
    """The split model checked and timed beside the whole one; where it was split before, timed beside the teacher."""
    asked, trials, teacher = how
    if left.plan is None:
        if teacher is None or not asked.bench:
            return None, ()
        return None, compare.bench(teacher, changed, trials=trials, progress=progress)
    if not left.plan.rewrites:
        return None, ()
    with written(place.loaded, left.whole, "whole") as whole:
        verdict = compare.check(whole, changed, trials=trials, progress=progress) if asked.check else None
        benches = compare.bench(whole, changed, trials=trials, progress=progress) if asked.bench else ()
    return verdict, benches


def _difference(module: Interpreted, run: Any, lesson: Lesson) -> float:
    """How far the written model is from the module, on a batch of what was held back."""
    import torch

    from ..upgrade.interpreter.tensors import array_of

    piece = next(lesson.held_back.batches(None, 0))
    with torch.no_grad():
        made = module(**piece.inputs)
    found = run({name: array_of(tensor) for name, tensor in piece.inputs.items()})
    worst = 0.0
    for name, tensor in zip(module.output_names, made if isinstance(made, tuple) else (made,), strict=True):
        a, b = array_of(tensor).astype(np.float64), np.asarray(found[name]).astype(np.float64)
        worst = max(worst, float(np.abs(a - b).max(initial=0)) / max(float(np.abs(a).max(initial=0)), 1e-30))
    return worst


def _fault(verdict: Verdict | None, difference: float, left: Trained) -> str:
    """What is wrong with the written model, in words; empty where nothing is."""
    kinds = {value.dtype.itemsize for value in left.model.graph.outputs if value.dtype is not None}
    limit = COARSE if 2 in kinds else OFF
    if not difference <= limit:
        return f"the written model differs from what was trained by {difference:.2g} of the largest value"
    return verdict.reason if verdict is not None and verdict.different else ""
