"""The `cells` lowering, of one direction of a recurrent operator: an operator for each block of its states."""

from __future__ import annotations

import sys

from ....ir.graph.constants import Constants
from ....ir.graph.recurrent import Recurrent
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition
from ....ir.reason import Reason
from ..nodes.emitter import Emitter
from ..prices import Prices
from ..protocol import INDEX_BYTES, Lowering, why_not_plain
from ..target import MOST_JOINED, Target
from .cells import emit_blocks
from .cost import Run, parallel_seconds, seconds

__all__ = ["CELLS", "Cells"]


class Cells(Lowering[Recurrent, Decomposition, Run, Emitter, dict[int, ir.Value]]):
    """Operators side by side with fewer hidden units each."""

    name = "cells"

    def why_not(self, subject: Recurrent, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a direction with these blocks cannot be written so."""
        return why_not_plain(self.name, found) if found is not None else None

    def dense_seconds(self, subject: Recurrent, load: Run, prices: Prices) -> float:
        """Predicted seconds of the direction as it is."""
        itemsize = int(subject.dtype.itemsize)
        return seconds(subject.op, subject.features, subject.hidden, load, itemsize, prices.cells)

    def seconds(self, subject: Recurrent, found: Decomposition, load: Run, prices: Prices) -> float:
        """Predicted seconds of the same in blocks."""
        return parallel_seconds(found, subject.op, subject.features, load, int(subject.dtype.itemsize), prices.cells)

    def index_bytes(self, found: Decomposition) -> int:
        """Those of what each block reads and of the order of what is written; operands from outside besides."""
        return INDEX_BYTES * sum(block.inputs.size for block in found.blocks)

    def emit(self, site: Emitter, constants: Constants, found: Decomposition, target: Target) -> dict[int, ir.Value]:
        """Emit the blocks of one direction; returns what replaces each of its outputs that is read."""
        return emit_blocks(site, constants, found, MOST_JOINED if target.provider == "cuda" else sys.maxsize)


CELLS = Cells()
