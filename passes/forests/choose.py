"""Which form an operator that walks trees is to have on a device that has none: blocks, gathers, or as it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...ir.graph.operators import ENSEMBLES
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_forest import ForestForm, RewrittenForest
from ...ir.plural import counted
from ...ir.reason import Cause, Reason
from ..lowering.prices import MARGIN, prices_of
from ..lowering.target import Target
from .lowered.ensemble import Aggregate, Ensemble
from .lowered.finish import why_unfinished
from .lowered.from_ensemble import UnreadableEnsembleError, ensemble_of
from .lowered.normal import leaf_counts, normal
from .prices import lowered_bytes, lowered_seconds, standing_seconds
from .trees.forest import Forest
from .trees.to_ensemble import DOMAIN

__all__ = ["Standing", "forms", "is_ensemble", "lowered", "standing"]

OLDEST = 13  # operator set since which all that is needed is there in one form
DEEPEST = 12  # a perfect tree has 2 ** depth leaves
LARGEST = 1 << 26  # bytes of constants of a form: more are not worth their memory
MOST = 1 << 32  # bytes that a form may hold at once
PASSES = 32  # groups of trees, one after another, that a form may be written in to hold no more


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Standing:
    """An operator that walks trees, of rows (N, F)."""

    node: ir.Node
    rows: ir.Value
    ensemble: Ensemble
    normal: Forest


def standing(node: ir.Node, opset: int) -> Standing | Reason:
    """An operator as a value, or why it cannot be written in others."""
    rows = node.inputs[0]
    shape = None if rows is None else shape_of(rows)
    if rows is None or shape is None or len(shape) != 2 or not isinstance(shape[1], int):
        return Reason(Cause.UNKNOWN_RANK, "how many features its rows have is not known")
    if rows.dtype != ir.DataType.FLOAT:
        return Reason(Cause.DATA_TYPE, "its rows are not of type float")
    if opset < OLDEST:
        return Reason(Cause.OPERATOR_SET, f"it needs operators of set {OLDEST}, the model has {opset}")
    try:
        ensemble = ensemble_of(node, shape[1])
    except UnreadableEnsembleError as error:
        return error.reason
    if (why := why_unfinished(ensemble)) is not None:
        return why
    forest = normal(ensemble.forest)
    if not forest.depths.max(initial=0):
        return Reason(Cause.UNSUPPORTED, "its trees test nothing")
    return Standing(node=node, rows=rows, ensemble=ensemble, normal=forest)


def is_ensemble(node: ir.Node) -> bool:
    """Whether a node walks trees."""
    return node.domain == DOMAIN and node.op_type in ENSEMBLES


def forms(found: Standing) -> list[ForestForm]:
    """The forms that an operator can have, by what they hold."""
    forest, depth = found.normal, int(found.normal.depths.max())
    leaves = int(leaf_counts(forest).max())
    held = {
        ForestForm.BLOCKS: 4 * forest.roots.size * leaves * (leaves + 3 * forest.targets),
        ForestForm.GATHERS: 4 * forest.roots.size * 2 ** min(depth, DEEPEST) * (forest.targets + 3),
    }
    fits = [form for form, size in held.items() if size <= LARGEST]
    sums = found.ensemble.aggregate in (Aggregate.SUM, Aggregate.AVERAGE)
    return [form for form in fits if (sums if form is ForestForm.BLOCKS else depth <= DEEPEST)]


def lowered(
    found: Standing, addresses: Mapping[ir.Node, str], target: Target, rows: Sequence[int]
) -> RewrittenForest | Reason:
    """The form that is predicted to be fastest where it is least, or why the operator stays."""
    here, there = prices_of("cpu"), prices_of(target.provider)
    forest = found.ensemble.forest
    what = f"{counted(forest.roots.size, 'tree')} of depth {int(forest.depths.max())} at most"
    passes = {form: _passes(found, form, max(rows)) for form in forms(found)}
    gains = {
        form: min(
            standing_seconds(forest, count, target.threads, here)
            / lowered_seconds(found.normal, form, count, there, times)
            for count in rows
        )
        for form, times in passes.items()
        if times is not None
    }
    if not passes:
        return Reason(Cause.UNSUPPORTED, f"{what} are too deep or too many to be written in other operators")
    if not gains:
        return Reason(Cause.NO_GAIN, f"{what}: for {counted(max(rows), 'row')} other operators need too much memory")
    form = max(gains, key=lambda one: gains[one])
    if gains[form] < MARGIN:
        return Reason(Cause.NO_GAIN, f"{what}: on the processor they are predicted to be as fast")
    how = {ForestForm.BLOCKS: "a stacked product", ForestForm.GATHERS: "gathers from perfect trees"}[form]
    return RewrittenForest(
        nodes=(addresses[found.node],),
        gain=gains[form],
        reason=Reason(Cause.FOREST, f"{what}, which the device has no operator for, become {how}"),
        form=form,
        trees=int(forest.roots.size),
        depth=int(forest.depths.max()),
        sha256=found.ensemble.sha256,
        passes=passes[form] or 1,
    )


def _passes(found: Standing, form: ForestForm, rows: int) -> int | None:
    """In how many groups of trees, one after another, a form holds no more than it may; None where it cannot."""
    needed = math.ceil(lowered_bytes(found.normal, form, rows) / MOST)
    trees = found.normal.roots.size
    return needed if needed <= (min(PASSES, trees) if form is ForestForm.BLOCKS else 1) else None
