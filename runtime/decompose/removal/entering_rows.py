"""What enters products that read units, and sums over it to fit them to, without a copy of any rows that are held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....passes.pruning.shrinkage import Moments
from ...inputs.rows import rows_in, rows_out
from .sampled import require_finite, rows_of_feed, seen_of
from .stages import Stages

__all__ = ["FITTED", "EnteringRows", "entering_rows"]

Array = npt.NDArray[Any]
Float64: TypeAlias = "npt.NDArray[np.float64]"

FITTED = 1 << 17  # rows of all feeds together that products are fitted to
HELD = 5  # one row of so many is held out


@dataclass(frozen=True, slots=True, eq=False)
class EnteringRows:
    """One product: rows (M, K) that enter it, of each feed; beside: (M, N), what is added to its results further on, as
    the stream of a residual network, None where nothing is."""

    rows: Sequence[Array]
    beside: Sequence[Array | None]

    @property
    def per_feed(self) -> int:
        """Rows in one feed, at the median."""
        return int(np.median([len(rows) for rows in self.rows]))

    def gram(self) -> Float64:
        """The mean of xᵀ x over all rows x with a one at the end, (K + 1, K + 1)."""
        size = self.rows[0].shape[1] + 1
        total = np.zeros((size, size))
        for rows in self.rows:
            x = _with_ones(rows)
            total += x.T @ x
        return total / max(sum(map(len, self.rows)), 1)

    def moments(self, original: EnteringRows, weight: Float64) -> tuple[Moments, Moments]:
        """Of rows to fit to and of rows that are held out: results are those that, with what is beside them, come to
        what a weight (K + 1, N) makes of the rows of the original with what is beside it there.

        A fifth of each feed is held out, what comes last, so that rows of one sample are seldom on both sides; of feeds
        of a few rows every fifth.
        """
        K, N = weight.shape
        found = [Moments(np.zeros((K, K)), np.zeros((K, N)), 0) for _ in range(2)]
        dense = weight.astype(np.float32)
        for place, (rows, beside) in enumerate(zip(self.rows, self.beside, strict=True)):
            x, y = _with_ones(rows), _with_ones(original.rows[place]) @ dense
            before = original.beside[place]
            if beside is not None and before is not None:
                y += before - beside
            few = len(x) < HELD
            cut = len(x) * (place % HELD != HELD - 1) if few else len(x) - len(x) // HELD
            for side, some in enumerate((slice(None, cut), slice(cut, None))):
                gram, target = ((x[some].T @ one[some]).astype(np.float64) for one in (x, y))
                found[side] += Moments(gram, target, len(x[some]))
        return found[0], found[1]


def _with_ones(rows: Array) -> npt.NDArray[np.float32]:
    """With a column of ones behind them. Sums over one feed are of single precision, those of feeds of double."""
    return np.concatenate([rows, np.ones((len(rows), 1))], axis=1, dtype=np.float32)


def entering_rows(stages: Stages, graph: ir.Model, linears: Sequence[Linear], name: str) -> list[EnteringRows]:
    """What the samples show of some linears of a model, as its weights are by now; the same rows every time.

    name: what an error calls the model. Raises CalibrationError where a value holds a NaN or an Inf, or no such rows,
    SessionError where a stage does not run.
    """
    return [_entering(linear, value, held, name) for linear, value, held in seen_of(stages, graph, linears)]


def _entering(linear: Linear, beside: ir.Value | None, held: Sequence[Mapping[str, Array]], name: str) -> EnteringRows:
    found: list[Array] = []
    others: list[Array | None] = []
    for values in held:
        rows = rows_in(linear, values[linear.activation.name or ""], name)
        other = None if beside is None else rows_out(linear, values[beside.name or ""], len(rows), name)
        count = rows_of_feed(len(held), len(rows), FITTED)
        if count < len(rows):
            some = np.linspace(0, len(rows) - 1, count).astype(np.int64)
            rows, other = rows[some], None if other is None else other[some]
        found.append(rows)
        others.append(other)
        require_finite(linear, name, rows, 0.0 if other is None else other)
    return EnteringRows(found, others)
