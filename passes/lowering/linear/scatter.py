"""The `scatter` lowering, for every decomposition: gather the rows of each block, multiply, put the results back.

The activation is brought to features-first layout (K, M), because gathering rows copies whole rows while gathering
columns copies single elements. Results are put back in their places by one Gather with the inverse permutation,
measured to be faster than ScatterND into zeros, or where outputs are dormant by ScatterND into the zero channel, which
holds the bias. Features of a convolution of one pixel lie on axis 1, so that whole planes are copied anyway: its blocks
are computed by the operator itself, with which strides and pads stay.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ....ir.reason import Reason
from ...decompose.blocks import is_contiguous, is_run
from ..nodes.emitter import Emitter
from ..nodes.features_first import enter, leave
from ..nodes.primitives import addend, bias_of, gather, join, reorder
from ..nodes.residual import add_residual, add_rows
from ..nodes.weights import BlockWeights
from ..prices import Prices
from ..seconds import blocks_seconds, boundary_seconds, copy_seconds, permutation_seconds, window_seconds
from ..target import Target
from .dormant import absorb_dormant, computes_dormant
from .per_block import per_block
from .protocol import Extra, LinearLowering, picked_seconds, why_not_beside, why_not_dense

__all__ = ["Scatter"]

Array = npt.NDArray[Any]
ZERO_NODES = 2  # what the zero channel takes besides one ScatterND for each block


class Scatter(LinearLowering):
    """Gather, product and placement of each block, features first."""

    name = "scatter"
    adds: ClassVar[frozenset[Extra]] = frozenset({"split-K", "residual"})
    slices: ClassVar[bool] = True

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a linear with these blocks cannot be written so."""
        return why_not_dense(linear, self) or (why_not_beside(self, linear, found) if found is not None else None)

    def idle(self, found: Decomposition) -> bool:
        """Where blocks follow one another, none of them has to be gathered."""
        return is_contiguous(found)

    def scatters(self, linear: Linear, found: Decomposition) -> bool:
        """Into the zero channel, where results do not fill it, or are added up."""
        dormant = bool(found.dormant_outputs.size) and not computes_dormant(linear)
        return dormant or found.split_k or bool(found.residual)

    def joins(self, found: Decomposition) -> int:
        """Those of all blocks, which are added one after another where they share outputs."""
        return 1 if found.split_k else len(found.blocks)

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """A run of features is sliced in one piece; others are found row by row, and so are the results."""
        itemsize = int(linear.dtype.itemsize)
        K, N = found.shape
        seconds = blocks_seconds(found, rows, itemsize, prices, features_first=True)
        rows_found = sum(block.inputs.size for block in found.blocks if not is_run(block.inputs)) + N
        read = sum(block.inputs.size for block in found.blocks)
        seconds += (len(found.blocks) + 1) * prices.node_s + read * copy_seconds(K, rows, itemsize, prices)
        seconds += N * copy_seconds(N, rows, itemsize, prices) + rows_found * prices.find_row_s
        if found.split_k:
            added = sum(block.outputs.size for block in found.blocks) * rows
            seconds += (len(found.blocks) + ZERO_NODES) * prices.node_s
            seconds += added * prices.scatter_add_s * prices.moved(itemsize)
        shapes = [block.shape for block in found.blocks]
        seconds += window_seconds(shapes, linear.taps, rows, itemsize, prices)
        if linear.slices and linear.layout.kind != "conv":  # gathered element by element
            ends = sum(block.inputs.size for block in found.blocks if not is_run(block.inputs)) + N
            picked = picked_seconds(linear, shapes, rows, prices)
            return seconds + permutation_seconds([ends], rows, itemsize, prices) + picked
        return seconds + boundary_seconds(found.shape, linear.layout.boundary_transposes, rows, itemsize, prices)

    def absorbs(self, linear: Linear) -> frozenset[ir.Node]:
        """The Add, since every block is a Gemm; those of a convolution are convolutions."""
        bias = linear.bias
        folds = bias is not None and bias.via is None and linear.layout.kind != "conv" and not linear.slices
        return frozenset([bias.node]) if folds and bias is not None and bias.node is not None else frozenset()

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit Gather, product and placement of each block; the operator itself for a convolution."""
        whole = absorb_dormant(found) if computes_dormant(emitter.linear) else found
        if emitter.linear.layout.kind == "conv" or emitter.linear.slices:
            return per_block(emitter, constants, whole, folds=False)
        return _scattered(emitter, constants, whole)


def _scattered(emitter: Emitter, constants: Constants, decomposition: Decomposition) -> ir.Value:
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
        own = None if bias is None or decomposition.split_k else bias[block.outputs]
        results.append(_product(emitter, role, weight, piece, own))
    if decomposition.split_k:
        whole = _sum(emitter, results, frame.features, decomposition, bias)
    else:
        whole = _place(emitter, join(emitter, results, axis=0), frame.features, decomposition, bias)
    whole = add_residual(emitter, constants, decomposition, frame.features, whole)
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
