"""Products of frames written as two stages: one operator goes, two convolutions and a stack of products come."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.axes.region import Inner
from ...ir.graph.shapes import correct_shapes
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.factored_weight import FramedProduct
from ...ir.plan.plan import PlanError
from ..frontends.emit import emit
from ..frontends.find import seen
from ..frontends.framed import Framed
from ..frontends.staging import FrameStages, follow_stages
from ..lowering.nodes.emitter import Emitter, Names
from ..lowering.nodes.sharing import Sharing
from .edit import drop_unread, inherit, register

__all__ = ["write_frames"]


def write_frames(model: ir.Model, wanted: Sequence[FramedProduct]) -> ir.Model:
    """A copy of the model in which these products are written as stages; raises PlanError where one is another, or has
    no such stages."""
    copy, scope, constants, found = seen(model)
    there = {scope.addresses[one.node]: one for one in found}
    names, sharing = Names(copy), Sharing()
    chosen = [(one, _stages(step, one)) for step in wanted for one in [_taken(step, there)]]
    origins = {one.node: Inner(one.node, scope.address(one.node), scope.opset) for one, _ in chosen}
    for one, stages in chosen:
        emitter, output = Emitter(origins[one.node], names), one.node.outputs[0]
        held = [value for value in one.node.inputs if value is not None and value in constants]
        result = emit(emitter, one, stages)
        register(copy, None, copy.graph, emitter.constants, names, sharing)
        inherit(result, output)
        ir.convenience.replace_nodes_and_values(copy.graph, one.node, [one.node], emitter.nodes, [output], [result])
        for value in held:
            drop_unread(copy, value)
    correct_shapes(copy)
    return copy


def _taken(step: FramedProduct, there: dict[str, Framed]) -> Framed:
    """The product that a step is about; raises PlanError where it is not there, or another one."""
    one = there.pop(step.nodes[0], None)
    if one is None or len(step.nodes) > 1:
        raise PlanError(f"{step.nodes[0]}: it is not what the plan says; make a new plan for this model")
    if one.sha256 != step.sha256:
        raise PlanError(f"{step.nodes[0]}: its constants have changed; make a new plan for this model")
    return one


def _stages(step: FramedProduct, one: Framed) -> FrameStages:
    stages = follow_stages(one, step.places, step.gap)
    if stages is None:
        raise PlanError(f"{step.nodes[0]}: it is no product of such pieces; make a new plan for this model")
    return stages
