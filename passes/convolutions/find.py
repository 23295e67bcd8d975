"""Which convolutions of a model are worth another form on the machine that it will run on: model -> what to do."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TypeAlias

from ...ir.graph.activations import Activations
from ...ir.graph.constants import Constants
from ...ir.graph.functions import inline
from ...ir.graph.linear import Scope, scopes
from ...ir.graph.operators import LIKE_CONVOLUTIONS
from ...ir.graph.shapes import infer_shapes
from ...ir.graph.sizes import Setting
from ...ir.graph.view import View, view
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_convolution import ConvolutionForm, RewrittenConvolution
from ...ir.reason import Cause, Reason
from ..lowering.prices import MARGIN
from ..lowering.target import Target
from .bias import LateBias, late_bias
from .fourier import Fourier, fourier
from .hard_sigmoid import HardSigmoid, hard_sigmoid
from .product import LateProduct, late_product
from .transform_matrix import TransformMatrix, transform_matrix
from .window import SmallerWindow, smaller_window

__all__ = ["Found", "find", "seen"]

Found: TypeAlias = Fourier | TransformMatrix | SmallerWindow | LateBias | LateProduct | HardSigmoid

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
) -> tuple[RewrittenConvolution, ...]:
    """The convolutions of the main graph that are predicted to gain in another form; reads and changes nothing.

    sized: finds the sizes that they are predicted for; look: makes the view of the model, where there may be any;
    last: whether all else has been done, which also reads products: only then these become convolutions.
    """
    if not any(node.op_type in LIKE_CONVOLUTIONS for node in model.graph):
        return ()
    looked = look(model)
    scope = next(scopes(looked.model))
    activations = Activations(looked.model, sized)
    found = _convolutions(scope, looked.found.constants)
    steps = (_step(one, _gain(one, activations, target), scope) for one in found)
    kept = (step for step in steps if (step.gain or 0) > LEAST[step.form])
    return tuple(step for step in kept if last or step.form is not ConvolutionForm.PRODUCT)


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
