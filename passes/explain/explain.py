"""Explain one operator of a model: what it is like, what was tried and why not taken, and what holds it together."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy.typing as npt

from ...ir.errors import INSPECT
from ...ir.findings.explanation import Explanation, Percolation, UnknownNodeError
from ...ir.findings.inspection import Inspected
from ...ir.findings.near_products import NearProducts
from ...ir.findings.recording import RecordingObstacle
from ...ir.findings.touched import Touched
from ...ir.graph.addressing import meant
from ...ir.graph.functions import weight_takers
from ...ir.graph.linear import Linear, scopes
from ...ir.graph.operators import PRODUCTS
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.sizes import Setting, input_dims, open_dims
from ...ir.graph.skipped import Skipped
from ...ir.graph.view import View, view
from ...ir.io.load import Model
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.plan import Plan, Step
from ...ir.progress import Progress
from ...ir.reason import Cause, Reason
from ..connectivity.percolation import half_giant
from ..connectivity.small_cuts import glued_by_few, glued_by_size
from ..factor.find import fits, predicted_gain
from ..factor.nearest import near_products
from ..forests.find import why_it_stays
from ..lowering.target import Target
from ..planning.inspect import inspect_model, scopes_of
from ..planning.settings import PlanSettings
from ..rewrite.preparations import prepared
from ..rewrite.prepare import planned_view
from ..rewrite.static.obstacles import recording_obstacles
from .states import percolation_of_states, random_density, trials_of_states
from .touched import address_before, touched_by
from .trials import Case, analysis_of, first_named, stayed_apart, trials

__all__ = ["explain_node"]


NEAREST = 5  # names that are offered for one that is unknown


def explain_node(
    model: Model,
    node: str,
    settings: PlanSettings | None = None,
    *,
    sized: Callable[[], tuple[Setting, ...]] | None = None,
    progress: Progress | None = None,
    seed: int = 0,
) -> Explanation:
    """Everything that is known about one operator of a model; changes nothing.

    node: its address, or the name of a node where that is in one graph only; settings, sized, progress: those of
    `make_plan`, so that the verdict is that of a plan with the same settings; seed: of the search for a small cut. An
    operator that is no linear is explained by the reason why. Raises UnknownNodeError where there is no such node,
    naming the nearest, and what `make_plan` raises.
    """
    if not isinstance(node, str):
        what = f"an operator is named by a string, not by a {type(node).__name__}; "
        raise UnknownNodeError(f"{model.name}: {what}", INSPECT, " lists them")
    known: dict[str, Any] = {}
    found = inspect_model(model, settings, sized=sized, progress=progress, observe=known.__setitem__)
    with phase("explain"):
        told = _explained(model, node, found, known, (settings or PlanSettings()).target, seed)
        return replace(told, recording=_recording(model, told.node, found.plan))


def _explained(
    model: Model, node: str, found: Inspected, known: dict[str, Any], target: Target, seed: int
) -> Explanation:
    """known: what every weight is like, by address, before streams get another order."""
    operators = {address: one for scope in scopes(model.graph) for one, address in scope.addresses.items()}
    node = _known(model, node, found, operators)
    plan = found.plan
    scope = scopes_of(model, plan).get(node, "")
    row = next((row for row in found.rows if row.node == node), None)
    head: dict[str, Any] = {"model": model.name, "node": node, "scope": scope}
    first = node if row is None else address_before(model.graph, plan.preparations, node)
    head["touched"] = () if first is None else touched_by(model.graph, plan.preparations, first)
    if row is None:
        skip = next((skip for skip in plan.skipped if skip.node == node), None)
        skip = skip or _gone(node, head["touched"], operators) or _staying(node, plan, operators, model, target)
        tried = () if skip is None else tuple(stayed_apart(node, plan))  # else one of these is why
        skip = skip or _apart(node, plan, operators) or _no_linear(node, operators[node], found, model)
        return Explanation(**head, operator=skip.op, skipped=skip, trials=tried)
    seen = planned_view(model.graph, plan)
    if node not in _homes(seen):
        # It stands in a function that stays one: then it is named as it would be in the place of the call.
        graph = prepared(model.graph, plan.preparations)
        plan = replace(plan, inline=tuple(sorted(weight_takers(graph)[0])), reorderings=())
        seen = view(graph, plan.inline)
    step = next(step for step in plan.steps if step.node == node)
    head |= {"operator": step.op, "inspection": row, "rows": _rows(step, plan, model)}
    linear = next((one for one in seen.found.linears if one.address == node), None)
    if linear is None:
        way = next(one for one in seen.found.recurrents if one.address == node)
        W, R = way.stored(seen.found.constants)
        tried = (*stayed_apart(node, plan), *trials_of_states(way, step, target))
        return Explanation(**head, trials=tried, percolation=percolation_of_states(W, R))
    # Entries are named by their places in the model as it is; what was tried is about the order of the plan.
    stored = view(prepared(model.graph, plan.preparations), plan.inline) if plan.reorderings else seen
    own = next(one for one in stored.found.linears if one.address == node)
    weight = own.canonical(stored.found.constants)
    half = half_giant(weight)
    glue = (glued_by_few(weight, analysis_of(own, known, stored).components, seed), glued_by_size(weight, half))
    if plan.reorderings:
        known = {}
    analysis = analysis_of(linear, known, seen)
    return Explanation(
        **head,
        trials=trials(Case(linear, analysis, step, plan, seen, known, target)),
        percolation=Percolation(
            threshold=half.threshold,
            gone=1 - half.kept,
            giant=half.giant,
            components=half.components,
            random=random_density(*weight.shape),
        ),
        glue=tuple(one for one in glue if one is not None),
        near=_near(linear, weight, plan.rows_of([node]), target),
    )


def _near(linear: Linear, weight: npt.NDArray[Any], rows: Sequence[int], target: Target) -> NearProducts | None:
    """How near a weight is to a product of stages, and what these would gain where any of them are written."""
    if target.provider != "cpu" or not rows or not fits(linear):
        return near_products(weight)
    return near_products(weight, lambda factors: predicted_gain(factors, linear, tuple(rows), target)[0])


def _recording(model: Model, node: str, plan: Plan) -> tuple[RecordingObstacle, ...]:
    """What about a node keeps the prepared model from being recorded as a CUDA graph, where it is planned for CUDA."""
    if plan.provider != "cuda":
        return ()
    return tuple(one for one in recording_obstacles(prepared(model.graph, plan.preparations)) if one.node == node)


def _gone(node: str, touched: Sequence[Touched], operators: Mapping[str, ir.Node]) -> Skipped | None:
    """Why a node of the model is none of the plan: it went, or became another, before anything is split."""
    by = next((one.by for one in touched if one.inside), None)
    return None if by is None else Skipped(node, str(operators[node].op_type), by.reason, 0)


def _staying(node: str, plan: Plan, operators: Mapping[str, ir.Node], model: Model, target: Target) -> Skipped | None:
    """Why a forest that a node is part of keeps its form."""
    why = why_it_stays(model.graph, node, target, lambda: tuple(Setting(batch, {}) for batch in plan.batch))
    return None if why is None else Skipped(node, str(operators[node].op_type), why, 0)


def _apart(node: str, plan: Plan, operators: Mapping[str, ir.Node]) -> Skipped | None:
    """Why a node is not changed with others before anything is split."""
    why = next((one.reason for one in plan.refused if node in one.nodes), None)
    return None if why is None else Skipped(node, str(operators[node].op_type), why, 0)


def _rows(step: Step, plan: Plan, model: Model) -> str:
    """What the activation rows of a linear are made of, for each batch of the plan; once where all are alike."""
    fixed = not open_dims(input_dims(model.graph)) or (len(plan.batch) > 1 and len(set(step.extents)) == 1)
    told = []
    for batch, extents, rows in zip(plan.batch, step.extents, step.rows, strict=False):
        product = f" = {' x '.join(f'{extent:,}' for extent in extents)}" if len(extents) > 1 else ""
        told.append(f"{rows:,}{product}" + ("" if fixed else f" (batch {batch:,})"))
    return "; ".join(dict.fromkeys(told))


def _homes(seen: View) -> dict[str, ir.Node]:
    """The node of each linear and recurrent operator, by address."""
    operators: list[Linear | Recurrent] = [*seen.found.linears, *seen.found.recurrents]
    return {one.address: one.node for one in operators}


def _called(model: Model, node: ir.Node, found: Inspected) -> list[str]:
    """The linears in the function that a node calls, as the plan names them; nothing where it calls none."""
    if node.op_identifier() not in model.graph.functions:
        return []
    seen = view(model.graph, sorted(weight_takers(model.graph)[0]))
    inside = {node.op_identifier()}
    while (
        more := {
            other.op_identifier()
            for function in inside
            for other in model.graph.functions[function].all_nodes()
            if other.op_identifier() in model.graph.functions
        }
        - inside
    ):
        inside |= more
    homes = {address: seen.origins.get(one) for address, one in _homes(seen).items()}
    own = "::".join(part for part in node.op_identifier() if part) + "/"
    return [row.node for row in found.rows if homes.get(row.node) in inside or row.node.startswith(own)]


def _no_linear(node: str, operator: ir.Node, found: Inspected, model: Model) -> Skipped:
    """Why an operator that is not even skipped has nothing to split."""
    op, called = str(operator.op_type), _called(model, operator, found)
    ways = [row.node for row in found.rows if row.node.startswith(f"{node}[")]
    cause, why = Cause.NO_PRODUCT, f"{op} is no product of matrices: there is no constant weight to split"
    if called:
        cause, why = (
            Cause.IN_FUNCTION,
            f"it calls a function, whose products are taken by themselves: {first_named(called)}",
        )
    elif ways:
        cause, why = Cause.FUSED, f"each of its directions is taken by itself: {', '.join(ways)}"
    elif op in PRODUCTS and "::" in node:
        cause = Cause.IN_FUNCTION
        why = "it stands in a function, which is handed its factors: its calls are looked at where one of them splits"
    elif op in PRODUCTS:
        cause = Cause.NOT_CONSTANT
        why = "its factors are computed when the model runs: there is no constant weight to split"
    return Skipped(node, op, Reason(cause, why), 0)


def _known(model: Model, node: str, found: Inspected, operators: dict[str, ir.Node]) -> str:
    """The address that is meant by a name, which may be that of a node or of its weight."""
    every = dict.fromkeys([row.node for row in found.rows] + [skip.node for skip in found.plan.skipped])
    every |= dict.fromkeys(operators)
    if node in every:
        return node
    names = {address: (str(one.name),) for address, one in operators.items()}
    weights = {row.node: (row.weight,) for row in found.rows}
    constants = {address: _constants_of(one) for address, one in operators.items()}
    called, reading = meant(node, names), meant(node, weights, constants)
    named = called or reading
    if len(named) == 1:
        return named[0]
    if named:
        what = f"several nodes are called {node!r}" if called else f"several nodes read {node!r}"
        raise UnknownNodeError(f"{model.name}: {what}; name one of {', '.join(named[:NEAREST])}")
    every |= {row.weight: None for row in found.rows if row.weight}
    near = difflib.get_close_matches(node, every, n=NEAREST, cutoff=0.3)
    near = near or [row.node for row in found.rows][:NEAREST]
    offer = (
        f"the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}" if near else "it has no node with a name"
    )
    raise UnknownNodeError(f"{model.name}: there is no node {node!r}; {offer}; ", INSPECT, " lists them")


def _constants_of(node: ir.Node) -> tuple[str, ...]:
    """The names of the constants that a node reads."""
    return tuple(str(value.name) for value in node.inputs if value is not None and value.const_value is not None)
