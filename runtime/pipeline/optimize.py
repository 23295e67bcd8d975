"""The top of the pipeline: load, plan, rewrite, check, bench, and keep what is proved and faster."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from ...ir.errors import ScissionError
from ...ir.findings.taken_back import TakenBack
from ...ir.io.load import Source
from ...ir.plan.plan import Plan
from ...ir.plural import counted
from ...ir.progress import Progress
from ..calibrate.metric.function import module_file
from ..calibrate.sources.source import files_of_source
from ..fields import chosen, keywords
from ..ort.trials import Trials
from ..renamed import renamed
from ..render.words import priced_elsewhere, why_nothing
from .attempt import Attempt, Tried
from .destination import Destination
from .growth import growth
from .lossy import Draft, annealed_draft
from .options import OptimizeKeywords, OptimizeOptions, PlanOptions, agreed, annealer_of, refuse_idle, with_inputs_of
from .planner import Planner
from .result import Result
from .retry import fallen_back, less_prepared, one_by_one

if TYPE_CHECKING:
    from ..calibrate.annealer import Annealer
    from ..tune.fallback import Fallback

__all__ = ["optimize"]


@renamed(rows="batch")
@keywords(PlanOptions, OptimizeOptions)
def optimize(
    model: Source,
    output: str | os.PathLike[str] | None = None,
    options: PlanOptions | None = None,
    *,
    further: OptimizeOptions | None = None,
    anneal: Annealer | str | None = None,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[OptimizeKeywords],
) -> Result:
    """Plan, apply, check and bench: split what pays, prove it equal, measure it, and keep the faster model.

    Where the split model is measured slower than the original and `force` is false, the units of the plan are measured
    one by one and the slow ones go back to dense, `Result.fallbacks`, until the model is as fast as what came in.
    Preparations with which the check fails, or the model does not run, are taken back, `Result.taken_back`. The
    output is the original, byte for byte, when nothing splits, or when none of that helps; nothing is written when the
    check of what is split fails. A model given as a path needs `output`; others come back in `Result.model`, as what
    they came in.

    Each field of PlanOptions and OptimizeOptions may be given as a keyword of its own, which goes before the one in
    `options` or `further`: those of `plan`, and tune, measure the ways to split each operator; cache, reuse what that
    measured before; check, prove the result equal; bench, measure it; overwrite, replace an output that exists; data,
    labels, max_drop. trials: how models are run; progress: called with (done, total, what).

    anneal: how to remove weights that learning did not confirm, by a method or an Annealer, off by default because it
    is lossy; then `max_drop`, such as 'argmax<=0.01', bounds what the task metric may lose on `data`, inputs by name
    with samples first, judged by `labels`. Raises ModelError, SessionError, InputError, DeviceError, OptionError and
    PlanError as `plan` does, NoMemoryError when nothing that runs fits into memory, ValueError for a file without an
    output, and where annealing is asked for AnnealOptionsError, also where data or a bound are missing, AnnealError,
    SchemeError, CheckpointError, LabelledError and MetricError.
    """
    from ..ort.library import require_provider

    options, trials = agreed(chosen(PlanOptions, options, single), trials)
    further = chosen(OptimizeOptions, further, single)
    anneal = annealer_of(anneal)
    refuse_idle(further, anneal)
    judged = *files_of_source(further.data), *files_of_source(further.labels), module_file(further.max_drop)
    read = (*judged, trials.inputs, trials.inputs_file, anneal and anneal.initial, further.cache_file)
    place = Destination.of(model, output, further.overwrite, trials.custom_ops, read)
    options, trials = with_inputs_of(place.loaded, options, trials)
    require_provider(trials.provider, place.loaded.name)
    timed = trials if further.bench else None
    tuning, graphs = trials if further.tune else None, trials.cuda_graph != "off"
    planner = Planner.of(place.loaded, options, tuning, further.cache, progress, run=timed, graphs=graphs)
    if anneal is None:
        plan, tuned = planner(place.loaded)
        draft = Draft(plan=plan, exact=place.loaded, tuned=tuned)
    else:
        draft = annealed_draft(planner, anneal, further.data, further.labels, further.max_drop, trials)
    if not draft.plan.changes:
        planner.tell()
        _require_readable(place, trials)
        return _unchanged(place, draft)
    attempt = Attempt(
        place=place,
        trials=trials,
        batch=options.batches,
        check=further.check,
        bench=further.bench,
        force=options.force or bool(options.wanted),
        tuned=further.tune,
        progress=progress,
    )
    fallbacks: tuple[Fallback, ...] = ()
    planned, note = draft.plan.preparations, ""
    tried, draft, gone = _first(attempt, planner, draft)
    if tried.outcome == "failed" and (alone := one_by_one(attempt, planner, draft)):
        note = f"; operators are split one by one, since together they failed the check: {tried.reason}"
        tried, draft = alone
    if tried.outcome == "slower" and (dropped := fallen_back(attempt, draft)):
        tried, draft, fallbacks = dropped
        note = f"; {len(fallbacks)} went back to dense, with which the model was slower than the original{note}"
    faulty = tried.outcome == "failed"
    if tried.outcome in ("failed", "slower") and (fewer := less_prepared(attempt, planner, draft, faulty=faulty)):
        faulty, why = faulty or gone is not None, gone.why if gone is not None else tried.reason
        (tried, draft), fallbacks, note = fewer, (), ""
        gone = TakenBack.between(planned, draft.plan.preparations, faulty=faulty, why=why)
    return _kept(place, draft, tried, fallbacks, note, gone)


def _first(attempt: Attempt, planner: Planner, draft: Draft) -> tuple[Tried, Draft, TakenBack | None]:
    """What came of the plan, of which plan, and what was taken back of it.

    Where it cannot even be run, kinds of preparations are left away; raises what it raised where that does not help,
    and where nothing is left to do and the original cannot be run either.
    """
    try:
        return attempt.run(draft), draft, None
    except ScissionError as error:
        if (fewer := less_prepared(attempt, planner, draft, faulty=True)) is None:
            raise
        tried, left = fewer
        if not left.plan.changes and not attempt.original_runs():
            raise
        before, after = draft.plan.preparations, left.plan.preparations
        return tried, left, TakenBack.between(before, after, faulty=True, why=str(error))


def _require_readable(place: Destination, trials: Trials) -> None:
    """Raise InputError for real inputs that are none of the model, though nothing is run on them."""
    from ..compare.real_inputs import real_feeds
    from ..ort.memory import NoMemoryError

    if trials.inputs is not None:
        with suppress(NoMemoryError):
            real_feeds(place.loaded, trials.inputs, trials)


def _unchanged(place: Destination, draft: Draft) -> Result:
    """Nothing is split, so the original is handed back."""
    selection, how = draft.selection, "measured" if draft.tuned else "predicted"
    if selection is None:
        reason = why_nothing(draft.plan, how)
    elif not selection.chosen:
        reason = f"nothing was annealed: {selection.reason}"
    else:
        count = len(selection.chosen)
        none = "it is not" if count == 1 else "none of them is"
        reason = f"{counted(count, 'operator')} could be annealed, but {none} {how} to gain, so nothing was removed"
    return Result(
        outcome="unchanged",
        reason=reason + _elsewhere(draft.plan),
        plan=draft.plan,
        written=place.write(None),
        model=place.target if place.loaded.path else place.as_given(None),
        selection=selection,
        tuned=draft.tuned,
    )


def _elsewhere(plan: Plan) -> str:
    """Which card the prices of a plan for CUDA are from, where that is another than this."""
    from ..ort.environment import gpu_name

    told = priced_elsewhere(plan.provider, gpu_name()) if plan.provider == "cuda" else ""
    return f"; {told}" if told else ""


def _kept(
    place: Destination, draft: Draft, tried: Tried, fallbacks: tuple[Fallback, ...], note: str, gone: TakenBack | None
) -> Result:
    """The result with what is handed back: the split model, or the original where that is slower or not proved equal.

    Raises ModelError where the original cannot be written.
    """
    plan, selection, outcome = draft.plan, draft.selection, tried.outcome
    back = f"; {gone.text}" if gone is not None else ""
    reason = tried.reason + note + growth(place.loaded, tried.written) + back + _elsewhere(plan)
    if selection is not None and selection.chosen:
        if outcome == "split":
            plan = plan.with_annealing(selection.annealing, selection.effect)
        else:  # what is handed back has all its weights
            why = f"annealed and split ({selection.effect}) it was not kept: {reason}"
            selection = replace(selection, chosen=(), held_back=None, tuning=None, reason=why)
            plan = plan.with_annealing(())
    written = place.write(None) if outcome in ("slower", "unchanged") else tried.written
    model = place.as_given(tried.changed if outcome == "split" else None)
    return Result(
        outcome=outcome,
        reason=reason,
        plan=plan,
        verdict=tried.verdict,
        benches=tried.benches,
        written=written,
        model=place.target if place.loaded.path and written else model,
        selection=selection,
        tuned=draft.tuned,
        fallbacks=fallbacks,
        taken_back=gone,
    )
