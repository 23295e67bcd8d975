"""Other weights in the place of those of linears, and what comes to each result besides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.graph.view import view
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import PlanError
from ...anneal.obstacle import obstacle
from ...channels.contraction import FoldedConstant
from ...lowering.nodes.emitter import Emitter, Names
from ..constant_copies import NewConstants
from ..edit import drop_unread, name_by_address, register
from ..remove_channels import fold_into

__all__ = ["put_weights"]

FITTED = "fitted"


def put_weights(model: ir.Model, weights: Mapping[str, tuple[npt.NDArray[Any], npt.NDArray[Any]]]) -> ir.Model:
    """A copy of a model in which linears have other weights, of the type of those they had.

    weights: by address, the canonical weight (K, N) and what is added to the product of it (N,), which goes into the
    bias where there is one. Raises PlanError where there is no such linear, or it can have no other weight.
    """
    seen = view(model)
    copy, constants = seen.model, seen.found.constants
    linears = {linear.address: linear for linear in seen.found.linears}
    names = Names(copy)
    name_by_address(seen.found.linears, names)
    for address, (weight, added) in weights.items():
        linear = linears.get(address)
        if linear is None:
            raise PlanError(f"{address}: the model has no such linear")
        if reason := obstacle(linear):
            raise PlanError(f"{address}: {reason}")
        stored = constants.read(linear.weight)
        if weight.shape != linear.shape or added.shape != linear.shape[1:]:
            raise PlanError(f"{address}: weights of shape {weight.shape} and {added.shape} for {linear.shape}")
        emitter = Emitter(linear, names)
        laid = (weight.T if linear.transposed else weight).reshape(stored.shape)
        value = emitter.constant(np.ascontiguousarray(laid.astype(stored.dtype)), FITTED)
        _put(copy, linear, value, emitter)
        if added.any():
            axis = linear.layout.from_last(linear.layout.axis_out)
            fold = FoldedConstant(linear.node, axis, np.asarray(linear.alpha * added, np.float64))
            fold_into(copy, fold, NewConstants(copy, names, FITTED), names)
    return copy


def _put(model: ir.Model, linear: Linear, value: ir.Value, emitter: Emitter) -> None:
    graph, place = linear.node.graph, list(linear.node.inputs).index(linear.weight)
    register(model, linear, graph, emitter.constants, emitter.names, None)
    linear.node.replace_input_with(place, value)
    drop_unread(model, linear.weight)
