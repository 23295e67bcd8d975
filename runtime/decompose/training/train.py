"""A candidate goes on learning from the original."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ....ir.progress import Progress
from ....ir.reason import Cause, Reason
from ...calibrate.sources.columns import LabelledError
from ...retrain.options import RetrainError, RetrainOptions
from ...upgrade.interpreter.unsupported import UnsupportedOperatorError
from ..task.method import Declined, DecomposeTask, Learning, ModelCandidate

if TYPE_CHECKING:
    from ...retrain.objective import Objective
    from ...retrain.teacher import Teacher
    from ...upgrade.interpreter.interpreted import Interpreted

__all__ = ["require_training", "train"]

Array = npt.NDArray[Any]


def require_training(task: DecomposeTask) -> None:
    """Raise RetrainError where torch is not installed, LabelledError where there are too few feeds to train on."""
    if importlib.util.find_spec("torch") is None:
        raise RetrainError("training needs torch; install scission[torch]")
    if len(task.taught.feeds) < 2:
        raise LabelledError("training needs two feeds at the least, one of them held back; give more samples")


def train(
    task: DecomposeTask, candidate: ModelCandidate, options: RetrainOptions, progress: Progress | None = None
) -> ModelCandidate | Declined:
    """A candidate whose weights were trained against the original's outputs, and what is between its layers; or why it
    cannot be trained: torch has no rule for one of its operators, or none of its weights can learn.

    options: of training; each feed of the task is a step, `held_back` of them tell which weights are kept: those of the
    look with the smallest loss. A run that ended early goes on to the same bits from its checkpoint, which has the
    method in its name. Raises RetrainError for a checkpoint of another run.
    """
    from ...retrain.teacher import teacher_of
    from ...retrain.training import Training, computing_alike
    from ...upgrade.to_onnx import trained
    from ...upgrade.to_torch import to_torch
    from .feeds import Feeds, parted

    try:
        module = to_torch(candidate.model)
    except UnsupportedOperatorError as error:
        return _declined(candidate, str(error))
    if not any(True for _ in module.parameters()):
        return _declined(candidate, "it has no weight that can learn")
    checkpoint = options.checkpoint
    if checkpoint is not None:
        checkpoint = checkpoint.with_name(f"{checkpoint.name}.{candidate.method}")
    learnt, judging = parted(task.taught.feeds, options.held_back, task.seed)
    source = task.model.path or task.model.graph
    with teacher_of(source, module, learnt[0], task.taught.count, options.regions, task.trials) as teacher:
        lessons, held_back = Feeds(learnt, teacher), Feeds(judging, replace(teacher, regions=()))
        with computing_alike(task.trials.threads):
            state, _ = Training(
                module=module,
                objective=_objective(module, teacher, lessons.sizes()),
                trained=lessons,
                held_back=held_back,
                options=options,
                checkpoint=checkpoint,
                run=_identity(module, learnt, options, task),
                inside=teacher.regions,
            )(progress)
    if checkpoint is not None:
        checkpoint.unlink(missing_ok=True)
    best = state.best_look
    learning = Learning(step=best.step, before=state.looks[0].loss, after=best.loss)
    return replace(candidate, model=trained(module).model, learning=learning)


def _declined(candidate: ModelCandidate, why: str) -> Declined:
    return Declined(method=candidate.method, reason=Reason(Cause.UNSUPPORTED, f"cannot be trained: {why}"))


def _objective(module: Interpreted, teacher: Teacher, sizes: Sequence[float]) -> Objective:
    """What is made smaller. sizes: mean squares, in the order of the teacher's names."""
    from ...retrain.objective import Objective

    names = list(module.output_names)
    outputs = len(teacher.outputs)
    return Objective(
        loss=None,
        about=names.index(teacher.outputs[0]),
        probabilities=False,
        taught=tuple((names.index(name), size) for name, size in zip(teacher.outputs, sizes[:outputs], strict=True)),
        regions=tuple((len(names) + place, size) for place, size in enumerate(sizes[outputs:])),
    )


def _identity(
    module: Interpreted, feeds: Sequence[Mapping[str, Array]], options: RetrainOptions, task: DecomposeTask
) -> str:
    """The SHA-256 of all that a run depends on."""
    told = [options.of_training(), task.seed, task.trials.threads, task.model.name]
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for arrays in (module.arrays(), *feeds):
        for name, array in arrays.items():
            digest.update(f"{name}{np.shape(array)}{np.asarray(array).dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
