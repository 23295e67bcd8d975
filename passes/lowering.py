"""How a decomposition is written in operators: the nodes that stand in for one dense linear.

split    for blocks that lie one after another: Split along the features, the operator itself once for each block with
         its part of the weight, Concat. No index work, no change of layout.
scatter  for all others: the activation is brought to features-first layout (K, M), because gathering rows copies whole
         rows while gathering columns copies single elements; then Gather the rows of each block, multiply, and put the
         results back in their places, by one Gather with the inverse permutation, measured to be faster than
         ScatterND into zeros, or where outputs are dormant by ScatterND into the zero channel, which holds the bias.

Convolutions of one pixel are lowered like `split` in both cases: their features lie on axis 1, so that whole planes
are copied anyway, and strides and pads stay with the operator.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..ir.constant import Constants
from ..ir.linear import Linear
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.plan import Block, Decomposition, Lowering
from .emit import Emitter
from .native import is_native, native
from .scatter import scatter

__all__ = ["absorb_dormant", "absorbs", "lower", "problem"]

SCATTER_ND = 11  # operator set that brought ScatterND
MINIMUM = 7  # operator set that brought today's broadcasting


def problem(linear: Linear) -> str | None:
    """Why a linear cannot be lowered at all, whatever its blocks; None when it can."""
    if linear.opset < MINIMUM:
        return f"operator set {linear.opset} is older than {MINIMUM}; convert the model to a newer one"
    if linear.dtype == ir.DataType.FLOAT16 and _feeds_turned_product(linear.output):
        return "a float16 Transpose and MatMul behind it would be fused, on which ONNX Runtime 1.31 crashes"
    return None


def _feeds_turned_product(value: ir.Value) -> bool:
    turned = (node.outputs[0] for node in value.consumers() if node.op_type == "Transpose")
    return any(node.op_type == "MatMul" for output in turned for node in output.consumers())


def lower(emitter: Emitter, constants: Constants, decomposition: Decomposition, lowering: Lowering) -> ir.Value:
    """Emit the nodes of one linear and return the value that replaces its output.

    The blocks compute every product of two non-zero entries that the dense operator computes, and no others.
    """
    linear = emitter.linear
    if absorbs(linear):
        decomposition = absorb_dormant(decomposition)
    if is_native(linear, lowering):
        return native(emitter, constants, decomposition, lowering)
    return scatter(emitter, constants, decomposition)


def absorbs(linear: Linear) -> bool:
    """Whether dormant outputs must be computed, by zero columns: where something is done to them besides a bias."""
    return linear.fused or linear.layout.kind == "conv" or linear.opset < SCATTER_ND


def absorb_dormant(decomposition: Decomposition) -> Decomposition:
    """The same with dormant outputs owned by the smallest block, whose weight has zeros there.

    >>> absorb_dormant(Decomposition((1, 3), (Block([0], [1]),))).blocks[0].outputs.tolist()
    [0, 1, 2]
    """
    if not decomposition.dormant_outputs.size:
        return decomposition
    blocks = list(decomposition.blocks)
    smallest = min(range(len(blocks)), key=lambda index: blocks[index].inputs.size)
    outputs = np.sort(np.concatenate([blocks[smallest].outputs, decomposition.dormant_outputs]))
    blocks[smallest] = Block(blocks[smallest].inputs, outputs)
    return replace(decomposition, blocks=tuple(blocks))
