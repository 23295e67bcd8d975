"""What is done to a model before it is split: edges go, preparations are carried out, axes take another order."""

from __future__ import annotations

from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.plan import Plan, PlanError
from .preparations import prepared
from .remove_edges import remove_edges
from .reorder_axes import reorder_axes

__all__ = ["planned_view"]


def planned_view(model: ir.Model, plan: Plan) -> View:
    """The view of a model that the steps of a plan are about: annealed, prepared and reordered first, as far as the
    plan does so.

    Raises PlanError when the model lacks a local function that the plan puts in the place of its calls, and what
    `remove_edges`, `prepared` and `reorder_axes` raise.
    """
    if plan.annealing:
        model = remove_edges(model, plan.annealing, effect=plan.effect)
    model = prepared(model, plan.preparations)
    if missing := set(plan.inline) - model.functions.keys():
        raise PlanError(
            f"the model has no local function {'::'.join(min(missing)[:2])}; make a new plan for this model"
        )
    inline = plan.inline
    if plan.reorderings:
        model, inline = reorder_axes(model, plan.reorderings, inline), ()
    return view(model, inline)
