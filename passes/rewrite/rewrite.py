"""A plan carried out in a copy of the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...ir.axes.region import Region, region_of
from ...ir.graph.constants import Constants
from ...ir.graph.linear import Linear, scopes
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.shapes import correct_shapes
from ...ir.graph.survey import Survey
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.plan import Decomposition, Plan, PlanError, Step, told
from ...ir.plan.region_split import RegionSplit
from ...ir.plural import counted
from ...ir.provenance import PLAN, SUMMARY
from ...ir.reason import Cause, Reason
from ..lowering.linear.lowerings import lowering_of
from ..lowering.nodes.emitter import Emitter, Names
from ..lowering.nodes.sharing import Sharing
from ..lowering.recurrent.cells import emit_cells
from ..lowering.region.emit import prepared
from ..lowering.region.region_node import Unsuited
from ..lowering.target import Target
from .edit import drop_unread, inherit, register
from .prepare import planned_view
from .same_model import require_same_model
from .verify import verified, verified_recurrents

__all__ = ["region_problem", "rewrite"]


@phase("rewrite")
def rewrite(model: ir.Model, plan: Plan) -> ir.Model:
    """A copy of the model in which every step of the plan that is not `dense` is carried out.

    Interfaces, other nodes and their names stay as they are; weights that nobody reads any more go. Where the plan
    anneals, its weights are removed first (see `remove_edges`), where it prepares or reorders, that is done next (see
    `prepared`, `reorder_axes`). Raises PlanError when a node is missing or its weight is not the one that the plan was
    made for.
    """
    seen = planned_view(model, plan)
    copy, found = seen.model, seen.found
    require_same_model(model, plan, found)
    linears = {linear.address: linear for linear in found.linears}
    names, sharing = Names(copy), Sharing()
    now: dict[ir.Value | None, ir.Value] = {}  # what earlier steps have put in the place of a value
    # First: regions are followed through the graph as it is.
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()} if plan.regions else {}
    for one in plan.regions:
        now.update(_replace_region(copy, one, plan, linears, found, names, sharing, now, addresses))
    steps = [step for step in plan.rewrites if step.lowering not in ("cells", "region")]
    for step in steps:
        linear = verified(step, linears, found, plan.provider)
        del linears[step.node]
        activation, addend = now.get(linear.activation, linear.activation), now.get(linear.addend, linear.addend)
        standing = replace(linear, activation=activation, addend=addend)
        old, new = _replace(copy, standing, found, step, names, sharing, plan.provider)
        now[old] = new
    # Last: the operands of a node that still stands are those of now.
    recurrent: dict[str, Step] = {}
    for step in (step for step in plan.rewrites if step.lowering == "cells"):
        if step.node in recurrent:
            raise PlanError(f"{step.node}: the plan splits this recurrent operator twice; remove one of the steps")
        recurrent[step.node] = step
    for ways in verified_recurrents(found, recurrent).values():
        _replace_recurrent(copy, ways, found, recurrent, names, sharing)
    if plan.changes:
        correct_shapes(copy)
        split = [f"{counted(len(plan.rewrites), 'operator')} split"] if plan.rewrites else []
        copy.metadata_props[SUMMARY] = ", ".join(told(plan.preparations) + split)
        copy.metadata_props[PLAN] = plan.sha256
    return copy


def _replace_region(
    model: ir.Model,
    one: RegionSplit,
    plan: Plan,
    linears: dict[str, Linear],
    found: Survey,
    names: Names,
    sharing: Sharing,
    now: Mapping[ir.Value | None, ir.Value],
    addresses: Mapping[ir.Node, str],
) -> dict[ir.Value | None, ir.Value]:
    """Put the blocks of several linears in the place of them and of all between; returns what replaces which value.

    now: what earlier regions have put in the place of a value; addresses: of all nodes, as they were before.
    """
    steps = {step.node: step for step in plan.steps if step.node in one.nodes}
    members = []
    for node in one.nodes:
        members.append(verified(steps[node], linears, found, plan.provider))
        del linears[node]
    graph = members[0].node.graph
    if not isinstance(graph, ir.Graph) or any(member.node.graph is not graph for member in members):
        raise PlanError(
            f"{one.nodes[0]}: the operators of a region stand in different graphs; split each of them alone"
        )
    region = region_of(members, found.constants)
    decompositions = [steps[linear.address].decomposition for linear in region.linears]
    standing = {old: new for old, new in now.items() if old is not None}
    try:
        made = prepared(
            region,
            decompositions,
            found.constants,
            names,
            addresses,
            layout=one.layout,
            blocks_per_node=one.blocks_per_node,
            now=standing,
        ).run()
    except Unsuited as error:
        raise PlanError(f"{one.nodes[0]}: its region cannot be split: {error}; make a new plan") from None
    reads = [value for node in made.removed for value in node.inputs if value is not None]
    register(model, members[0], graph, made.constants, names, sharing)
    for anchor, nodes in made.nodes.items():
        graph.insert_before(anchor, nodes)
    replaced: dict[ir.Value | None, ir.Value] = {}
    for old, new in made.replaced.items():
        replaced[old] = new
        inherit(new, old)
        new.name, new.type, new.shape = old.name, old.type or new.type, old.shape
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    graph.remove(made.removed, safe=True)
    for value in dict.fromkeys(reads):
        if value in found.constants:
            drop_unread(model, value)
    return replaced


def _replace(
    model: ir.Model, linear: Linear, found: Survey, step: Step, names: Names, sharing: Sharing, provider: str
) -> tuple[ir.Value, ir.Value]:
    """Put the blocks in the place of one linear; returns the value that went and the one in its place."""
    emitter = Emitter(linear, names)
    lowering = lowering_of(step.lowering)
    result = lowering.emit(emitter, found.constants, step.decomposition, Target(provider=provider))
    graph = linear.node.graph
    assert graph is not None
    register(model, linear, graph, emitter.constants, emitter.names, sharing)
    old, output = [linear.node, *lowering.absorbs(linear)], linear.node.outputs[0]
    reads = [value for value in linear.node.inputs if value is not None and value is not linear.activation]
    if len(old) > 1:
        assert linear.bias is not None
        output = linear.output
        reads.append(linear.bias.value)
    inherit(result, output)
    ir.convenience.replace_nodes_and_values(graph, linear.node, old, emitter.nodes, [output], [result])
    for value in reads:
        drop_unread(model, value)
    return output, result


def _replace_recurrent(
    model: ir.Model,
    ways: list[Recurrent],
    found: Survey,
    steps: Mapping[str, Step],
    names: Names,
    sharing: Sharing,
) -> None:
    """Put the blocks of all directions in the place of one recurrent node."""
    node, graph = ways[0].node, ways[0].node.graph
    assert graph is not None
    emitters = [Emitter(way, names) for way in ways]
    split = [steps[way.address].decomposition if way.address in steps else None for way in ways]
    results = emit_cells(emitters, ways, found.constants, split)
    nodes = [new for emitter in emitters for new in emitter.nodes]
    for emitter in emitters:
        register(model, ways[0], graph, emitter.constants, names, sharing)
    reads = [value for value in node.inputs if value is not None]
    outputs = [node.outputs[place] for place in results]
    for result, output in zip(results.values(), outputs, strict=True):
        inherit(result, output)
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, outputs, list(results.values()))
    for value in reads:
        if value in found.constants:
            drop_unread(model, value)


def region_problem(
    region: Region,
    decompositions: Sequence[Decomposition],
    constants: Constants,
    names: Names,
    addresses: Mapping[ir.Node, str],
    *,
    layout: str,
    blocks_per_node: int,
) -> Reason | None:
    """Why a region cannot be computed block by block in this way, found by trying; None when it can.

    The graph is left as it was, also where trying ends with an error: what was emitted reads nothing any more.
    """
    try:
        work = prepared(
            region, decompositions, constants, names, addresses, layout=layout, blocks_per_node=blocks_per_node
        )
    except Unsuited as reason:
        return Reason(Cause.BLOCKS, str(reason))
    try:
        work.run()
    except Unsuited as reason:
        return Reason(Cause.BLOCKS, str(reason))
    finally:
        for node in (node for emitter in work.emitters for node in emitter.nodes):
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)
    return None
