"""Plan a model from wherever it comes; tuned and annealed where that is asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Unpack

from ...ir.io.load import Source
from ...ir.plan.plan import Plan
from ...ir.progress import Progress
from ...passes.rewrite.remove_edges import remove_edges
from ..fields import chosen, keywords
from ..ort.trials import Trials
from ..renamed import renamed
from .destination import load_valid
from .options import PlanKeywords, PlanOptions, agreed, annealer_of, with_inputs_of
from .planner import Planner, with_graph

if TYPE_CHECKING:
    from ..calibrate.annealer import Annealer
    from ..tune.tuned import Tuned

__all__ = ["plan", "tuned_plan"]


@renamed(rows="batch")
@keywords(PlanOptions)
def plan(
    model: Source,
    options: PlanOptions | None = None,
    *,
    anneal: Annealer | str | None = None,
    tune: bool = False,
    cache: bool = True,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[PlanKeywords],
) -> Plan:
    """Find the blocks of every linear of a model and choose what to do with each; changes nothing.

    Each field of PlanOptions may be given as a keyword of its own, which goes before the one in `options`: provider,
    'auto', 'cpu' or 'cuda', whose costs are predicted; batch, sizes of the leading open dimension of the inputs to
    predict for, without it 1, 16 and 256 positions over all open dimensions; sizes, of other open dimensions, by name;
    threads, that will run it, all cores by default; force, split whatever splits, also where that is slower, each block
    by itself; device, that weights are analysed on, 'cpu', 'cuda', 'mps', 'xpu' or 'auto', which is CUDA for large
    models where torch has it: the plan is the same; regions, split linears together where that gains more, and put the
    features of inner axes in the order of the blocks, else each linear is taken alone; granularity, features of the
    widest block; parts, number of groups of blocks, even in multiply-adds; lowering, such as 'scatternd', that every
    linear is to have whatever it costs, 'NODE=split' for one, or several of these; custom_ops, libraries of custom
    operators that the model needs.

    anneal: remove weights that learning did not confirm before anything is split, by a method or an Annealer, which is
    lossy and here neither measured nor bounded: `optimize` does that; tune: measure the ways to split each operator
    here and keep the fastest; cache: whether that takes what was measured before; trials: how it is measured; progress:
    called with (done, total, what). Raises ModelError when the model cannot be read or nothing takes it, OptionError
    for options that cannot be or contradict the trials, PlanError for a lowering or a node that is none, DeviceError
    when there is no such device, SessionError for a library that is none and where tuning cannot run anything,
    InputError for sizes of what is not open, and where annealing is asked for AnnealOptionsError, AnnealError,
    SchemeError and CheckpointError.
    """
    asked, trials = agreed(chosen(PlanOptions, options, single), trials)
    return _planned(model, asked, anneal, trials, tune, cache, progress)[0]


@renamed(rows="batch")
@keywords(PlanOptions)
def tuned_plan(
    model: Source,
    options: PlanOptions | None = None,
    *,
    anneal: Annealer | str | None = None,
    cache: bool = True,
    trials: Trials | None = None,
    progress: Progress | None = None,
    **single: Unpack[PlanKeywords],
) -> Tuned:
    """A tuned plan, and what was measured for it; as `plan` with `tune`, and raises the same."""
    asked, trials = agreed(chosen(PlanOptions, options, single), trials)
    plan, found = _planned(model, asked, anneal, trials, True, cache, progress)
    assert found is not None
    return replace(found, plan=plan)


def _planned(
    model: Source,
    options: PlanOptions,
    anneal: Annealer | str | None,
    trials: Trials,
    tune: bool,
    cache: bool,
    progress: Progress | None,
) -> tuple[Plan, Tuned | None]:
    """A plan, and what was measured for it where it is tuned."""
    how = annealer_of(anneal)
    loaded = load_valid(model, options.custom_ops)
    options, trials = with_inputs_of(loaded, options, trials)
    if tune:
        from ..ort.library import require_provider

        require_provider(options.provider, loaded.name)
    graphs = trials.cuda_graph != "off"
    planner = Planner.of(loaded, options, trials if tune else None, cache, progress, graphs=graphs)
    return planner(loaded) if how is None else _annealed(planner, how)


def _annealed(planner: Planner, anneal: Annealer) -> tuple[Plan, Tuned | None]:
    """A plan that anneals whatever is split only so, unmeasured and unbounded, and leaves the other weights alone."""
    from ...passes.anneal.model import anneal_model
    from ..calibrate.annealer import AnnealOptionsError
    from ..calibrate.budget_search import NO_GAIN
    from ..calibrate.prepare import prepare

    loaded = planner.loaded
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
