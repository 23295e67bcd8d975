"""Which convolutions of a model are worth another form on the machine that it will run on: model -> what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from ...ir.graph.activations import Activations
from ...ir.graph.constants import Constants
from ...ir.graph.functions import inline
from ...ir.graph.linear import Scope, scopes
from ...ir.graph.operators import LIKE_CONVOLUTIONS, TRANSFORMS, is_one_of
from ...ir.graph.shapes import infer_shapes
from ...ir.graph.sizes import Setting
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.preparation import Refused
from ...ir.plan.rewritten_convolution import ConvolutionForm, RewrittenConvolution
from ...ir.reason import Cause, Reason
from ..lowering.prices import MARGIN
from ..lowering.target import Target
from .bias import LateBias, late_bias
from .fourier import Fourier, fourier
from .hard_sigmoid import HardSigmoid, hard_sigmoid
from .product import LateProduct, late_product
from .refusals import IN_BODY, MEL, why_no_transform
from .transform_matrix import TransformMatrix, transform_matrix
from .window import SmallerWindow, smaller_window

__all__ = ["Found", "find", "seen"]

Found: TypeAlias = Fourier | TransformMatrix | SmallerWindow | LateBias | LateProduct | HardSigmoid

LOOKED_AT = LIKE_CONVOLUTIONS | {MEL}
AS_PRODUCTS = (ConvolutionForm.FOURIER, ConvolutionForm.MATRIX)  # what transforms become

# The gain below which one stays as it is: what comes inside of a convolution is left out, whatever else that takes, and
# where a product comes before what moves elements, fewer are moved.
LEAST = dict.fromkeys(ConvolutionForm, MARGIN) | {ConvolutionForm.BIAS: 1.0, ConvolutionForm.PRODUCT: 1.0}


def find(
    model: ir.Model,
    target: Target,
    sized: Callable[[], tuple[Setting, ...]],
    *,
    look: Callable[[ir.Model], View] = view,
    last: bool = False,
) -> tuple[RewrittenConvolution | Refused, ...]:
    """The convolutions of the main graph that are predicted to gain in another form, and transforms that are not, each
    with the reason; reads and changes nothing.

    sized: finds the sizes that they are predicted for; look: makes the view of the model, where there may be any;
    last: whether all else has been done, which also reads products: only then these become convolutions.
    """
    if not any(node.op_type in LOOKED_AT for node in model.graph.all_nodes()):
        return ()
    looked = look(model)
    scope, *inner = scopes(looked.model)
    activations = Activations(looked.model, sized)
    found = _convolutions(scope, looked.found.constants)
    steps = [_step(one, _gain(one, activations, target), scope) for one in found]
    kept = [step for step in steps if (step.gain or 0) > LEAST[step.form]]
    if last:  # what there is against transforms has been said
        return tuple(kept)
    taken = [step for step in kept if step.form is not ConvolutionForm.PRODUCT]
    return (*taken, *_refused(steps, scope, looked.found.constants), *_in_bodies(inner))


def _refused(steps: Sequence[RewrittenConvolution], scope: Scope, constants: Constants) -> Iterator[Refused]:
    """The transforms that stay, each with the reason."""
    looked_at = {step.nodes[0]: step for step in steps if step.form in AS_PRODUCTS}
    for node in scope.graph:
        step, name = looked_at.get(scope.addresses[node]), scope.addresses[node]
        if step is not None and (step.gain or 0) <= LEAST[step.form]:
            told = Reason(Cause.NO_GAIN, f"{step.reason}, which is not worth it")
            yield Refused(kind=step.kind, nodes=(name,), gain=step.gain, reason=told)
        elif step is None and (why := why_no_transform(node, constants)) is not None:
            yield Refused(kind=RewrittenConvolution.kind, nodes=(name,), reason=why.told(f"{name}: {why}"))


def _in_bodies(inner: Sequence[Scope]) -> Iterator[Refused]:
    """The transforms of bodies of operators, all of which stay."""
    for scope in inner:
        for node in scope.graph:
            if is_one_of(node, TRANSFORMS):
                name = scope.addresses[node]
                yield Refused(kind=RewrittenConvolution.kind, nodes=(name,), reason=IN_BODY.told(f"{name}: {IN_BODY}"))


def seen(model: ir.Model) -> tuple[ir.Model, Scope, Constants, list[Found]]:
    """A copy of a model with its shapes inferred, its main graph, its constants, and the convolutions that could have
    another form, in order, a node at most once in each."""
    copy, _ = inline(model, ())
    infer_shapes(copy)
    scope, constants = next(scopes(copy)), Constants(copy)
    return copy, scope, constants, _convolutions(scope, constants)


def _convolutions(scope: Scope, constants: Constants) -> list[Found]:
    """Those that could have another form, in order."""
    looks = (fourier, transform_matrix, smaller_window, late_bias, late_product, hard_sigmoid)
    options = [look(node, constants) for node in scope.graph for look in looks]
    found = [one for one in options if one is not None]
    inside = {node for one in found if isinstance(one, (LateBias, LateProduct)) for node in one.nodes}
    return [one for one in found if _is_free(one, inside)]


def _is_free(one: Found, inside: set[ir.Node]) -> bool:
    """Whether no operator of a hard sigmoid comes to stand inside of a convolution."""
    return not isinstance(one, HardSigmoid) or inside.isdisjoint(one.nodes)


def _gain(one: Found, activations: Activations, target: Target) -> float:
    """The predicted gain at its worst."""
    gains = []
    for place in range(len(activations.settings)):
        shape_of = functools.cache(functools.partial(activations.shape, place=place))
        gains += [one.gain(shape_of, prices) for prices in target.prices]
    return min(gains)


def _step(one: Found, gain: float, scope: Scope) -> RewrittenConvolution:
    names = tuple(scope.addresses[node] for node in one.nodes)
    why = Reason(Cause.CONVOLUTION, f"{names[0]}: {one.said}: {gain:.1f}x is predicted")
    return RewrittenConvolution(nodes=names, form=one.form, sha256=one.sha256, gain=gain, reason=why)
