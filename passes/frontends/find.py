"""Which products of frames are worth two stages on the machine that they will run on: model -> what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

from ...ir.graph.activations import Activations
from ...ir.graph.constants import Constants
from ...ir.graph.functions import inline
from ...ir.graph.linear import Scope, scopes
from ...ir.graph.operators import FRAMED, is_one_of
from ...ir.graph.shapes import infer_shapes
from ...ir.graph.sizes import Setting
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.factored_weight import FramedProduct
from ...ir.plan.preparation import Refused
from ...ir.plural import counted
from ...ir.provenance import is_block
from ...ir.reason import Cause, Reason
from ..lowering.prices import MARGIN
from ..lowering.target import Target
from .framed import Framed, framed
from .power import Power, power
from .refusals import why_no_frames, why_no_stages
from .staging import SMALLEST, FrameStages, best_stages, stages_seconds

__all__ = ["Front", "find", "seen"]


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """A product of frames, and what takes its power behind it, None where nothing does."""

    product: Framed
    power: Power | None

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operators, in order."""
        return (self.product.node, *(() if self.power is None else self.power.nodes))


def find(
    model: ir.Model,
    target: Target,
    sized: Callable[[], tuple[Setting, ...]],
    *,
    look: Callable[[ir.Model], View] = view,
) -> tuple[FramedProduct | Refused, ...]:
    """The products of frames of the main graph that are predicted to gain as stages, and those that were looked at and
    are not written so, each with the reason; reads the model, changes nothing.

    sized: finds the sizes that they are predicted for; look: makes the view of the model, where there may be any.
    """
    if target.provider != "cpu" or not any(is_one_of(node, FRAMED) for node in model.graph):
        return ()
    looked = look(model)
    scope = next(scopes(looked.model))
    activations = Activations(looked.model, sized)
    constants, products = looked.found.constants, _products(scope, looked.found.constants)
    worth = (one for one in products if one.product.transform is not None or min(one.product.weight.shape) >= SMALLEST)
    steps = [_step(one, activations, target, scope) for one in worth]
    taken = {one.product.node for one in products}
    others = ((node, why_no_frames(node, constants)) for node in scope.graph if node not in taken)
    return (*steps, *(_refused((scope.addresses[node],), why) for node, why in others if why is not None))


def seen(model: ir.Model) -> tuple[ir.Model, Scope, Constants, list[Front]]:
    """A copy of a model with its shapes inferred, its main graph, its constants, and its products of frames."""
    copy, _ = inline(model, ())
    infer_shapes(copy)
    scope, constants = next(scopes(copy)), Constants(copy)
    return copy, scope, constants, _products(scope, constants)


def _products(scope: Scope, constants: Constants) -> list[Front]:
    nodes = (node for node in scope.graph if not is_block(node.metadata_props))
    found = (one for one in (framed(node, constants) for node in nodes) if one is not None)
    return [Front(one, power(one, constants)) for one in found]


def _step(front: Front, activations: Activations, target: Target, scope: Scope) -> FramedProduct | Refused:
    """What is to be done with a product, or why nothing is."""
    one, nodes = front.product, tuple(scope.addresses[node] for node in front.nodes)
    stages = best_stages(one, lambda found: 1 / _gain(one, found, activations, target))
    if stages is None:
        return _refused(nodes[:1], why_no_stages(one))
    gain, (n, outputs) = _gain(one, stages, activations, target), one.weight.shape
    less = one.weight.size / stages.macs
    said = (
        f"frames of {n} samples, {counted(outputs, 'output')} each, are products of {stages.pieces} pieces "
        f"of {stages.split.stride} samples, {less:.1f} times fewer multiply-adds, whose error is at most "
        f"{stages.certificate.bound:.2f} of the dense product's: {gain:.1f}x is predicted"
    )
    if gain <= MARGIN:
        return _refused(nodes[:1], Reason(Cause.NO_GAIN, f"{said}, which is not worth it"), round(gain, 3))
    return FramedProduct(
        nodes=nodes,
        places=stages.split.stride,
        gap=stages.split.step,
        sha256=one.sha256,
        macs=stages.macs,
        bound=round(stages.certificate.bound, 6),
        gain=round(gain, 3),
        reason=Reason(Cause.FACTORS, f"{nodes[0]}: {said}"),
    )


def _refused(nodes: tuple[str, ...], why: Reason, gain: float | None = None) -> Refused:
    return Refused(kind=FramedProduct.kind, nodes=nodes, gain=gain, reason=why.told(f"{nodes[0]}: {why}"))


def _gain(one: Framed, stages: FrameStages, activations: Activations, target: Target) -> float:
    """Predicted seconds of the operator as it may be without stages over those with them, at its worst."""
    gains = []
    for place in range(len(activations.settings)):
        shape_of = functools.cache(functools.partial(activations.shape, place=place))
        batch, frames = one.frames(shape_of)
        for prices in target.prices:
            gains.append(one.seconds(shape_of, prices) / stages_seconds(one, stages, batch, frames, prices))
    return min(gains)
