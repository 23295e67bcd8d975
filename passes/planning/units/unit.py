"""The units of a plan: what is lowered together, one operator alone or the operators of one region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ....ir.axes.region import region_of
from ....ir.graph.linear import Linear
from ....ir.graph.recurrent import Recurrent
from ....ir.graph.view import View
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition, Plan, Step
from ....ir.plan.region_split import RegionSplit
from ....ir.provenance import is_block
from ...decompose.blocks import is_cover
from ...lowering.linear.protocol import why_not_dense
from ...lowering.prices import MARGIN

__all__ = ["PlanUnit", "alone", "form_of", "plan_units", "replaced", "way_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanUnit:
    """Operators that a plan lowers together.

    steps: of the operators, in the order of the plan; region: that they make, None for an operator alone;
    operators: the same in the order of the graph, all directions of a recurrent one; inner: nodes in between.
    """

    steps: tuple[Step, ...]
    region: RegionSplit | None
    operators: tuple[Linear | Recurrent, ...]
    inner: tuple[ir.Node, ...] = ()

    @property
    def nodes(self) -> tuple[str, ...]:
        """The addresses of its steps."""
        return tuple(step.node for step in self.steps)

    @property
    def linears(self) -> tuple[Linear, ...]:
        """Its linears, none where it is recurrent."""
        return tuple(one for one in self.operators if isinstance(one, Linear))

    @property
    def way(self) -> str:
        """How the plan lowers it, in a few words: 'split 8', 'region 16, features last, stacks of 4', 'dense'."""
        return way_of(self.steps, self.region)


def way_of(steps: Sequence[Step], region: RegionSplit | None) -> str:
    """How some steps are lowered, in a few words."""
    lowering, found = steps[0].lowering, steps[0].decomposition
    if lowering == "dense":
        return "dense"
    if region is not None:
        several = region.blocks_per_node > 1 and region.layout != "stacked"
        stacks = f", stacks of {region.blocks_per_node}" if several else ""
        return f"region {len(found.blocks)}, {region.layout.replace('_', ' ')}{stacks}"
    counts = "+".join(str(len(step.decomposition.blocks)) for step in steps)
    return f"{lowering} {counts}{_kind(found)}"


def form_of(steps: Sequence[Step], region: RegionSplit | None) -> dict[str, Any]:
    """The same for keys, as numbers and names of lowerings instead of words for people."""
    return {
        "steps": [[step.lowering, *_counts(step.decomposition)] for step in steps],
        "region": [region.layout, region.blocks_per_node] if region is not None else None,
    }


def _counts(found: Decomposition) -> tuple[int, bool, bool, bool, int]:
    return len(found.blocks), bool(found.layers), bool(found.split_k), is_cover(found), len(found.residual)


def _kind(found: Decomposition) -> str:
    """What blocks are besides components, in a few words."""
    if found.layers:
        return " row groups"
    if found.split_k:
        return " split-K groups"
    residual = f" and {len(found.residual)} residual entries" if found.residual else ""
    return f"{' groups' if is_cover(found) else ''}{residual}"


def plan_units(plan: Plan, seen: View, *, idle: bool = False) -> tuple[PlanUnit, ...]:
    """The units of a plan in its order; seen: the view that its steps are about (`ground`).

    idle: also operators that fall apart but stay dense because too little gain is predicted. A step whose operator the
    view does not have is left out.
    """
    linears = {linear.address: linear for linear in seen.found.linears}
    recurrents = {way.address: way for way in seen.found.recurrents}
    region_of_node = {node: region for region in plan.regions for node in region.nodes}
    done: set[RegionSplit | ir.Node] = set()
    units = []
    for step in plan.steps:
        if step.node in region_of_node:
            region = region_of_node[step.node]
            if region not in done:
                done.add(region)
                units.append(_joined(region, plan, seen, linears))
        elif step.node in recurrents:
            node = recurrents[step.node].node
            if step.lowering != "dense" and node not in done:
                done.add(node)
                units.append(_recurrent(node, plan, recurrents))
        elif step.node in linears and (step.lowering != "dense" or (idle and _is_idle(step, linears[step.node]))):
            units.append(PlanUnit(steps=(step,), region=None, operators=(linears[step.node],)))
    return tuple(unit for unit in units if unit is not None)


def _joined(region: RegionSplit, plan: Plan, seen: View, linears: dict[str, Linear]) -> PlanUnit | None:
    if not all(node in linears for node in region.nodes):
        return None
    whole = region_of([linears[node] for node in region.nodes], seen.found.constants)
    steps = tuple(step for step in plan.steps if step.node in region.nodes)
    return PlanUnit(steps=steps, region=region, operators=whole.linears, inner=whole.inner)


def _recurrent(node: ir.Node, plan: Plan, recurrents: dict[str, Recurrent]) -> PlanUnit:
    ways = tuple(way for way in recurrents.values() if way.node is node)
    steps = {step.node: step for step in plan.steps if step.lowering != "dense"}
    own = tuple(steps[way.address] for way in ways if way.address in steps)
    return PlanUnit(steps=own, region=None, operators=ways)


def _is_idle(step: Step, linear: Linear) -> bool:
    """Whether a linear stays dense only because too little gain is predicted, which may be wrong."""
    splits = bool(step.decomposition.blocks) and (step.components > 1 or is_cover(step.decomposition))
    unpromising = step.gain is not None and step.gain < MARGIN and step.sha256 is not None
    own = is_block(linear.node.metadata_props)
    return splits and unpromising and not linear.is_dequantised and not own and why_not_dense(linear, None) is None


def alone(plan: Plan, steps: Sequence[Step], regions: Sequence[RegionSplit]) -> Plan:
    """A plan with some steps only, for a submodel: nothing is annealed, prepared, reordered or inlined any more."""
    return replace(
        plan,
        steps=tuple(steps),
        regions=tuple(regions),
        skipped=(),
        inline=(),
        annealing=(),
        effect="",
        preparations=(),
        reorderings=(),
    )


def replaced(plan: Plan, unit: PlanUnit, steps: Sequence[Step], regions: Sequence[RegionSplit]) -> Plan:
    """The plan with other steps and regions in the place of those of a unit."""
    new = {step.node: step for step in steps}
    kept = [region for region in plan.regions if region != unit.region]
    return replace(plan, steps=tuple(new.get(step.node, step) for step in plan.steps), regions=(*kept, *regions))
