"""A plan carried out in a copy of the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...ir.axes.region import region_of
from ...ir.graph.linear import Linear, scopes
from ...ir.graph.recurrent import Recurrent
from ...ir.graph.shapes import correct_shapes
from ...ir.graph.survey import Survey
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.phase import phase
from ...ir.plan.plan import Plan, PlanError, Step, told
from ...ir.plan.region_split import RegionSplit
from ...ir.plural import counted
from ...ir.provenance import PLAN, SUMMARY
from ..lowering.linear.lowerings import lowering_of
from ..lowering.nodes.emitter import Emitter, Names
from ..lowering.nodes.sharing import Sharing
from ..lowering.recurrent.cells import emit_whole, join_directions
from ..lowering.recurrent.lowering import CELLS
from ..lowering.region.cut import RegionBlocks
from ..lowering.region.emit import RegionSite
from ..lowering.region.lowering import REGIONS
from ..lowering.target import Target
from .edit import drop_unread, inherit, register
from .prepare import planned_view
from .verification.same_model import require_same_model
from .verification.verify import verified, verified_recurrents

__all__ = ["rewrite"]


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
    work = _Rewriting(copy, plan, found)
    # First: regions are followed through the graph as it is.
    addresses = {node: text for scope in scopes(copy) for node, text in scope.addresses.items()} if plan.regions else {}
    for one in plan.regions:
        work.region(one, addresses)
    for step in plan.rewrites:
        if step.lowering not in ("cells", "region"):
            work.linear(step)
    # Last: the operands of a node that still stands are those of now.
    recurrent: dict[str, Step] = {}
    for step in (step for step in plan.rewrites if step.lowering == "cells"):
        if step.node in recurrent:
            raise PlanError(f"{step.node}: the plan splits this recurrent operator twice; remove one of the steps")
        recurrent[step.node] = step
    for ways in verified_recurrents(found, recurrent).values():
        work.recurrent(ways, recurrent)
    if plan.changes:
        correct_shapes(copy)
        split = [f"{counted(len(plan.rewrites), 'operator')} split"] if plan.rewrites else []
        copy.metadata_props[SUMMARY] = ", ".join(told(plan.preparations) + split)
        copy.metadata_props[PLAN] = plan.sha256
    return copy


@dataclass(slots=True, eq=False)
class _Rewriting:
    """A copy of a model that becomes another step by step.

    linears: by address those that no step has replaced; now: what steps have put in the place of a value.
    """

    model: ir.Model
    plan: Plan
    found: Survey
    names: Names = field(init=False)
    target: Target = field(init=False)
    linears: dict[str, Linear] = field(init=False)
    sharing: Sharing = field(default_factory=Sharing)
    now: dict[ir.Value, ir.Value] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.names = Names(self.model)
        self.target = Target(provider=self.plan.provider)
        self.linears = {linear.address: linear for linear in self.found.linears}

    def region(self, one: RegionSplit, addresses: Mapping[ir.Node, str]) -> None:
        """Put the blocks of several linears in the place of them and of all between; addresses: of all nodes, as they
        were before."""
        steps = {step.node: step for step in self.plan.steps if step.node in one.nodes}
        members = [self._taken(steps[node]) for node in one.nodes]
        graph = members[0].node.graph
        if not isinstance(graph, ir.Graph) or any(member.node.graph is not graph for member in members):
            raise PlanError(
                f"{one.nodes[0]}: the operators of a region stand in different graphs; split each of them alone"
            )
        region = region_of(members, self.found.constants)
        blocks = RegionBlocks(
            decompositions=tuple(steps[linear.address].decomposition for linear in region.linears),
            layout=one.layout,
            blocks_per_node=one.blocks_per_node,
        )
        if reason := REGIONS.why_not(region, blocks, self.target):
            raise PlanError(f"{one.nodes[0]}: its region cannot be split: {reason}; make a new plan")
        site = RegionSite(region=region, names=self.names, addresses=addresses, now=self.now)
        made = REGIONS.emit(site, self.found.constants, blocks, self.target)
        reads = [value for node in made.removed for value in node.inputs if value is not None]
        self._register(members[0], made.constants)
        for anchor, nodes in made.nodes.items():
            graph.insert_before(anchor, nodes)
        for old, new in made.replaced.items():
            inherit(new, old)
            new.name, new.type, new.shape = old.name, old.type or new.type, old.shape
            ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
        self.now.update(made.replaced)
        graph.remove(made.removed, safe=True)
        self._drop(reads)

    def linear(self, step: Step) -> None:
        """Put the blocks in the place of one linear."""
        linear = self._taken(step)
        addend = linear.addend and self.now.get(linear.addend, linear.addend)
        linear = replace(linear, activation=self.now.get(linear.activation, linear.activation), addend=addend)
        emitter, lowering = Emitter(linear, self.names), lowering_of(step.lowering)
        result = lowering.emit(emitter, self.found.constants, step.decomposition, self.target)
        self._register(linear, emitter.constants)
        old, output = [linear.node, *lowering.absorbs(linear)], linear.node.outputs[0]
        reads = [value for value in linear.node.inputs if value is not None and value is not linear.activation]
        if len(old) > 1:
            assert linear.bias is not None
            output = linear.output
            reads.append(linear.bias.value)
        self._replace(linear.node, old, emitter.nodes, {output: result})
        for value in reads:
            drop_unread(self.model, value)
        self.now[output] = result

    def recurrent(self, ways: Sequence[Recurrent], steps: Mapping[str, Step]) -> None:
        """Put the blocks of all directions in the place of one recurrent node."""
        node, constants = ways[0].node, self.found.constants
        emitters = [Emitter(way, self.names) for way in ways]
        results = join_directions(
            emitters[-1],
            [
                CELLS.emit(emitter, constants, steps[way.address].decomposition, self.target)
                if way.address in steps
                else emit_whole(emitter, constants)
                for way, emitter in zip(ways, emitters, strict=True)
            ],
        )
        for emitter in emitters:
            self._register(ways[0], emitter.constants)
        reads = [value for value in node.inputs if value is not None]
        nodes = [new for emitter in emitters for new in emitter.nodes]
        self._replace(node, [node], nodes, {node.outputs[place]: result for place, result in results.items()})
        self._drop(reads)

    def _taken(self, step: Step) -> Linear:
        """The linear of a step, which no other step has from then on; raises PlanError where it does not fit."""
        linear = verified(step, self.linears, self.found, self.target)
        del self.linears[step.node]
        return linear

    def _register(self, one: Linear | Recurrent, constants: Sequence[ir.Value]) -> None:
        graph = one.node.graph
        assert graph is not None
        register(self.model, one, graph, constants, self.names, self.sharing)

    def _replace(
        self, anchor: ir.Node, old: Sequence[ir.Node], new: Sequence[ir.Node], results: Mapping[ir.Value, ir.Value]
    ) -> None:
        """Put nodes in the place of others; results: what replaces which value."""
        graph = anchor.graph
        assert graph is not None
        for output, result in results.items():
            inherit(result, output)
        ir.convenience.replace_nodes_and_values(graph, anchor, old, new, list(results), list(results.values()))

    def _drop(self, read: Iterable[ir.Value]) -> None:
        """Drop the constants among some values, in as far as nobody reads them any more."""
        for value in dict.fromkeys(read):
            if value in self.found.constants:
                drop_unread(self.model, value)
