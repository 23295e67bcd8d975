"""The only graph mutation: a plan written into a copy of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.linear import Linear
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.plan import Plan, PlanError, Step
from ..ir.recurrent import Recurrent
from ..ir.shapes import correct_shapes
from ..ir.survey import Survey
from ..ir.view import view
from .blocks import has_windows, is_contiguous
from .edges import edges
from .emit import Emitter, Names
from .fingerprint import fingerprint
from .lowering import lower, problem
from .native import folds_bias
from .parallel import parallel
from .units import coupling_hash, joint_edges, units_of

__all__ = ["rewrite"]

INITIALIZERS_ARE_INPUTS = 4  # before this IR version every initializer had to be a graph input


def rewrite(model: ir.Model, plan: Plan) -> ir.Model:
    """A copy of the model in which every step of the plan that is not `dense` is carried out.

    Interfaces, other nodes and their names stay as they are; weights that nobody reads any more go. Raises PlanError
    when a node is missing or its weight is not the one that the plan was made for.
    """
    if missing := set(plan.inline) - model.functions.keys():
        raise PlanError(
            f"the model has no local function {'::'.join(min(missing)[:2])}; make a new plan for this model"
        )
    seen = view(model, plan.inline)
    copy, found = seen.model, seen.found
    linears = {linear.address: linear for linear in found.linears}
    names = Names(copy)
    now: dict[ir.Value | None, ir.Value] = {}  # what earlier steps have put in the place of a value
    steps = [step for step in plan.rewrites if step.lowering != "parallel"]
    for step in steps:
        linear = _checked(step, linears, found)
        del linears[step.node]
        activation, addend = now.get(linear.activation, linear.activation), now.get(linear.addend, linear.addend)
        old, new = _replace(copy, replace(linear, activation=activation, addend=addend), found, step, names)
        now[old] = new
    # Last: the operands of a node that still stands are those of now.
    recurrent = {step.node: step for step in plan.rewrites if step.lowering == "parallel"}
    if len(recurrent) + len(steps) < len(plan.rewrites):
        raise PlanError("the plan splits a recurrent operator twice; make a new plan")
    for ways in _recurrents(found, recurrent).values():
        _replace_recurrent(copy, ways, found, recurrent, names)
    if plan.rewrites:
        correct_shapes(copy)
        copy.metadata_props["scission"] = f"{len(plan.rewrites)} operators split"
    return copy


def _checked(step: Step, linears: dict[str, Linear], found: Survey) -> Linear:
    linear = linears.get(step.node)
    if linear is None:
        raise PlanError(f"{step.node}: the model has no such linear, or the plan splits it twice; make a new plan")
    stored = linear.stored(found.constants)
    if linear.shape != step.shape or fingerprint(stored) != step.sha256:
        raise PlanError(f"{step.node}: the weight is not the one the plan was made for; make a new plan")
    if reason := problem(linear):
        raise PlanError(f"{step.node}: {reason}")
    if not step.decomposition.blocks:
        raise PlanError(f"{step.node}: the plan has no blocks to split into; set its lowering to 'dense'")
    if step.lowering == "split" and not (is_contiguous(step.decomposition) or has_windows(step.decomposition)):
        raise PlanError(f"{step.node}: 'split' needs blocks that follow one another; use 'scatter'")
    _check_cover(step, stored.T if linear.transposed else stored)
    return linear


def _recurrents(found: Survey, steps: Mapping[str, Step]) -> dict[ir.Node, list[Recurrent]]:
    """All directions of each recurrent node of which at least one is split, the steps checked."""
    known = {way.address: way for way in found.recurrents}
    for step in steps.values():
        if step.node not in known:
            raise PlanError(f"{step.node}: the model has no such recurrent operator; make a new plan")
        _check_recurrent(step, known[step.node], found)
    nodes: dict[ir.Node, list[Recurrent]] = {known[address].node: [] for address in steps}
    for way in found.recurrents:
        if way.node in nodes:
            nodes[way.node].append(way)
    return nodes


def _check_recurrent(step: Step, way: Recurrent, found: Survey) -> None:
    W, R = way.stored(found.constants)
    if way.shape != step.shape or coupling_hash(W, R, way.direction) != step.sha256:
        raise PlanError(f"{step.node}: the weights are not those the plan was made for; make a new plan")
    if step.decomposition.dormant_outputs.size:
        unit = int(step.decomposition.dormant_outputs[0])
        raise PlanError(f"{step.node}: hidden unit {unit} belongs to no block, but its bias changes it; give it to one")
    for index, block in enumerate(step.decomposition.blocks):
        states = block.inputs[block.inputs >= way.features] - way.features
        if not np.array_equal(states, units_of(block, way.features).hidden):
            raise PlanError(
                f"{step.node}: block {index} reads other states than it computes; its inputs must be features and then "
                f"each of its outputs once more, {way.features} higher"
            )
    _check_cover(step, joint_edges(W, R))


def _check_cover(step: Step, weight: npt.NDArray[Any]) -> None:
    """Every edge of a canonical weight must lie inside a block: a plan edited by hand must not drop one."""
    left = np.zeros(step.shape[1], bool)
    for block in step.decomposition.blocks:
        outside = np.ones(step.shape[0], bool)
        outside[block.inputs] = False
        left[block.outputs] = edges(weight[np.ix_(outside, block.outputs)]).any(axis=0)
    dormant = step.decomposition.dormant_outputs
    left[dormant] = edges(weight[:, dormant]).any(axis=0)
    if left.any():
        raise PlanError(
            f"{step.node}: output {int(np.argmax(left))} reads an input outside its block; the blocks would lose "
            "that weight, so correct them or make a new plan"
        )


def _replace(model: ir.Model, linear: Linear, found: Survey, step: Step, names: Names) -> tuple[ir.Value, ir.Value]:
    """Put the blocks in the place of one linear; returns the value that went and the one in its place."""
    emitter = Emitter(linear, names)
    result = lower(emitter, found.constants, step.decomposition, step.lowering)
    graph = linear.node.graph
    assert graph is not None
    _register(model, linear, graph, emitter.constants)
    old, output = [linear.node], linear.node.outputs[0]
    reads = [value for value in linear.node.inputs if value is not None and value is not linear.activation]
    if folds_bias(linear, step.lowering):
        assert linear.bias is not None and linear.bias.node is not None
        old.append(linear.bias.node)
        output = linear.bias.node.outputs[0]
        reads.append(linear.bias.value)
    _inherit(result, output)
    ir.convenience.replace_nodes_and_values(graph, linear.node, old, emitter.nodes, [output], [result])
    for value in reads:
        _drop_unread(model, value)
    return output, result


def _replace_recurrent(
    model: ir.Model, ways: list[Recurrent], found: Survey, steps: Mapping[str, Step], names: Names
) -> None:
    """Put the blocks of all directions in the place of one recurrent node."""
    node, graph = ways[0].node, ways[0].node.graph
    assert graph is not None
    emitters = [Emitter(way, names) for way in ways]
    split = [steps[way.address].decomposition if way.address in steps else None for way in ways]
    results = parallel(emitters, ways, found.constants, split)
    nodes = [new for emitter in emitters for new in emitter.nodes]
    for emitter in emitters:
        _register(model, ways[0], graph, emitter.constants)
    reads = [value for value in node.inputs if value is not None]
    outputs = [node.outputs[place] for place in results]
    for result, output in zip(results.values(), outputs, strict=True):
        _inherit(result, output)
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, outputs, list(results.values()))
    for value in reads:
        if value in found.constants:
            _drop_unread(model, value)


def _inherit(result: ir.Value, output: ir.Value) -> None:
    result.doc_string = output.doc_string
    result.metadata_props.update(output.metadata_props)
    result.meta.update(output.meta)


def _register(model: ir.Model, linear: Linear | Recurrent, graph: Any, constants: Iterable[ir.Value]) -> None:
    """New constants become initializers of the main graph, visible everywhere, and before IR version 4 its inputs as
    well, as all others are (Constant nodes held only floats then); in functions, which have no initializers, they
    become Constant nodes."""
    for value in constants:
        if not linear.in_function:
            model.graph.register_initializer(value)
            if (model.ir_version or 0) < INITIALIZERS_ARE_INPUTS:
                model.graph.inputs.append(value)
            continue
        tensor = value.const_value
        value.const_value = None
        node = ir.Node("", "Constant", [], [ir.Attr("value", ir.AttributeType.TENSOR, tensor)], outputs=[value])
        node.name = f"{value.name}/Constant"
        graph.insert_before(linear.node, node)


def _drop_unread(model: ir.Model, value: ir.Value) -> None:
    """Remove a constant that nobody reads, and what it was computed from."""
    inputs_override = (model.ir_version or 0) >= INITIALIZERS_ARE_INPUTS  # such an input belongs to the interface
    pending = [value]
    while pending:
        value = pending.pop()
        if value.uses() or value.is_graph_output():
            continue
        node = value.producer()
        if node is not None:
            if node.graph is None or any(output.uses() or output.is_graph_output() for output in node.outputs):
                continue
            inputs = [v for v in node.inputs if v is not None]
            node.graph.remove(node, safe=True)
            pending.extend(inputs)
        elif value.is_initializer() and value.graph is not None:
            graph = value.graph
            if value.is_graph_input():
                if inputs_override:
                    continue
                graph.inputs.remove(value)
            del graph.initializers[value.name or ""]
