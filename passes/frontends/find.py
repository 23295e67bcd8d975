"""Which products of frames are worth two stages on the machine that they will run on: model -> what to do."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
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
from ..convolutions.refusals import IN_BODY
from ..decompose.fingerprint import fingerprint
from ..lowering.prices import FLOAT_BYTES, MARGIN
from ..lowering.seconds import dense_seconds
from ..lowering.target import Target
from .emphasis import filter_nodes
from .framed import Framed, framed
from .mel import Mel, bands_seconds, best_bands, mel
from .power import Power, power
from .refusals import takes_frames, why_no_frames, why_no_stages
from .staging import SMALLEST, FrameStages, best_stages, stages_seconds

__all__ = ["Front", "find", "seen", "whole_fronts"]


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """A product of frames, what takes its power behind it, and the product with a constant behind that, None where
    nothing does."""

    product: Framed
    power: Power | None = None
    mel: Mel | None = None

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operators, in order, but for those that pad the signal."""
        behind = (one.nodes for one in (self.power, self.mel) if one is not None)
        return (self.product.node, *itertools.chain.from_iterable(behind))

    @property
    def sha256(self) -> str:
        """Of the weight of a frame, and of that behind its power."""
        if self.mel is None:
            return self.product.sha256
        return hashlib.sha256((self.product.sha256 + fingerprint(self.mel.weight)).encode()).hexdigest()


def find(
    model: ir.Model,
    target: Target,
    sized: Callable[[], tuple[Setting, ...]],
    *,
    look: Callable[[ir.Model], View] = view,
) -> tuple[FramedProduct | Refused, ...]:
    """The products of frames of the main graph that are predicted to gain as stages, and those of it and of bodies that
    were looked at and are not written so, each with the reason; reads the model, changes nothing.

    sized: finds the sizes that they are predicted for; look: makes the view of the model, where there may be any.
    """
    if target.provider != "cpu" or not any(is_one_of(node, FRAMED) for node in model.graph.all_nodes()):
        return ()
    looked = look(model)
    scope, *inner = scopes(looked.model)
    activations = Activations(looked.model, sized)
    constants, products = looked.found.constants, _products(scope, looked.found.constants)
    worth = (one for one in products if one.product.transform is not None or min(one.product.weight.shape) >= SMALLEST)
    steps = [_step(one, activations, target, scope) for one in worth]
    taken = {one.product.node for one in products}
    others = ((node, why_no_frames(node, constants)) for node in scope.graph if node not in taken)
    refused = (_refused((scope.addresses[node],), why) for node, why in others if why is not None)
    return (*steps, *refused, *_in_bodies(inner, constants))


def _in_bodies(inner: Sequence[Scope], constants: Constants) -> Iterator[Refused]:
    """The products of frames in bodies of operators, all of which stay."""
    for scope in inner:
        for node in scope.graph:
            if takes_frames(node, constants):
                yield _refused((scope.addresses[node],), IN_BODY)


def seen(model: ir.Model) -> tuple[ir.Model, Scope, Constants, list[Front]]:
    """A copy of a model with its shapes inferred, its main graph, its constants, and its products of frames."""
    copy, _ = inline(model, ())
    infer_shapes(copy)
    scope, constants = next(scopes(copy)), Constants(copy)
    return copy, scope, constants, _products(scope, constants)


def whole_fronts(model: ir.Model) -> dict[tuple[str, ...], list[str]]:
    """For each product of frames of the main graph, by the addresses of its nodes, those of all operators that it is
    made of: what pads the signal and what filters it before as well."""
    _, scope, constants, found = seen(model)
    made = {}
    for one in found:
        nodes = {*one.nodes, *one.product.before, *filter_nodes(one.product.signal, constants)}
        own = tuple(scope.addresses[node] for node in one.nodes)
        made[own] = [scope.addresses[node] for node in scope.graph if node in nodes]
    return made


def _products(scope: Scope, constants: Constants) -> list[Front]:
    nodes = (node for node in scope.graph if not is_block(node.metadata_props))
    found = (one for one in (framed(node, constants) for node in nodes) if one is not None)
    return [_front(one, constants) for one in found]


def _front(one: Framed, constants: Constants) -> Front:
    behind = power(one, constants)
    return Front(one, behind, None if behind is None else mel(one, behind, constants))


def _step(front: Front, activations: Activations, target: Target, scope: Scope) -> FramedProduct | Refused:
    """What is to be done with a product, or why nothing is."""
    one, nodes = front.product, tuple(scope.addresses[node] for node in front.nodes)
    bands = _bands(front, activations, target)
    stages = best_stages(one, lambda found: 1 / _gain(front, found, bands, activations, target))
    if stages is None:
        return _refused(nodes[:1], why_no_stages(one))
    gain, (n, outputs) = _gain(front, stages, bands, activations, target), one.weight.shape
    less = one.weight.size / stages.macs
    said = (
        f"frames of {n} samples, {counted(outputs, 'output')} each, are products of {stages.pieces} pieces "
        f"of {stages.split.stride} samples, {less:.1f} times fewer multiply-adds, whose error is at most "
        f"{stages.certificate.bound:.2f} of the dense product's{_said_of(bands)}: {gain:.1f}x is predicted"
    )
    if gain <= MARGIN:
        return _refused(nodes[:1], Reason(Cause.NO_GAIN, f"{said}, which is not worth it"), round(gain, 3))
    return FramedProduct(
        nodes=nodes,
        places=stages.split.stride,
        gap=stages.split.step,
        sha256=front.sha256,
        macs=stages.macs,
        bound=round(stages.certificate.bound, 6),
        bands=bands,
        gain=round(gain, 3),
        reason=Reason(Cause.FACTORS, f"{nodes[0]}: {said}"),
    )


def _said_of(bands: tuple[int, ...]) -> str:
    if not bands:
        return ""
    many, few = counted(sum(bands), "output"), counted(len(bands), "product")
    return f", and {many} behind their power {few} of frequencies as they lie"


def _bands(front: Front, activations: Activations, target: Target) -> tuple[int, ...]:
    """How the outputs behind a power are put together, for the fewest frames that are predicted for."""
    if front.mel is None:
        return ()
    counts = [_frames(front.product, activations, place) for place in range(len(activations.settings))]
    return best_bands(front.mel, min(batch * frames for batch, frames in counts), target.prices[0])


def _refused(nodes: tuple[str, ...], why: Reason, gain: float | None = None) -> Refused:
    return Refused(kind=FramedProduct.kind, nodes=nodes, gain=gain, reason=why.told(f"{nodes[0]}: {why}"))


def _frames(one: Framed, activations: Activations, place: int) -> tuple[int, int]:
    """(batch, frames of each) at one of the settings."""
    return one.frames(functools.cache(functools.partial(activations.shape, place=place)))


def _gain(front: Front, stages: FrameStages, bands: tuple[int, ...], activations: Activations, target: Target) -> float:
    """Predicted seconds of the operators as they may be without stages over those with them, at their worst."""
    gains, one = [], front.product
    for place in range(len(activations.settings)):
        shape_of = functools.cache(functools.partial(activations.shape, place=place))
        batch, frames = one.frames(shape_of)
        for prices in target.prices:
            before, after = one.seconds(shape_of, prices), stages_seconds(one, stages, batch, frames, prices)
            if front.mel is not None:
                before += dense_seconds(front.mel.weight.shape, batch * frames, FLOAT_BYTES, prices)
                after += bands_seconds(front.mel, bands, batch * frames, prices)
            gains.append(before / after)
    return min(gains)
