"""An operator that walks trees, written in plain operators that every device has."""

from __future__ import annotations

import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.rewritten_forest import ForestForm
from ..trees.forest import Forest
from ..trees.writer import Writer
from .ensemble import Aggregate, Ensemble
from .finish import write_labels, write_scores
from .normal import normal
from .to_blocks import write_blocks
from .to_gathers import write_gathers

__all__ = ["write_lowered"]

EXTREMES = {Aggregate.MIN: "ReduceMin", Aggregate.MAX: "ReduceMax"}


def write_lowered(
    writer: Writer, ensemble: Ensemble, form: ForestForm, rows: ir.Value, passes: int = 1
) -> list[ir.Value]:
    """Append the operators; returns the outputs of the operator in their order. passes: as for `write_blocks`."""
    forest = normal(ensemble.forest)
    values = _beside_negatives(writer, ensemble.forest, forest, rows)
    if form is ForestForm.BLOCKS:
        sums = write_blocks(writer, forest, values, passes)
    else:
        each = write_gathers(writer, forest, values)
        sums = writer.reduced(EXTREMES.get(ensemble.aggregate, "ReduceSum"), each, 1, "trees")
    if ensemble.aggregate is Aggregate.AVERAGE:
        trees = writer.constant(np.array([forest.roots.size], np.float32), "trees/count")
        sums = writer.one("Div", [sums, trees], "trees")
    scores, decisive = write_scores(writer, ensemble, sums)
    return [scores] if ensemble.labels is None else [write_labels(writer, ensemble, decisive), scores]


def _beside_negatives(writer: Writer, plain: Forest, forest: Forest, rows: ir.Value) -> ir.Value:
    """Rows beside their negatives, where a test is about one."""
    if (forest.feature < plain.features).all():
        return rows
    return writer.one("Concat", [rows, writer.one("Neg", [rows], "rows")], "rows", axis=1)
