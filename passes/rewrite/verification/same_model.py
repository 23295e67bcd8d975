"""A plan held against a whole model: whatever it names, split or not, has to be there, or it is of another model."""

from __future__ import annotations

from ....ir.graph.linear import Linear, scopes
from ....ir.graph.recurrent import Recurrent
from ....ir.graph.survey import Survey
from ....ir.graph.view import view
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Plan, PlanError

__all__ = ["require_same_model"]

OTHER = "the plan is for another model"


def require_same_model(model: ir.Model, plan: Plan, found: Survey) -> None:
    """Raise PlanError, naming the node, unless the model has every operator that the plan leaves as it is.

    model: before anything was done to it; found: what the view of it is like that steps are about, see `planned_view`.
    Such an operator is the same by what it is called, its operator, shape and type: what a dense weight holds, and what
    it is called, may have been annealed and put back. A plan that names none is held against the number of parameters.
    Operators that it splits are `verified` by whoever does so.
    """
    dense = [step for step in plan.steps if step.lowering == "dense"]
    known, named = _operators(found), {text for scope in scopes(model) for text in scope.addresses.values()}
    named |= known.keys() | {skip.node for skip in found.skipped}
    wanted = [*(step.node for step in dense), *(skip.node for skip in plan.skipped)]
    if model.functions and not named.issuperset(wanted):  # by what it is called where every function is in its place
        inlined = view(model, tuple(model.functions)).found
        known = _operators(inlined) | known
        named |= known.keys() | {skip.node for skip in inlined.skipped}
    for node in wanted:
        if node not in named:
            raise PlanError(f"{node}: the model has no such operator; {OTHER}")
    for step in dense:
        one = known.get(step.node)
        if one is not None and (one.op, one.shape, one.dtype.name.lower()) != (step.op, step.shape, step.dtype):
            raise PlanError(f"{step.node}: is {_told(one.op, one.shape)}, not {_told(step.op, step.shape)}; {OTHER}")
    if not (wanted or plan.steps or plan.annealing) and plan.parameters != found.parameters:
        raise PlanError(f"the plan counts {plan.parameters:,} parameters, the model has {found.parameters:,}; {OTHER}")


def _operators(found: Survey) -> dict[str, Linear | Recurrent]:
    linears: dict[str, Linear | Recurrent] = {one.address: one for one in found.linears}
    return linears | {one.address: one for one in found.recurrents}


def _told(op: str, shape: tuple[int, int]) -> str:
    return f"{op} of {shape[0]}x{shape[1]}"
