"""Weights written as the products of stages that they are: one operator goes, a stack of products a stage comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear
from ...ir.graph.shapes import correct_shapes
from ...ir.graph.view import view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.factored_weight import FactoredWeight, HierarchicalWeight
from ...ir.plan.plan import PlanError
from ..decompose.fingerprint import fingerprint
from ..factor.certificate import certify
from ..factor.emit import emit
from ..factor.emit_rows import emit_rows, suits_rows
from ..factor.factorise import Recipe, follow
from ..factor.find import fits
from ..factor.known_orders import RadixSplit
from ..factor.stages import Factors
from ..hierarchical.emit import emit as emit_hierarchical
from ..hierarchical.near_far import NearFar, near_far
from ..lowering.nodes.emitter import Emitter, Names
from ..lowering.nodes.sharing import Sharing
from .edit import drop_unread, inherit, register

__all__ = ["write_factors", "write_hierarchical"]

Written: TypeAlias = FactoredWeight | HierarchicalWeight


def write_factors(model: ir.Model, wanted: Sequence[FactoredWeight]) -> ir.Model:
    """A copy of the model in which these weights are written as products; raises PlanError where one is another, or is
    no such product."""
    return _written(model, wanted)


def write_hierarchical(model: ir.Model, wanted: Sequence[HierarchicalWeight]) -> ir.Model:
    """A copy of the model in which these weights are written as near and far outputs; raises PlanError where one is
    another, or is not hierarchical."""
    return _written(model, wanted)


def _written(model: ir.Model, wanted: Sequence[Written]) -> ir.Model:
    seen = view(model)
    linears = {linear.address: linear for linear in seen.found.linears}
    names, sharing = Names(seen.model), Sharing()
    now: dict[ir.Value, ir.Value] = {}
    for step in wanted:
        linear = linears.pop(step.nodes[0], None)
        rows_first = isinstance(step, FactoredWeight) and step.rows_first > 0
        if linear is None or len(step.nodes) > 1 or not fits(linear, rows_first=rows_first):
            raise PlanError(f"{step.nodes[0]}: it is not what the plan says; make a new plan for this model")
        emitter = Emitter(_current(linear, now), names)
        result = _emitted(step, linear, emitter, seen.found.constants)
        graph, output = linear.node.graph, linear.node.outputs[0]
        assert graph is not None
        register(seen.model, linear, graph, emitter.constants, names, sharing)
        inherit(result, output)
        held = [value for value in linear.node.inputs if value is not None and value in seen.found.constants]
        ir.convenience.replace_nodes_and_values(graph, linear.node, [linear.node], emitter.nodes, [output], [result])
        for value in held:
            drop_unread(seen.model, value)
        now[output] = result
    correct_shapes(seen.model)
    return seen.model


def _emitted(step: Written, linear: Linear, emitter: Emitter, constants: Constants) -> ir.Value:
    """What replaces the output of a linear; raises PlanError where its weight is another one, or made otherwise."""
    if isinstance(step, HierarchicalWeight):
        return emit_hierarchical(emitter, constants, _near_far(step, linear, constants))
    factors = _factors(step, linear, constants)
    if step.rows_first == len(factors.stages):
        return emit_rows(emitter, constants, factors)
    return emit(emitter, constants, factors, step.rows_first)


def _near_far(step: HierarchicalWeight, linear: Linear, constants: Constants) -> NearFar:
    """What a weight is made of, anew."""
    weight = _weight(step, linear, constants)
    found = near_far(weight, step.block)
    if found is None or not certify(weight, found).holds:
        raise PlanError(f"{linear.address}: its weight is not hierarchical in such blocks; make a new plan")
    return found


def _factors(step: FactoredWeight, linear: Linear, constants: Constants) -> Factors:
    """Those of a weight, made anew."""
    weight = _weight(step, linear, constants)
    splits = tuple(RadixSplit(stride=stride, step=gap) for stride, gap in step.splits)
    recipe = Recipe(splits=splits, scaled=step.scaled, hidden=step.hidden)
    factors = follow(weight, recipe)
    if factors is None or not certify(weight, factors).holds or not suits_rows(factors, step.rows_first):
        raise PlanError(f"{linear.address}: its weight is no product of these stages; make a new plan")
    return factors


def _weight(step: Written, linear: Linear, constants: Constants) -> npt.NDArray[np.floating]:
    """The weight (K, N) that a plan was made for."""
    try:
        stored = linear.stored(constants)
    except ModelError as error:
        raise PlanError(f"{linear.address}: its weight cannot be read: {error}") from None
    if fingerprint(stored) != step.sha256:
        raise PlanError(f"{linear.address}: the weight is not the one the plan was made for; make a new plan")
    return linear.as_matrix(stored)


def _current(linear: Linear, now: Mapping[ir.Value, ir.Value]) -> Linear:
    """The same where what it reads was replaced by now."""
    addend = linear.addend and now.get(linear.addend, linear.addend)
    return replace(linear, activation=now.get(linear.activation, linear.activation), addend=addend)
