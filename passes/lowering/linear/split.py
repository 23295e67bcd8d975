"""The `split` lowering, for blocks that lie one after another: the operator itself, once for each block.

Split along the features, or Slices where windows overlap, the operator with its part of the weight, Concat. No index
work, no change of layout.
"""

from __future__ import annotations

from typing import ClassVar

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ....ir.reason import Cause, Reason
from ...decompose.blocks import has_windows, is_contiguous
from ..nodes.emitter import Emitter
from ..prices import Prices
from ..seconds import blocks_seconds, copy_seconds, piece_seconds, window_seconds
from ..target import Target
from .dormant import absorb_dormant, computes_dormant
from .per_block import as_gemm, per_block
from .protocol import LinearLowering, picked_seconds, why_not_beside, why_not_dense

__all__ = ["Split"]


class Split(LinearLowering):
    """Split, the operator once a block, Concat."""

    name = "split"
    slices: ClassVar[bool] = True

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a linear with these blocks cannot be written so."""
        if reason := why_not_dense(linear, self):
            return reason
        if found is None:
            return None
        if reason := why_not_beside(self, linear, found):
            return reason
        if not (is_contiguous(found) or has_windows(found)):
            return Reason(Cause.BLOCKS, "'split' needs blocks that follow one another; use 'scatter'")
        return None

    def joins(self, found: Decomposition) -> int:
        """Those of all blocks."""
        return len(found.blocks)

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """One Split, or a Slice for each block that does not read everything; each copies what its block reads."""
        itemsize = int(linear.dtype.itemsize)
        K = found.shape[0]
        inside = copy_seconds(K, rows, itemsize, prices)
        seconds = blocks_seconds(found, rows, itemsize, prices, features_first=False)
        shapes = [block.shape for block in found.blocks]
        seconds += window_seconds(shapes, linear.taps, rows, itemsize, prices)
        seconds += picked_seconds(linear, shapes, rows, prices)
        read = sum(block.inputs.size for block in found.blocks)
        if is_contiguous(found):
            return seconds + prices.node_s + len(found.blocks) * piece_seconds(rows, prices) + read * inside
        whole = sum(block.inputs.size == K for block in found.blocks)  # is read as it is
        slices = len(found.blocks) - whole
        return seconds + slices * (prices.node_s + rows * prices.slice_row_s) + (read - whole * K) * inside

    def index_bytes(self, found: Decomposition) -> int:
        """None: bounds of blocks are a few numbers."""
        return 0

    def absorbs(self, linear: Linear) -> frozenset[ir.Node]:
        """The Add, where MatMul and Add become one Gemm."""
        return as_gemm(linear)

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit Split or Slices, the operator once a block, Concat."""
        linear = emitter.linear
        whole = absorb_dormant(found) if computes_dormant(linear) else found
        return per_block(emitter, constants, whole, folds=bool(self.absorbs(linear)), follow=is_contiguous(whole))
