"""The `scatternd` lowering, literally: Gather the rows of each block, multiply, ScatterND them into the zero channel.

Nothing is left out where it could be: each block has a Gather and a MatMul, whatever it reads, and one ScatterND puts
all results in their places. Features that are on the first axis already stay there; others are brought there and back.
What the operator does besides, a factor or a bias, follows as an operator of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Layout, Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ..nodes.emitter import Emitter
from ..nodes.features_first import enter, leave
from ..nodes.primitives import addend, affine, join
from ..nodes.weights import BlockWeights

__all__ = ["scatternd", "turned"]

SHAPE_PART = 15  # operator set whose Shape takes a part


def scatternd(emitter: Emitter, constants: Constants, decomposition: Decomposition) -> ir.Value:
    """Emit the blocks of a linear whose outputs are shared by none; returns the result in the layout of its output."""
    linear, layout = emitter.linear, turned(emitter.linear)
    frame = enter(emitter, layout)
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
    whole = emitter.one("ScatterND", [data, emitter.constant(order[:, None], "scatter/outputs"), joined], "scatter")
    whole = affine(emitter, whole, constants, behind=1)
    return addend(emitter, leave(emitter, frame, whole, layout))


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
        bounds = [emitter.integers([1], "zero/start"), emitter.integers([2], "zero/stop")]
        rows = emitter.one("Slice", [extents, *bounds], "zero")
        rows.type = extents.type
    shape = emitter.one("Concat", [emitter.integers([outputs], "zero/outputs"), rows], "zero", axis=0)
    shape.type = rows.type
    zero = ir.tensor(np.zeros(1, emitter.linear.dtype.numpy()))
    return emitter.one("ConstantOfShape", [shape], "zero", value=zero)
