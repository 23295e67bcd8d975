"""Products of frames written as two stages: one operator goes, two convolutions and a stack of products come."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...ir.axes.region import Inner
from ...ir.graph.shapes import correct_shapes
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.factored_weight import FramedProduct
from ...ir.plan.plan import PlanError
from ..frontends.emit import FrameEmitter, emit_outputs
from ..frontends.emit_power import emit_mel, emit_power
from ..frontends.find import Front, seen
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
    there = {tuple(scope.addresses[node] for node in one.nodes): one for one in found}
    names, sharing = Names(copy), Sharing()
    now: dict[ir.Value, ir.Value] = {}
    chosen = [(front, _stages(step, front.product), step) for step in wanted for front in [_taken(step, there)]]
    origins = {front: Inner(front.nodes[0], scope.address(front.nodes[0]), scope.opset) for front, *_ in chosen}
    for front, stages, step in chosen:
        emitter, nodes = Emitter(origins[front], names), front.nodes
        output = nodes[-1].outputs[0]
        read = (value for node in (*nodes, *front.product.before) for value in node.inputs if value is not None)
        held = [value for value in read if value in constants]
        result = _emitted(emitter, _current(front, now), stages, step)
        register(copy, None, copy.graph, emitter.constants, names, sharing)
        inherit(result, output)
        gone = (*nodes[::-1], *front.product.before[::-1])
        ir.convenience.replace_nodes_and_values(copy.graph, nodes[-1], gone, emitter.nodes, [output], [result])
        for value in held:
            drop_unread(copy, value)
        now[output] = result
    correct_shapes(copy)
    return copy


def _emitted(emitter: Emitter, front: Front, stages: FrameStages, step: FramedProduct) -> ir.Value:
    """The nodes that stand in for a product of frames and what is done behind it; what replaces the result."""
    frames = FrameEmitter(emitter, front.product, stages)
    if front.power is None:
        return emit_outputs(frames)
    if front.mel is None:
        return emit_power(frames, front.power)
    return emit_mel(frames, front.power, front.mel, step.bands)


def _current(front: Front, now: Mapping[ir.Value, ir.Value]) -> Front:
    """The same where the signal that it reads was replaced by now."""
    one = front.product
    return replace(front, product=replace(one, signal=now.get(one.signal, one.signal)))


def _taken(step: FramedProduct, there: dict[tuple[str, ...], Front]) -> Front:
    """The product that a step is about; raises PlanError where it is not there, or another one."""
    front = there.pop(step.nodes, None)
    if front is None:
        raise PlanError(f"{step.nodes[0]}: it is not what the plan says; make a new plan for this model")
    if front.sha256 != step.sha256:
        raise PlanError(f"{step.nodes[0]}: its constants have changed; make a new plan for this model")
    if sum(step.bands) != (0 if front.mel is None else front.mel.weight.shape[1]):
        raise PlanError(f"{step.nodes[0]}: its bands are not those of its outputs; make a new plan for this model")
    return front


def _stages(step: FramedProduct, one: Framed) -> FrameStages:
    stages = follow_stages(one, step.places, step.gap)
    if stages is None:
        raise PlanError(f"{step.nodes[0]}: it is no product of such pieces; make a new plan for this model")
    return stages
