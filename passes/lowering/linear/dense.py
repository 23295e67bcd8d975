"""The `dense` lowering: a linear as it is, which is what all others are measured by."""

from __future__ import annotations

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ....ir.reason import Reason
from ..nodes.emitter import Emitter
from ..prices import Prices
from ..target import Target
from .protocol import LinearLowering

__all__ = ["Dense"]


class Dense(LinearLowering):
    """The operator itself, whatever its blocks."""

    name = "dense"
    keeps_dormant = True

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Nothing is against what is there."""
        return None

    def entries(self, found: Decomposition, tile: int) -> int:
        """All of them."""
        return found.shape[0] * found.shape[1]

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """Those of the linear as it is."""
        return self.dense_seconds(linear, rows, prices)

    def index_bytes(self, found: Decomposition) -> int:
        """None."""
        return 0

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit nothing: what the linear computes stays."""
        return emitter.linear.output
