"""The `scatternd` lowering, literally: Gather the rows of each block, multiply, ScatterND them into the zero channel.

Nothing is left out where it could be: each block has a Gather and a MatMul, whatever it reads, and one ScatterND puts
all results in their places; before operator set 11, which brought it, that is a Scatter along the features. Features
that are on the first axis already stay there; others are brought there and back. What the operator does besides comes
before or follows as an operator of its own: the Pad and the Slice of a convolution, a factor, a bias, an activation
function.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Layout, Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition, Indices
from ....ir.reason import Cause, Reason
from ..nodes.activation import activated, why_not_apart
from ..nodes.emitter import Emitter
from ..nodes.features_first import enter, leave
from ..nodes.primitives import addend, affine, join, window
from ..nodes.weights import BlockWeights
from ..prices import Prices
from ..protocol import INDEX_BYTES
from ..seconds import blocks_seconds, boundary_seconds, copy_seconds
from ..target import Target
from .dormant import SCATTER_ND
from .pixels import keeps_pixels, pixels, why_not_pixels
from .protocol import LinearLowering, why_not_beside, why_not_dense

__all__ = ["ScatterNd", "turned"]

SCATTER = 9  # operator set that brought Scatter, today's ScatterElements
SHAPE_PART = 15  # operator set whose Shape takes a part


class ScatterNd(LinearLowering):
    """Gather, MatMul of each block, ScatterND into the zero channel; `scatter` computes the same with fewer copies."""

    name = "scatternd"
    on_request = True
    keeps_dormant = True

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a linear with these blocks cannot be written so."""
        if reason := why_not_dense(linear, self):
            return reason
        if linear.opset < SCATTER:
            what = f"operator set {linear.opset} has nothing that scatters: Scatter came with {SCATTER}, ScatterND with"
            return Reason(Cause.OPERATOR_SET, f"{what} {SCATTER_ND}; use 'scatter'")
        if reason := why_not_apart(linear):
            return reason.told(f"{reason}; use 'scatter'")
        if linear.layout.kind == "conv" and linear.layout.rank is None:
            what = "'scatternd' brings channels to the front, and the rank of this convolution is unknown"
            return Reason(Cause.UNKNOWN_RANK, f"{what}; use 'scatter'")
        if linear.layout.kind == "conv" and (reason := why_not_pixels(linear.node, linear.opset)):
            return reason.told(f"{reason}; use 'scatter'")
        return why_not_beside(self, linear, found) if found is not None else None

    def scatters(self, linear: Linear, found: Decomposition) -> bool:
        """Always."""
        return True

    def joins(self, found: Decomposition) -> int:
        """Those of all blocks."""
        return len(found.blocks)

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """Every row is found by its index, and what ScatterND writes into is copied before."""
        itemsize = int(linear.dtype.itemsize)
        K, N = found.shape
        seconds = blocks_seconds(found, rows, itemsize, prices, features_first=True)
        seconds += N * copy_seconds(N, rows, itemsize, prices) + prices.scatter_node_s
        read = sum(block.inputs.size for block in found.blocks)
        seconds += (len(found.blocks) + 1) * prices.node_s + read * copy_seconds(K, rows, itemsize, prices)
        seconds += N * copy_seconds(N, rows, itemsize, prices) + (read + N) * prices.find_row_s
        if linear.layout.kind == "conv" and not keeps_pixels(linear.node):
            seconds += prices.node_s + K * copy_seconds(K, rows, itemsize, prices)
        if linear.opset < SCATTER_ND:  # every entry has an index of its own
            seconds += prices.node_s + N * copy_seconds(N, rows, INDEX_BYTES, prices)
        return seconds + boundary_seconds(found.shape, turned(linear).boundary_transposes, rows, itemsize, prices)

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit Gather and MatMul of each block, and one ScatterND."""
        return _placed(emitter, constants, found)


def _placed(emitter: Emitter, constants: Constants, decomposition: Decomposition) -> ir.Value:
    """Emit the blocks of a linear whose outputs are shared by none; returns the result in the layout of its output."""
    linear, layout = emitter.linear, turned(emitter.linear)
    frame = enter(emitter, layout, pixels(emitter) if linear.layout.kind == "conv" else None)
    weights = BlockWeights(replace(linear, layout=layout), constants, outputs_first=True)
    results = []
    for index, block in enumerate(decomposition.blocks):
        role = f"block.{index}"
        places = emitter.integers(block.inputs, f"{role}/inputs")
        piece = emitter.one("Gather", [frame.features, places], role, axis=0)
        results.append(emitter.one("MatMul", [weights.block(emitter, role, block), piece], role))
    joined = join(emitter, results, axis=0)
    # Where every row is written the zeros would be seen by nobody; the results have their shape.
    data = _zeros(emitter, joined, decomposition.shape[1]) if decomposition.dormant_outputs.size else joined
    order = np.concatenate([block.outputs for block in decomposition.blocks])
    whole = _scattered(emitter, data, order, joined)
    whole = affine(emitter, whole, constants, behind=1)
    return activated(emitter, addend(emitter, leave(emitter, frame, whole, layout)))


def _scattered(emitter: Emitter, data: ir.Value, order: Indices, rows: ir.Value) -> ir.Value:
    """Rows written over those of some data (N, M), each in its place."""
    places = emitter.constant(order[:, None], "scatter/outputs")
    if emitter.opset >= SCATTER_ND:
        return emitter.one("ScatterND", [data, places, rows], "scatter")
    shape = emitter.one("Shape", [rows], "scatter")
    each = emitter.one("Expand", [places, shape], "scatter")
    each.type = shape.type
    return emitter.one("Scatter", [data, each, rows], "scatter", axis=0)


def turned(linear: Linear) -> Layout:
    """The layout of a linear, that of a convolution of one pixel as one of axes, channels being second."""
    layout = linear.layout
    if layout.kind != "conv" or layout.rank is None:
        return layout
    order = (1, 0, *range(2, layout.rank))
    return Layout(kind="axes", rank=layout.rank, enter=order, exit=order)


def _zeros(emitter: Emitter, joined: ir.Value, outputs: int) -> ir.Value:
    """The zero channel (N, M)."""
    if emitter.opset >= SHAPE_PART:
        rows = emitter.one("Shape", [joined], "zero", start=1)
    else:
        extents = emitter.one("Shape", [joined], "zero")
        rows = window(emitter, extents, 1, 2, "zero", axis=0)
        rows.type = extents.type
    shape = emitter.one("Concat", [emitter.integers([outputs], "zero/outputs"), rows], "zero", axis=0)
    shape.type = rows.type
    zero = ir.tensor(np.zeros(1, emitter.linear.dtype.numpy()))
    return emitter.one("ConstantOfShape", [shape], "zero", value=zero)
