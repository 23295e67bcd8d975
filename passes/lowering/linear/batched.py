"""The `batched` lowering: all blocks as one product of three dimensions, padded to one shape where they differ.

One launch instead of one a block, which is what small blocks cost most. Features come first, as in `scatter`, because
gathering rows copies whole rows, and since ONNX Runtime 1.31 dies of such a product of no rows when rows come first.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition, Indices
from ....ir.reason import Cause, Reason
from ..nodes.emitter import Emitter
from ..nodes.features_first import enter, leave
from ..nodes.primitives import addend, affine
from ..nodes.residual import add_residual
from ..prices import Prices
from ..target import Target
from .padded import pad, padded_entries, padded_seconds, why_not_padded, why_not_stored
from .protocol import Extra, LinearLowering, why_not_beside, why_not_dense

__all__ = ["Batched"]


class Batched(LinearLowering):
    """One MatMul of three dimensions, features first."""

    name = "batched"
    adds: ClassVar[frozenset[Extra]] = frozenset({"residual"})

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a linear with these blocks cannot be written so."""
        if reason := why_not_dense(linear, self):
            return reason
        if linear.layout.kind == "conv":
            return Reason(Cause.LAYOUT, "'batched' multiplies matrices, not images; use 'grouped' or 'scatter'")
        if reason := why_not_stored(linear, self.name):
            return reason
        if found is None:
            return None
        return why_not_beside(self, linear, found) or why_not_padded(found, target.tile(linear.dtype))

    def scatters(self, linear: Linear, found: Decomposition) -> bool:
        """Entries beside the blocks are added so."""
        return bool(found.residual)

    def entries(self, found: Decomposition, tile: int) -> int:
        """Those of all blocks, padded."""
        return padded_entries(found, tile)

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """One product of all blocks."""
        return padded_seconds(linear, found, rows, prices)

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit Gather, one three-dimensional product of all blocks, and Gather, in features-first layout."""
        linear = emitter.linear
        stack = pad(found, target.tile(linear.dtype))
        B, k, n = stack.shape
        frame = enter(emitter)
        ordered = _rows(emitter, frame.features, stack.inputs.reshape(-1), linear.shape[0], "gather")
        pieces = emitter.one("Reshape", [ordered, emitter.integers([B, k, -1], "blocks/inputs")], "blocks")
        stacked = np.swapaxes(stack.weight(linear.canonical(constants)), 1, 2)
        results = emitter.one("MatMul", [emitter.constant(stacked, "blocks/weight"), pieces], "blocks")
        joined = emitter.one("Reshape", [results, emitter.integers([B * n, -1], "blocks/outputs")], "blocks")
        whole = affine(emitter, _rows(emitter, joined, stack.places(), B * n, "scatter"), constants, behind=1)
        whole = add_residual(emitter, constants, found, frame.features, whole)
        return addend(emitter, leave(emitter, frame, whole))


def _rows(emitter: Emitter, value: ir.Value, order: Indices, extent: int, role: str) -> ir.Value:
    if order.size == extent and (order == np.arange(extent)).all():
        return value
    return emitter.one("Gather", [value, emitter.integers(order, f"{role}/order")], role, axis=0)
