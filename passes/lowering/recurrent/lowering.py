"""The `cells` lowering, of one direction of a recurrent operator: an operator for each block of its states."""

from __future__ import annotations

from ....ir.graph.recurrent import Recurrent
from ....ir.plan.plan import Decomposition
from ....ir.reason import Reason
from ..prices import Prices
from ..protocol import Lowering, why_not_plain
from ..target import Target
from .cost import Run, parallel_seconds, seconds

__all__ = ["CELLS", "Cells"]


class Cells(Lowering[Recurrent, Decomposition, Run]):
    """Operators side by side with fewer hidden units each, which `cells.emit_cells` emits for all directions at
    once."""

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


CELLS = Cells()
