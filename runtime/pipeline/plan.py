"""Plan a model from wherever it comes; tuned and annealed where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...ir.io.load import Model, Source
from ...ir.plan.plan import Plan
from ...ir.progress import Progress
from ...passes.rewrite.remove_edges import remove_edges
from ..ort.trials import Trials
from ..renamed import renamed
from .destination import load_valid
from .options import Lowerings, PlanOptions
from .planner import Planner, with_graph

if TYPE_CHECKING:
    from ..calibrate.prepare import Annealer
    from ..ort.session import Choice
    from ..tune.tune import Tuned

__all__ = ["plan", "tuned_plan"]


@renamed(rows="batch")
def plan(
    model: Source,
    *,
    provider: str = "auto",
    batch: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    device: str = "auto",
    anneal: Annealer | str | None = None,
    regions: bool = True,
    tune: bool = False,
    cache: bool = True,
    custom_ops: Sequence[Path] = (),
    granularity: int | None = None,
    parts: int | None = None,
    lowering: Lowerings = None,
) -> Plan:
    """Find the blocks of every linear of a model and choose what to do with each; changes nothing.

    provider: 'auto', 'cpu' or 'cuda', whose costs are predicted; batch: sizes of the leading open dimension of the
    inputs to predict for, without it 1, 16 and 256 positions over all open dimensions; sizes: of other open dimensions,
    by name; threads: that will run it, all cores by default; force: split whatever splits, also where that is slower,
    each block by itself; device: that weights are analysed on, 'cpu', 'cuda' or 'auto', which is CUDA for large models
    where torch has it: the plan is the same; anneal: remove weights that learning did not confirm before anything is
    split, which is lossy and here neither measured nor bounded: `optimize` does that; regions: split linears together
    where that gains more, and put the features of inner streams in the order of the blocks, else each linear is taken
    alone; tune: measure the ways to split each operator here and keep the fastest, see `tune`; cache: whether that
    takes what was measured before; granularity: features of the widest block; parts: number of groups of blocks, even
    in multiply-adds; lowering: a way such as 'scatternd' that every linear is to have whatever it costs, 'NODE=split'
    for one, or several of these; custom_ops: libraries of custom operators that the model needs. Raises ModelError when
    the model cannot be read or nothing takes it, PlanError for a lowering or a node that is none, DeviceError when
    there is no such device, SessionError where tuning cannot run anything, InputError for sizes of what is not open,
    and for annealing what `prepare` raises.
    """
    options = PlanOptions(
        provider=provider,
        batch=batch,
        sizes=sizes,
        threads=threads,
        force=force,
        device=device,
        regions=regions,
        granularity=granularity,
        parts=parts,
        lowering=lowering,
    )
    trials = Trials(custom_ops=tuple(custom_ops), sizes=sizes)
    return _planned(load_valid(model, custom_ops), options, anneal, trials, tune, cache, progress)[0]


@renamed(rows="batch")
def tuned_plan(
    model: Source,
    *,
    provider: str = "auto",
    batch: Sequence[int] | None = None,
    sizes: Mapping[str, int] | None = None,
    threads: int | None = None,
    force: bool = False,
    progress: Progress | None = None,
    device: str = "auto",
    anneal: Annealer | str | None = None,
    regions: bool = True,
    cache: bool = True,
    trials: Trials | None = None,
    granularity: int | None = None,
    parts: int | None = None,
    lowering: Lowerings = None,
) -> Tuned:
    """A tuned plan, and what was measured for it; as `plan` with `tune`. trials: sizes, seed and tolerance."""
    trials = trials or Trials()
    trials = trials if sizes is None else replace(trials, sizes=sizes)
    options = PlanOptions(
        provider=provider,
        batch=batch,
        sizes=trials.sizes,
        threads=threads,
        force=force,
        device=device,
        regions=regions,
        granularity=granularity,
        parts=parts,
        lowering=lowering,
    )
    loaded = load_valid(model, trials.custom_ops)
    chosen, found = _planned(loaded, options, anneal, trials, True, cache, progress)
    assert found is not None
    return replace(found, plan=chosen)


def _planned(
    loaded: Model,
    options: PlanOptions,
    anneal: Annealer | str | None,
    trials: Trials,
    tune: bool,
    cache: bool,
    progress: Progress | None,
) -> tuple[Plan, Tuned | None]:
    """A plan, and what was measured for it where it is tuned."""
    raced: Trials | None = None
    if tune:
        from ..ort.session import require_provider

        require_provider(options.provider, loaded.name)
        raced = replace(trials, provider=cast("Choice", options.provider), threads=options.threads)
    planner = Planner.of(loaded, options, raced, cache, progress)
    return planner(loaded) if anneal is None else _annealed(planner, anneal)


def _annealed(planner: Planner, anneal: Annealer | str) -> tuple[Plan, Tuned | None]:
    """A plan that anneals whatever is split only so, unmeasured and unbounded, and leaves the other weights alone."""
    from ...passes.anneal.model import anneal_model
    from ..calibrate.budget_search import NO_GAIN
    from ..calibrate.prepare import AnnealOptionsError, as_annealer, prepare

    anneal, loaded = as_annealer(anneal), planner.loaded
    if anneal.needs_data:
        raise AnnealOptionsError("a plan knows no data: refit, veto and exposed belong to `optimize`, with data")
    decided = anneal_model(loaded, prepare(loaded, anneal).settings, planner.progress)
    why = {one.node: one.reason for one in decided.found if one.reason}
    chosen = decided.annealing
    while True:
        left = with_graph(loaded, remove_edges(loaded.graph, chosen)) if chosen else loaded
        found, tuned = planner(left)
        split = {step.node for step in found.rewrites}
        why |= {one.node: NO_GAIN for one in chosen if one.node not in split}
        if all(one.node in split for one in chosen):
            break
        chosen = tuple(one for one in chosen if one.node in split)  # the others would lose weights for nothing
    steps = [
        replace(step, reason=step.reason.told(f"not annealed: {why[step.node]}; as it is: {step.reason}"))
        if step.node in why
        else step
        for step in found.steps
    ]
    return replace(found, steps=tuple(steps), annealing=chosen), tuned
