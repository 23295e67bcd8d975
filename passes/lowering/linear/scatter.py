"""The `scatter` lowering: gather the rows of each block, multiply, put the results back in their places."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ..nodes.emitter import Emitter
from ..nodes.features_first import enter, leave
from ..nodes.primitives import addend, bias_of, gather, join, reorder
from ..nodes.residual import add_rows, add_strays
from ..nodes.weights import BlockWeights

__all__ = ["scatter"]

Array = npt.NDArray[Any]


def scatter(emitter: Emitter, constants: Constants, decomposition: Decomposition) -> ir.Value:
    """Emit Gather, product and placement of each block in features-first layout; returns the result in the layout
    that the linear's output has."""
    linear = emitter.linear
    frame = enter(emitter)
    bias = bias_of(linear, constants)
    weights = BlockWeights(linear, constants, outputs_first=True)
    results = []
    for index, block in enumerate(decomposition.blocks):
        role = f"block.{index}"
        piece = gather(emitter, frame.features, block, role, axis=0)
        weight = weights.block(emitter, role, block)
        own = None if bias is None or decomposition.summed else bias[block.outputs]
        results.append(_product(emitter, role, weight, piece, own))
    if decomposition.summed:
        whole = _sum(emitter, results, frame.features, decomposition, bias)
    else:
        whole = _place(emitter, join(emitter, results, axis=0), frame.features, decomposition, bias)
    whole = add_strays(emitter, constants, decomposition, frame.features, whole)
    return addend(emitter, leave(emitter, frame, whole))


def _product(emitter: Emitter, role: str, weight: ir.Value, piece: ir.Value, bias: Array | None) -> ir.Value:
    linear = emitter.linear
    attributes: dict[str, Any] = {}
    inputs: list[ir.Value | None] = [weight, piece]
    if linear.alpha != 1.0:
        attributes["alpha"] = linear.alpha
    if bias is not None:
        inputs.append(emitter.constant(bias[:, None], f"{role}/bias"))
        if linear.beta != 1.0:
            attributes["beta"] = linear.beta
    elif emitter.opset < 11:  # C was not optional yet
        inputs.append(emitter.constant(np.zeros((1, 1), linear.dtype.numpy()), f"{role}/zero"))
    if linear.fused:
        fused = {key: value for key, value in linear.node.attributes.items() if key.startswith("activation")}
        return emitter.node("FusedGemm", inputs, role, attributes | fused, domain=linear.node.domain)[0]
    return emitter.node("Gemm", inputs, role, attributes)[0]


def _sum(
    emitter: Emitter, results: list[ir.Value], features: ir.Value, decomposition: Decomposition, bias: Array | None
) -> ir.Value:
    """Add the results of blocks that share outputs to the zero channel, one after another."""
    whole = _zero(emitter, features, decomposition, bias)
    for index, (block, rows) in enumerate(zip(decomposition.blocks, results, strict=True)):
        whole = add_rows(emitter, whole, block.outputs, rows, f"block.{index}/sum")
    return whole


def _place(
    emitter: Emitter, joined: ir.Value, features: ir.Value, decomposition: Decomposition, bias: Array | None
) -> ir.Value:
    """Put the rows of the joined results where they belong; dormant rows hold the bias."""
    order = np.concatenate([block.outputs for block in decomposition.blocks])
    if order.size == decomposition.shape[1]:
        return reorder(emitter, joined, order, axis=0)
    zero = _zero(emitter, features, decomposition, bias)
    return emitter.one("ScatterND", [zero, emitter.constant(order[:, None], "scatter/outputs"), joined], "scatter")


def _zero(emitter: Emitter, features: ir.Value, decomposition: Decomposition, bias: Array | None) -> ir.Value:
    """The zero channel (N, M), which holds the bias."""
    linear, N = emitter.linear, decomposition.shape[1]
    channel = np.zeros(N, linear.dtype.numpy()) if bias is None else (bias * np.asarray(linear.beta, bias.dtype))
    extent = emitter.one("Shape", [features], "zero")
    rows = emitter.one("Gather", [extent, emitter.integers([1], "zero/axis")], "zero", axis=0)
    shape = emitter.one("Concat", [emitter.integers([N], "zero/outputs"), rows], "zero", axis=0)
    rows.type = shape.type = extent.type
    return emitter.one("Expand", [emitter.constant(channel[:, None], "zero/channel"), shape], "zero")
