"""Shapes computed by a graph, with the batch left open: as exporters write what expands to the batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np

from ....ir.graph.node import NodeView
from ....ir.graph.operators import COPYING, RESHAPING
from ....ir.onnx_ir import onnx_ir as ir
from .layout import OPEN
from .symbols import Symbol

__all__ = ["Sizes", "sizes_of"]

Sizes: TypeAlias = "list[int | None]"  # OPEN where it is the batch

SAME = COPYING | RESHAPING - {"Flatten"}  # of one dimension or none, as lists


def sizes_of(view: NodeView, known: Mapping[ir.Value, Sizes], symbols: Mapping[ir.Value, Symbol]) -> Sizes | None:
    """What an operator on sizes computes, as a list whatever its rank; None where that is not known for every batch."""
    node = view.node
    measured = view.operand(0)
    if node.op_type == "Shape" and measured is not None and not set(node.attributes) & {"start", "end"}:
        if (vector := known.get(measured)) is not None:
            return [len(vector)] if len(vector) > 1 else None  # a list of one may stand for a scalar
        symbol = symbols.get(measured)
        if symbol is None or not symbol.layout.is_clean:
            return None
        axis = symbol.layout.axis
        return [OPEN if place == axis else extent for place, extent in enumerate(symbol.layout.dims)]
    operands = [_operand(view, value, known) for value in node.inputs]
    if not operands or any(one is None for one in operands):
        return None
    first, *rest = [one for one in operands if one is not None]
    if node.op_type in SAME:
        return first
    if node.op_type == "Concat":
        return first + [size for one in rest for size in one]
    if node.op_type == "Gather" and None not in rest[0]:
        places = [place for place in rest[0] if place is not None]
        return [first[place] for place in places] if all(-len(first) <= at < len(first) for at in places) else None
    if node.op_type == "ConstantOfShape" and None not in first and len(first) == 1:
        value = node.attributes.get("value")
        filled = 0 if value is None else int(np.asarray(value.value.numpy()).reshape(-1)[0])
        return [filled] * (first[0] or 0)
    return _elementwise(str(node.op_type), [first, *rest])


def _operand(view: NodeView, value: ir.Value | None, known: Mapping[ir.Value, Sizes]) -> Sizes | None:
    if value is None:
        return None
    if value in known:
        return known[value]
    if value not in view.constants:
        return None
    array = view.constants.read(value)
    whole = array.dtype.kind in "iub" and array.ndim < 2
    return [int(number) for number in array.reshape(-1)] if whole else None


def _elementwise(op: str, operands: list[Sizes]) -> Sizes | None:
    """Mul, Equal and Where; the batch is no negative number."""
    extent = max(map(len, operands))
    if any(len(one) not in (1, extent) for one in operands):
        return None
    rows = list(zip(*(one * extent if len(one) == 1 else one for one in operands), strict=True))
    if op == "Where" and all(test is not OPEN for test, _, _ in rows):
        return [yes if test else no for test, yes, no in rows]
    if op == "Equal":
        pairs = [[size for size in row if size is not OPEN] for row in rows]
        if all(len(pair) == 2 or (len(pair) == 1 and pair[0] < 0) for pair in pairs):
            return [int(len(pair) == 2 and pair[0] == pair[1]) for pair in pairs]
    if op == "Mul":
        if all(OPEN not in row for row in rows):
            return [int(np.prod(np.array(row))) for row in rows]
        if all(OPEN not in row or 1 in row for row in rows):
            return [OPEN if OPEN in row else int(np.prod(np.array(row))) for row in rows]
    return None
