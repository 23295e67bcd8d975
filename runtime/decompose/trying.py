"""What candidates are worth: the metric on the samples to choose by, and latency beside the original in one run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.plain import plain_dict
from ...ir.progress import Progress
from ..calibrate.metric_runner import Measured, SideBySide
from ..measure.bench import bench
from ..measure.comparison import Comparison, Speed
from ..ort.opened import written
from ..retrain.options import RetrainOptions
from .task.goal import Goal
from .task.method import Declined, DecomposeTask, Method, ModelCandidate
from .task.samples import Samples
from .training.train import Unfinished, train

__all__ = ["TriedCandidate", "beside", "front_of", "try_methods"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TriedCandidate:
    """A candidate with the metric on the samples to choose by, and how many times faster it is than the original."""

    candidate: ModelCandidate
    measured: Measured
    latency: Comparison

    @property
    def drop(self) -> float:
        """How much worse the metric is."""
        return self.measured.drop

    @property
    def speedup(self) -> float:
        """Latency of the original over its own, from runs in turn."""
        return self.latency.ratio

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without the model."""
        return plain_dict(
            {
                **self.candidate.to_dict(),
                "metric": self.measured.metric,
                "baseline": self.measured.baseline,
                "drop": self.drop,
                "cosine": self.measured.cosine,
                "latency": self.latency.to_dict(),
            }
        )


def beside(task: DecomposeTask, samples: Samples) -> SideBySide:
    """The original beside candidates on some samples."""
    trials = task.trials
    return SideBySide(task.model, samples, task.goal.metric, trials.provider, trials.threads, trials.custom_ops)


def try_methods(
    task: DecomposeTask,
    methods: Sequence[Method],
    training: RetrainOptions | None = None,
    progress: Progress | None = None,
) -> tuple[list[TriedCandidate], list[Declined]]:
    """Every candidate that is asked for, as the methods propose them, and the methods that propose nothing.

    A method is asked until a candidate costs more than the budget, or is clearly as fast as the target: what follows
    would be worse, or lose more than is needed. With training it is asked until one is as fast, whatever that costs,
    which is then trained, and tried once more; its latency is what it was, as its graph is. Where training ended early
    it is the candidate that was trained then that goes on, whichever others are as fast this time. Raises RetrainError
    where that one no longer is, or is none of them.
    """
    tried: list[TriedCandidate] = []
    declined: list[Declined] = []
    trial = _Trial(task)
    for place, method in enumerate(methods):
        if progress:
            progress(place, len(methods), method.name)
        unfinished = None if training is None else Unfinished.of(task, training, method.name)
        for made in method.propose(task):
            if isinstance(made, Declined):
                declined.append(made)
                continue
            tried.append(trial(made))
            if progress:
                progress(place, len(methods), f"{method.name}: {_told(tried[-1])}")
            fast = _is_fast(task.goal, tried[-1])
            wanted = fast if unfinished is None else unfinished.is_of(made, fast)
            if training is not None and wanted:
                trained = train(task, made, training, progress)
                if isinstance(trained, Declined):
                    declined.append(trained)
                else:
                    tried.append(trial.again(tried[-1], trained))
                break
            if training is None and not _goes_on(task.goal, tried[-1]):
                break
        else:
            if unfinished is not None:
                unfinished.refuse()
    return tried, declined


def _goes_on(goal: Goal, last: TriedCandidate) -> bool:
    """Whether a candidate that loses more may be of use."""
    return goal.allows(last.drop) and (goal.limit is not None or not _is_fast(goal, last))


def _is_fast(goal: Goal, tried: TriedCandidate) -> bool:
    """Whether a candidate is as fast as the target; one that only seems to be is never kept, and ends nothing."""
    return tried.latency.speed is Speed.FASTER and goal.reached(tried.speedup)


def _told(tried: TriedCandidate) -> str:
    return f"{tried.latency.figure}, metric {tried.measured.metric:.4g}"


@dataclass(slots=True)
class _Trial:
    """Runs candidates beside the original, which runs over the samples once."""

    task: DecomposeTask
    runner: SideBySide = field(init=False)

    def __post_init__(self) -> None:
        self.runner = beside(self.task, self.task.selection)

    def __call__(self, candidate: ModelCandidate) -> TriedCandidate:
        task = self.task
        with ExitStack() as opened:
            before = task.model.path or opened.enter_context(written(task.model, task.model.graph.clone(), "original"))
            after = opened.enter_context(written(task.model, candidate.model.clone(), "candidate"))
            found = bench(Path(before), after, _typical(task.selection), trials=task.trials)
        measured = self.runner.measure(candidate.model)
        return TriedCandidate(candidate=candidate, measured=measured, latency=found.comparison)

    def again(self, before: TriedCandidate, candidate: ModelCandidate) -> TriedCandidate:
        """One whose graph is that of another, with other numbers in it."""
        measured = self.runner.measure(candidate.model)
        return TriedCandidate(candidate=candidate, measured=measured, latency=before.latency)


def _typical(samples: Samples) -> Mapping[str, Array]:
    """The feed that is timed: of the median size, of several the first."""

    def size(feed: Mapping[str, Array]) -> int:
        return sum(np.size(array) for array in feed.values())

    return sorted(samples.feeds, key=size)[(len(samples.feeds) - 1) // 2]


def front_of(tried: Sequence[TriedCandidate]) -> tuple[TriedCandidate, ...]:
    """The Pareto front of latency against the metric, slowest first: those beside which none is as fast and better.

    Of several that are the same in both the first is on it.
    """

    def steps() -> Iterator[TriedCandidate]:
        best = np.inf
        for one in sorted(tried, key=lambda one: (-one.speedup, one.drop)):
            if one.drop < best:
                best = one.drop
                yield one

    return tuple(steps())[::-1]
