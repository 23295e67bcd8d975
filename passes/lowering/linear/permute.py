"""The `permute` lowering: blocks on the last axis, between one permutation of the whole activation and one back.

One GatherElements, then as `split`, and one GatherElements back. No Transpose, and products whose constant second
factor ONNX Runtime packs when it loads them.
"""

from __future__ import annotations

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Block, Decomposition
from ....ir.reason import Cause, Reason
from ...decompose.blocks import has_windows, is_contiguous
from ..nodes.emitter import Emitter
from ..nodes.last_axis import GATHER_ELEMENTS, Columns
from ..nodes.primitives import addend, cut, join, window
from ..nodes.windows import plan_reads
from ..prices import Prices
from ..seconds import blocks_seconds, copy_seconds, permutation_seconds, piece_seconds
from ..target import Target
from .dormant import absorb_dormant, computes_dormant
from .per_block import as_gemm, own_bias, product
from .protocol import LinearLowering, why_not_beside, why_not_dense

__all__ = ["Permute", "arranged"]


class Permute(LinearLowering):
    """The permutation into block order, blocks as `split` has them, and the permutation back."""

    name = "permute"

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a linear with these blocks cannot be written so."""
        if reason := why_not_dense(linear, self):
            return reason
        if linear.layout.kind != "rows":
            return Reason(Cause.LAYOUT, "'permute' needs the features on the last axis; use 'scatter'")
        if linear.opset < GATHER_ELEMENTS:
            told = f"'permute' needs operator set {GATHER_ELEMENTS}, the model has {linear.opset}; use 'scatter'"
            return Reason(Cause.OPERATOR_SET, told)
        return why_not_beside(self, linear, found) if found is not None else None

    def idle(self, found: Decomposition) -> bool:
        """Where every block reads and writes a window, nothing has to be permuted."""
        return is_contiguous(found) or has_windows(found)

    def joins(self, found: Decomposition) -> int:
        """Those of all blocks, and what nobody computes."""
        return len(found.blocks) + 1

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """Permutations of the ends where they are needed, and the windows."""
        itemsize = int(linear.dtype.itemsize)
        blocks = [block for _, block in arranged(found)]
        reads = plan_reads(blocks, found.shape[0])
        strips = sum(start >= 0 for start in reads.starts)
        around = reads.copied * copy_seconds(found.shape[0], rows, itemsize, prices)
        around += prices.node_s if reads.follow else strips * prices.node_s
        around += strips * (piece_seconds(rows, prices) if reads.follow else rows * prices.slice_row_s)
        outputs = np.concatenate([*(block.outputs for block in blocks), found.dormant_outputs])
        ends = [] if reads.order is None else [reads.order.size]
        ends += [] if (np.diff(outputs) == 1).all() else [outputs.size]
        around += permutation_seconds(ends, rows, itemsize, prices)
        return blocks_seconds(found, rows, itemsize, prices, features_first=False) + around

    def absorbs(self, linear: Linear) -> frozenset[ir.Node]:
        """The Add, where MatMul and Add become one Gemm."""
        return as_gemm(linear)

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit the permutation, the blocks, and the permutation back."""
        linear = emitter.linear
        whole = absorb_dormant(found) if computes_dormant(linear) else found
        return _permuted(emitter, constants, whole, folds=bool(self.absorbs(linear)))


def _permuted(emitter: Emitter, constants: Constants, decomposition: Decomposition, *, folds: bool) -> ir.Value:
    """Emit the permutation into block order, Split, or where inputs are shared a Slice for each block, the operator
    once a block, Concat and the permutation back."""
    linear = emitter.linear
    x, rank, (K, N) = linear.activation, linear.layout.rank, linear.shape
    axis = -1 if rank is None else rank - 1
    parts = arranged(decomposition)
    columns = Columns(emitter, x, rank, shape_of(x))
    reads = plan_reads([block for _, block in parts], K)
    ordered = x if reads.order is None else columns.take(x, reads.order, K, "gather")
    if reads.follow:
        pieces = cut(emitter, ordered, [inputs.size for inputs in reads.inputs], axis)
    else:
        pieces = [
            x if start < 0 else window(emitter, ordered, start, start + inputs.size, f"block.{i}", axis)
            for (i, _), start, inputs in zip(parts, reads.starts, reads.inputs, strict=True)
        ]
    compute = product(emitter, constants, folds=folds)
    results = [
        compute(f"block.{i}", block, piece, inputs)
        for (i, block), piece, inputs in zip(parts, pieces, reads.inputs, strict=True)
    ]
    order = [block.outputs for _, block in parts]
    dormant = decomposition.dormant_outputs
    if dormant.size:
        bias = own_bias(linear, constants, folds=folds)
        zero = np.zeros(dormant.size, linear.dtype.numpy())
        channel = zero if bias is None else bias[dormant] * np.asarray(linear.beta, bias.dtype)
        results.append(columns.repeat(channel, "zero/channel"))
        order.append(dormant)
    joined = join(emitter, results, axis)
    return addend(emitter, columns.take(joined, np.argsort(np.concatenate(order)), N, "scatter"))


def arranged(decomposition: Decomposition) -> list[tuple[int, Block]]:
    """The blocks with their numbers, in the order that leaves one end as it is where there is one.

    >>> scattered = Decomposition((4, 4), (Block([0, 2], [2, 3]), Block([1, 3], [0, 1])))
    >>> [number for number, _ in arranged(scattered)]
    [1, 0]
    """
    parts = list(enumerate(decomposition.blocks))
    for side in ("inputs", "outputs"):
        lists = [getattr(block, side) for block in decomposition.blocks]
        order = sorted(range(len(lists)), key=[int(one[0]) for one in lists].__getitem__)
        if (np.diff(np.concatenate([lists[index] for index in order])) == 1).all():
            return [parts[index] for index in order]
    return parts
