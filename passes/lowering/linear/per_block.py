"""Blocks by the operator itself, on the layout that its activation has: `split`, and every 1x1 convolution."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Block, Decomposition, Indices
from ..nodes.emitter import Emitter
from ..nodes.primitives import addend, bias_of, cut, gather, join, reorder
from ..nodes.weights import BlockWeights

__all__ = ["as_gemm", "own_bias", "per_block", "product"]

Array = npt.NDArray[Any]
Product: TypeAlias = Callable[..., ir.Value]


def as_gemm(linear: Linear) -> frozenset[ir.Node]:
    """The Add behind a product, where the operator of a block may be a Gemm with the bias as its C."""
    if linear.bias is None or linear.bias.node is None or linear.bias.via is not None:
        return frozenset()
    return frozenset([linear.bias.node]) if linear.layout.kind == "rows" and linear.layout.rank == 2 else frozenset()


def per_block(
    emitter: Emitter, constants: Constants, found: Decomposition, *, folds: bool, follow: bool = False
) -> ir.Value:
    """Emit Split, Slice or Gather along the features, the operator once a block, and Concat; returns the result.

    folds: whether the blocks compute the Add behind the product; follow: whether they read one after another.
    """
    linear, blocks = emitter.linear, found.blocks
    axis, out_axis = linear.layout.axis_in, linear.layout.axis_out
    if follow:
        pieces = cut(emitter, linear.activation, [block.inputs.size for block in blocks], axis)
    else:
        pieces = [gather(emitter, linear.activation, b, f"block.{i}", axis) for i, b in enumerate(blocks)]
    compute = product(emitter, constants, folds=folds)
    results = [compute(f"block.{i}", b, piece) for i, (b, piece) in enumerate(zip(blocks, pieces, strict=True))]
    order = np.concatenate([block.outputs for block in blocks])
    return addend(emitter, reorder(emitter, join(emitter, results, out_axis), order, out_axis))


def product(emitter: Emitter, constants: Constants, *, folds: bool) -> Product:
    """What computes one block by the operator itself: called with its role, the block, what that reads, and where that
    is not sorted with the inputs in its order."""
    linear = emitter.linear
    weights = BlockWeights(linear, constants, outputs_first=linear.transposed)
    bias = own_bias(linear, constants, folds=folds)

    def compute(role: str, block: Block, piece: ir.Value, inputs: Indices | None = None) -> ir.Value:
        part = None if bias is None else emitter.constant(_shaped(linear, bias[block.outputs]), f"{role}/bias")
        return _repeat(emitter, role, piece, weights.block(emitter, role, block, inputs), part)

    return compute


def own_bias(linear: Linear, constants: Constants, *, folds: bool) -> Array | None:
    """The bias as (N,), where the blocks are to add it: where the operator does, or where its Add is folded in."""
    own = linear.bias is not None and (linear.bias.node is None or folds)
    return bias_of(linear, constants) if own else None


def _repeat(emitter: Emitter, role: str, piece: ir.Value, weight: ir.Value, bias: ir.Value | None) -> ir.Value:
    """The operator once more, with one block's part of each operand."""
    linear = emitter.linear
    node = linear.node
    if bias is not None and linear.bias and linear.bias.node is not None:  # MatMul and Add become one Gemm
        return emitter.node("Gemm", [piece, weight, bias], role, _gemm_attributes(linear))[0]
    # Only the factors: a Gemm may add its own activation, as a residual.
    inputs: list[ir.Value | None] = [weight if v is linear.factor else piece for v in node.inputs[:2]]
    inputs += [None] * (len(node.inputs) - 2)
    if linear.bias and linear.bias.node is None:
        inputs[2] = bias
    elif node.op_type == "Gemm" and emitter.opset < 11:  # C was not optional yet
        inputs = [*inputs[:2], emitter.constant(np.zeros((1, 1), linear.dtype.numpy()), f"{role}/zero")]
    while inputs and inputs[-1] is None:
        inputs.pop()
    return emitter.node(node.op_type, inputs, role, dict(node.attributes), domain=node.domain)[0]


def _gemm_attributes(linear: Linear) -> dict[str, Any]:
    attributes: dict[str, Any] = {} if linear.alpha == 1.0 else {"alpha": linear.alpha}
    return attributes | ({"transB": 1} if linear.transposed else {})


def _shaped(linear: Linear, bias: Array) -> Array:
    """A bias as the operator reads it: along the axis of y that features lie on."""
    column = linear.layout.kind == "axes" and linear.layout.axis_out == 0
    return bias[:, None] if column else bias
