"""Operators whose results depend on all elements along some axes of one branch."""

from __future__ import annotations

from collections.abc import Sequence

from ....ir.graph.node import from_first
from ..packing.packed import Pack, Packed, Result
from ..packing.recipe import integers

__all__ = ["axes_are_operands", "layer_norm", "reduce", "softmax"]


def softmax(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """Along an axis, or before operator set 13 along it and all behind."""
    first = operands[0]
    if first is None or first.rank is None or (value := pack.stacked(first)) is None:
        return None
    axis = pack.view.axis(first.rank, 1 if pack.opset < 13 else -1)
    return pack.made(str(pack.nodes[0].op_type), value, axis=axis + 1), "stack"


def layer_norm(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """With one scale and bias for all branches."""
    first, *rest = operands
    if first is None or first.rank is None or (value := pack.stacked(first)) is None:
        return None
    if any(one is not None and (one.kind != "fixed" or not pack.equal(one)) for one in rest):
        return None
    axis = pack.view.axis(first.rank, -1)
    parameters = [None if one is None else one.values[0] for one in rest]
    return pack.made("LayerNormalization", value, *parameters, **pack.attributes | {"axis": axis + 1}), "stack"


def reduce(pack: Pack, operands: Sequence[Packed | None]) -> Result:
    """Along some axes, all of one branch where none is named."""
    first = operands[0]
    if first is None or first.rank is None or (value := pack.stacked(first)) is None:
        return None
    op, one = str(pack.nodes[0].op_type), pack.view
    axes = one.integers("axes", 1)
    if one.operand(1) is not None and axes is None:
        return None
    if not axes and one.attribute("noop_with_empty_axes", 0):
        return None
    own = [from_first(axis, first.rank) + 1 for axis in axes or range(first.rank)]
    keep = {"keepdims": one.attribute("keepdims", 1)}
    if axes_are_operands(op, pack.opset):
        return pack.made(op, value, integers(own, "axes"), **keep), "stack"
    return pack.made(op, value, axes=own, **keep), "stack"


def axes_are_operands(op: str, opset: int) -> bool:
    """Whether an operator that reduces reads its axes from an operand: they were an attribute before."""
    return opset >= (13 if op == "ReduceSum" else 18)
