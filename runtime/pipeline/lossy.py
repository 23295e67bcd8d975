"""Annealing on the way to a split model: within a bound that data measure, and only where the split follows."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ...ir.errors import Remedy
from ...ir.io.load import Model
from ...ir.plan.plan import Plan
from ...passes.rewrite.remove_edges import remove_edges
from ..ort.trials import Trials
from .planner import Planner, with_graph

if TYPE_CHECKING:
    from ..calibrate.annealer import Annealer
    from ..calibrate.dataset import Labelled
    from ..calibrate.metric.metric import Budget
    from ..calibrate.selection import Selection
    from ..tune.tuned import Tuned

__all__ = ["Draft", "Lossy", "annealed_draft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A plan that was not tried yet.

    exact: the model without what is annealed, which the split one must equal; tuned: what was measured of the units;
    selection, lossy: what is annealed, and by what that is judged, None where annealing was not asked for.
    """

    plan: Plan
    exact: Model
    tuned: Tuned | None = None
    selection: Selection | None = None
    lossy: Lossy | None = None

    def settled(self, plan: Plan) -> Draft:
        """The same with a plan that leaves more operators dense, which get the weights back that they lost."""
        if self.lossy is None or self.selection is None:
            return replace(self, plan=plan)
        selection, exact, plan = self.lossy.settled(self.selection, self.exact, plan)
        return replace(self, plan=plan, exact=exact, selection=selection)


def annealed_draft(
    planner: Planner,
    anneal: Annealer,
    data: Labelled | Mapping[str, Any] | str | os.PathLike[str] | None,
    labels: Any,
    max_drop: str | None,
    trials: Trials,
) -> Draft:
    """What is annealed within the budget, the model without it, and its plan; only where the split that follows pays.

    Nothing is annealed without data and a bound on what it may cost: raises AnnealOptionsError.
    """
    from ..calibrate.annealer import AnnealOptionsError
    from ..calibrate.budget_search import select
    from ..calibrate.level_sweep import read_data
    from ..calibrate.metric.metric import parse_budget

    if data is None or max_drop is None:
        raise AnnealOptionsError(
            "annealing is lossy: give data to judge it by (",
            Remedy("data=…", "--data DATA"),
            ") and how much the task may lose (",
            Remedy("max_drop='argmax<=0.01'", "--max-drop 'argmax<=0.01'"),
            "); ",
            Remedy("`scission.plan(model, anneal=…)`", "`scission plan --anneal`"),
            " shows what it would remove without either",
        )
    model = planner.loaded
    budget = parse_budget(max_drop)
    held = read_data(model, data, labels, trials)
    selection = select(model, anneal, held, budget, trials, planner.progress)
    lossy = Lossy(planner, held, budget, anneal.seed, trials)
    exact = lossy.exact(selection)
    plan, tuned = planner(exact)
    if selection.chosen and (useful := lossy.useful(selection, plan)) is not selection:
        selection, exact = useful, lossy.exact(useful)
        plan, tuned = planner(exact)
    return Draft(plan=plan, exact=exact, tuned=tuned, selection=selection, lossy=lossy)


@dataclass(frozen=True, slots=True)
class Lossy:
    """What annealing is judged by, so that it can be taken back where the split does not follow after all."""

    planner: Planner
    data: Labelled
    budget: Budget
    seed: int
    trials: Trials

    def exact(self, selection: Selection) -> Model:
        """The model without what the selection removes, which the split one must equal."""
        model = self.planner.loaded
        if not selection.chosen:
            return model
        kept = remove_edges(model.graph, selection.annealing, selection.refitted, effect=selection.effect)
        return with_graph(model, kept)

    def useful(self, selection: Selection, plan: Plan) -> Selection:
        """The selection without operators that the plan leaves dense: they would only lose."""
        from ..calibrate.budget_search import without_useless

        split = {step.node for step in plan.rewrites}
        model = self.planner.loaded
        return without_useless(model, selection, split, self.data, self.seed, self.budget, self.trials)

    def settled(self, selection: Selection, exact: Model, plan: Plan) -> tuple[Selection, Model, Plan]:
        """Selection, annealed model and plan after some operators went back to dense."""
        useful = self.useful(selection, plan)
        if useful is selection:
            return selection, exact, plan
        split = {step.node for step in plan.rewrites}
        if {c.annealing.node for c in useful.chosen} != {c.annealing.node for c in selection.chosen} & split:
            # Without them the budget does not hold, so nothing is annealed, and the plan is for other weights.
            dense = {step.node: step.reason for step in plan.steps if step.lowering == "dense"}
            plan, _ = self.planner(self.planner.loaded)
            for step in plan.rewrites:
                if step.node in dense:
                    plan = plan.kept_dense([step.node], dense[step.node])
        return useful, self.exact(useful), plan
