"""The top of the pipeline: load, plan, rewrite, check, bench, and keep what is proved and faster."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...ir.io.load import Source
from ...ir.plural import counted
from ...ir.progress import Progress
from ..ort.trials import Trials
from ..renamed import renamed
from ..render.words import why_nothing
from .attempt import Attempt, Tried
from .destination import Destination
from .growth import growth
from .lossy import Draft, annealed_draft
from .options import Lowerings, PlanOptions
from .planner import Planner
from .result import Result
from .retry import fallen_back, one_by_one

if TYPE_CHECKING:
    from ..calibrate.dataset import Labelled
    from ..calibrate.prepare import Annealer
    from ..tune.fallback import Fallback

__all__ = ["optimize"]


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
    from ..ort.session import require_provider

    trials = trials or Trials()
    options = PlanOptions(
        provider=trials.provider,
        batch=batch,
        sizes=trials.sizes,
        threads=trials.threads,
        force=force,
        device=device,
        regions=regions,
        granularity=granularity,
        parts=parts,
        lowering=lowering,
    )
    place = Destination.of(model, output, overwrite, trials.custom_ops)
    require_provider(trials.provider, place.loaded.name)
    anneal = _annealer(anneal)
    place.refuse(_files(data, labels, trials.inputs, anneal and anneal.initial, *trials.custom_ops))
    planner = Planner.of(place.loaded, options, trials if tune else None, cache, progress)
    if anneal is None:
        plan, tuned = planner(place.loaded)
        draft = Draft(plan=plan, exact=place.loaded, tuned=tuned)
    else:
        draft = annealed_draft(planner, anneal, data, labels, max_drop, trials)
    if not draft.plan.rewrites:
        return _unchanged(place, draft)
    attempt = Attempt(
        place=place,
        trials=trials,
        batch=batch,
        check=check,
        bench=bench,
        force=force or bool(options.wanted),
        tuned=tune,
        progress=progress,
    )
    fallbacks: tuple[Fallback, ...] = ()
    tried, note = attempt.run(draft), ""
    if tried.outcome == "failed" and (alone := one_by_one(attempt, planner, draft)):
        note = f"; operators are split one by one, since together they failed the check: {tried.reason}"
        tried, draft = alone
    if tried.outcome == "slower" and (fewer := fallen_back(attempt, draft)):
        tried, draft, fallbacks = fewer
        note = f"; {len(fallbacks)} went back to dense, with which the model was slower than the original{note}"
    return _kept(place, draft, tried, fallbacks, note)


def _annealer(anneal: Annealer | str | None) -> Annealer | None:
    """How to anneal, None where that was not asked for."""
    if anneal is None:
        return None
    from ..calibrate.prepare import as_annealer

    return as_annealer(anneal)


def _files(*given: Any) -> list[Path]:
    """The files among what was given."""
    return [Path(path) for path in given if isinstance(path, (str, os.PathLike))]


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
        reason=reason,
        plan=draft.plan,
        written=place.write(None),
        model=place.target if place.loaded.path else place.as_given(None),
        selection=selection,
        tuned=draft.tuned,
    )


def _kept(place: Destination, draft: Draft, tried: Tried, fallbacks: tuple[Fallback, ...], note: str) -> Result:
    """The result with what is handed back: the split model, or the original where that is slower or not proved equal.

    Raises ModelError where the original cannot be written.
    """
    plan, selection, outcome = draft.plan, draft.selection, tried.outcome
    reason = tried.reason + note + growth(place.loaded, tried.written)
    if selection is not None and selection.chosen:
        if outcome == "split":
            plan = replace(plan, annealing=selection.annealing, effect=selection.effect)
        else:  # what is handed back has all its weights
            why = f"annealed and split ({selection.effect}) it was not kept: {reason}"
            selection = replace(selection, chosen=(), held_back=None, tuning=None, reason=why)
            plan = replace(plan, annealing=(), effect="")
    written = place.write(None) if outcome in ("slower", "unchanged") else tried.written
    back = place.as_given(tried.changed if outcome == "split" else None)
    return Result(
        outcome=outcome,
        reason=reason,
        plan=plan,
        verdict=tried.verdict,
        benches=tried.benches,
        written=written,
        model=place.target if place.loaded.path and written else back,
        selection=selection,
        tuned=draft.tuned,
        fallbacks=fallbacks,
    )
