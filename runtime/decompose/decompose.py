"""Dense models decomposed: methods propose smaller models, and what is measured of them decides."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from ...ir.errors import option
from ...ir.io.load import Model, Source, load
from ...ir.phase import phase
from ...ir.progress import Progress
from ...passes.rewrite.pruning.noted import noted
from ..calibrate.dataset import Labelled
from ..calibrate.level_sweep import read_data
from ..calibrate.sources.columns import LabelledError
from ..fields import chosen as chosen_options
from ..fields import keywords
from ..ort.library import require_provider
from ..ort.trials import Trials, trials_of
from ..ort.validity import require_valid
from .blocks.method import Blocks
from .choosing import choose
from .experts.method import Experts
from .options import DecomposeKeywords, DecomposeOptions
from .projection.method import Projection
from .removal.method import Removal
from .result import DecomposeResult, Judged
from .task.goal import Goal
from .task.method import DecomposeTask, Method
from .task.samples import Samples, SampleSets, divided
from .training.train import holding_back, require_training
from .trying import TriedCandidate, beside, try_methods

__all__ = ["METHODS", "decompose"]

METHODS: tuple[Method, ...] = (Removal(), Projection(), Experts(), Blocks())  # in the order that they are asked in


@phase("decompose")
@keywords(DecomposeOptions)
def decompose(
    model: Source,
    data: SampleSets | Labelled | Mapping[str, Any] | str | os.PathLike[str],
    options: DecomposeOptions | None = None,
    *,
    methods: Sequence[Method] | None = None,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[DecomposeKeywords],
) -> DecomposeResult:
    """Give a dense model structure, as much as a budget allows: candidates of several methods, the fastest is kept.

    data: inputs by name, samples along the first axis, as arrays or the .npz file that holds them, which are divided
    into three sets at random: one to fit to, one to choose by, and one that judges what was chosen, once, and that no
    method sees; or these three as they are. Each field of DecomposeOptions may be given as a keyword of its own, which
    goes before the one in `options`: labels, an array, or a .npy or .npz file of them, for metrics that need
    any; budget: 'argmax<=0.01', what the metric may lose; target: '2.0x', how much faster the model must be; of the two
    one must be given; metric: where only a target is, cosine by default; only: the name of a method, to ask no other;
    train: steps for which the first candidate of each method that is as fast as the target learns from the original, at
    a rate of `rate`, going on from `checkpoint` where an earlier run ended early; methods: what proposes candidates,
    these where nothing is said; trials: how models are run, and the seed of all that is drawn; progress: called with
    (done, total, what).

    Latency is measured beside the original, run by run in turn. Nothing is written. Raises ModelError and SessionError
    when the model cannot be run, LabelledError for samples that do not fit it or are too few, and for labels beside
    sets that have theirs, MetricError and OptionError for goals that cannot be, RetrainError where torch is not
    installed to train with, or a checkpoint is of another run, NoMemoryError where a file of samples is too large, or
    fitting to them takes more memory than may be used.
    """
    started = time.monotonic()
    asked, trials = chosen_options(DecomposeOptions, options, single), trials_of(trials)
    goal = asked.goal
    loaded = load(model)
    require_valid(loaded, model, trials.custom_ops)
    require_provider(trials.provider, loaded.name)
    sets = _sets(loaded, data, asked.labels, trials)
    task = DecomposeTask(
        model=loaded,
        calibration=sets.calibration,
        selection=sets.selection,
        goal=goal,
        trials=trials,
        seed=trials.seed,
        training=sets.training,
    )
    if asked.training is not None:
        require_training(task)
        task = holding_back(task, asked.training.held_back)
    asked_for = [one for one in (METHODS if methods is None else methods) if asked.only in (None, one.name)]
    tried, declined = try_methods(task, asked_for, asked.training, progress)
    chosen, reason = choose(goal, tried, declined)
    judged = None
    if chosen is not None:
        judged = _judged(task, chosen, sets.judgement)
        place, chosen = tried.index(chosen), _told(goal, chosen, judged)
        tried[place] = chosen
    return DecomposeResult(
        original=loaded,
        goal=goal,
        chosen=chosen,
        reason=reason,
        judged=judged,
        tried=tuple(tried),
        declined=tuple(declined),
        seconds=time.monotonic() - started,
    )


def _sets(
    model: Model, data: SampleSets | Labelled | Mapping[str, Any] | str | os.PathLike[str], labels: Any, trials: Trials
) -> SampleSets:
    """The three sets of samples, each with its own labels where they are given as they are."""
    if not isinstance(data, SampleSets):
        return divided(read_data(model, data, labels, trials), trials.seed)
    if labels is not None:
        raise LabelledError(f"{model.name}: the three sets have labels of their own; leave ", option("labels"), " out")
    return data


def _told(goal: Goal, chosen: TriedCandidate, judged: Judged) -> TriedCandidate:
    """The same with a model that says in its metadata what it lacks, and what that was judged to cost."""
    made = chosen.candidate
    note = {**made.to_dict(), "asked": goal.text, "metric": goal.metric.name, "judged": judged.to_dict()}
    return replace(chosen, candidate=replace(made, model=noted(made.model, note)))


def _judged(task: DecomposeTask, chosen: TriedCandidate, judgement: Samples) -> Judged:
    """The chosen candidate on the samples that nothing has seen, which are looked at once."""
    found = beside(task, judgement).measure(chosen.candidate.model)
    limit = task.goal.limit
    return Judged(measured=found, limit=limit, holds=task.goal.allows(found.drop), samples=judgement.count)
