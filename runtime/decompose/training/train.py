"""A candidate goes on learning from the original."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ....ir.errors import option
from ....ir.graph.node import FLOATS
from ....ir.progress import Progress
from ....ir.reason import Cause, Reason
from ...calibrate.sources.columns import LabelledError
from ...retrain.options import RetrainError, RetrainOptions
from ...upgrade.interpreter.unsupported import UnsupportedOperatorError
from ..task.method import Declined, DecomposeTask, Learning, MethodName, ModelCandidate
from ..task.samples import Samples
from .memory import require_learning_memory

if TYPE_CHECKING:
    from ...retrain.objective import Objective
    from ...retrain.teacher import Teacher
    from ...upgrade.interpreter.interpreted import Interpreted

__all__ = ["Unfinished", "holding_back", "require_training", "train"]

Array = npt.NDArray[Any]


def require_training(task: DecomposeTask) -> None:
    """Raise RetrainError where torch is not installed, LabelledError where there are too few feeds to train on,
    NoMemoryError where training takes more memory than may be used."""
    if importlib.util.find_spec("torch") is None:
        raise RetrainError("training needs torch; install scission[torch]")
    if len(task.taught.feeds) < 2:
        raise LabelledError("training needs two feeds at the least, one of them held back; give more samples")
    require_learning_memory(task)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """Training of one candidate that ended early. run: what it depends on, as in its checkpoint."""

    path: Path
    run: str

    @staticmethod
    def of(task: DecomposeTask, options: RetrainOptions, method: MethodName) -> Unfinished | None:
        """What is left of an earlier run of a method; None where nothing is. Raises RetrainError for a checkpoint of a
        run with other data or options."""
        path = _checkpoint(options, method)
        if path is None or not path.exists():
            return None
        from ...retrain.state import any_state, other_run

        state = any_state(path)
        if state is None or state.run.partition("/")[0] != _of_task(task, options):
            raise other_run(path)
        return Unfinished(path=path, run=state.run)

    def is_of(self, candidate: ModelCandidate, fast: bool) -> bool:
        """Whether it was this candidate that was trained; fast: whether it is as fast as the target this time, without
        which training would be in vain: raises RetrainError where it is not."""
        from ...upgrade.to_torch import to_torch

        try:
            own = self.run.partition("/")[2] == _of_weights(to_torch(candidate.model))
        except UnsupportedOperatorError:
            return False
        if own and not fast:
            raise RetrainError(
                f"{self.path}: is of a candidate that is not measured to be as fast as the target this time; run it "
                "again when the machine is idle, or for longer with ",
                option("seconds"),
                ", or remove the file to begin anew",
            )
        return own

    def refuse(self) -> None:
        """Raise RetrainError: no candidate is the one that was trained."""
        from ...retrain.state import other_run

        raise other_run(self.path)


def holding_back(task: DecomposeTask, share: float) -> DecomposeTask:
    """The task with so large a share of its feeds, one at the least, taken from those that methods fit to: what was
    fitted to a sample is better on it than on others, so that none of it could tell whether learning helps.

    Where there are other samples to train on these are held back from, as nothing is fitted to them.
    """
    if task.training is not None:
        return task
    feeds, labels = task.calibration.feeds, task.calibration.labels
    order = np.random.default_rng(task.seed).permutation(len(feeds))
    behind = min(max(round(share * len(feeds)), 1), len(feeds) - 1)

    def part(places: npt.NDArray[np.int64]) -> Samples:
        own = sorted(places.tolist())
        told = None if labels is None else [labels[place] for place in own]
        return Samples(feeds=[feeds[place] for place in own], labels=told)

    return replace(task, calibration=part(order[behind:]), held_back=part(order[:behind]))


def train(
    task: DecomposeTask, candidate: ModelCandidate, options: RetrainOptions, progress: Progress | None = None
) -> ModelCandidate | Declined:
    """A candidate whose weights were trained against the original's outputs, and what is between its layers; or why it
    cannot be trained: torch has no rule for one of its operators, or none of its weights can learn.

    options: of training; each feed of the task is a step, `held_back` of them, or what the task holds
    back, tell which weights are kept: those of the
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
    if not any(value.dtype in FLOATS for value in task.model.graph.graph.outputs):
        return _declined(candidate, "the model has no output of floating-point numbers, and others cannot be learnt")
    checkpoint = _checkpoint(options, candidate.method)
    learnt, judging = task.taught.feeds, task.held_back.feeds if task.held_back is not None else ()
    if not judging:
        learnt, judging = parted(learnt, options.held_back, task.seed)
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
                run=f"{_of_task(task, options)}/{_of_weights(module)}",
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


def _checkpoint(options: RetrainOptions, method: MethodName) -> Path | None:
    """The file that training a candidate of a method goes on from."""
    asked = options.checkpoint
    return None if asked is None else asked.with_name(f"{asked.name}.{method}")


def _of_task(task: DecomposeTask, options: RetrainOptions) -> str:
    """The SHA-256 of all that training any candidate depends on."""
    told = [options.of_training(), task.seed, task.trials.threads, task.model.name, task.goal.target]
    held_back = () if task.held_back is None else task.held_back.feeds
    return _digest(json.dumps(told, sort_keys=True), *task.taught.feeds, *held_back)


def _of_weights(module: Interpreted) -> str:
    return _digest("", module.arrays())


def _digest(told: str, *arrays: Mapping[str, Array]) -> str:
    digest = hashlib.sha256(told.encode())
    for each in arrays:
        for name, array in each.items():
            digest.update(f"{name}{np.shape(array)}{np.asarray(array).dtype}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
