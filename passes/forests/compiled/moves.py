"""Operators that move the elements of a value, whatever these are: Reshape, Transpose, Squeeze, Unsqueeze, Identity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ....ir.graph.node import NodeView
from ..trees.forest import Array
from .layout import OpenLayout
from .symbols import Counts, Paths, PickedRows, Pieces, Scores, Symbol, Tests

__all__ = ["arranged", "moved"]


def moved(node: NodeView, symbol: Symbol, target: Sequence[int | None] | None) -> Symbol | None:
    """What a moving operator makes of a value; None where that does not hold for every batch.

    target: the second operand of a Reshape, None for other operators.
    """
    layout = symbol.layout
    match node.node.op_type:
        case "Identity":
            return symbol
        case "Reshape":
            if target is None or node.attribute("allowzero", 0):
                return None
            return _at(symbol, layout.reshaped(target))
        case "Transpose":
            perm = node.attribute("perm", range(len(layout.dims))[::-1])
            found = layout.transposed(list(perm))
            return None if found is None else arranged(symbol, found[0], found[1])
        case "Squeeze":
            axes = node.integers("axes", 1)
            return _at(symbol, _squeezed(node, layout) if axes is None else layout.without(axes))
        case "Unsqueeze":
            axes = node.integers("axes", 1)
            return None if axes is None else _at(symbol, _unsqueezed(layout, axes))
    return None


def arranged(symbol: Symbol, layout: OpenLayout, order: Array) -> Symbol:
    """A value with its elements in another order: (cells,) which comes to each place."""
    match symbol:
        case PickedRows():
            return replace(symbol, layout=layout, feature=symbol.feature[order])
        case Tests():
            names = ("feature", "threshold", "mode")
            return replace(symbol, layout=layout, **{name: getattr(symbol, name)[order] for name in names})
        case Counts():
            return replace(symbol, layout=layout, matrix=symbol.matrix[order])
        case Scores():
            return replace(symbol, layout=layout, matrix=symbol.matrix[order])
        case Paths():
            return replace(symbol, layout=layout, matrix=symbol.matrix[order], never=symbol.never[order])
        case Pieces():
            return replace(symbol, layout=layout, lane=symbol.lane[order])


def _at(symbol: Symbol, layout: OpenLayout | None) -> Symbol | None:
    """The same elements in the same order of memory under another shape."""
    return None if layout is None else replace(symbol, layout=layout)


def _squeezed(node: NodeView, layout: OpenLayout) -> OpenLayout | None:
    """Without all axes of extent one. A batch of one would be such an axis as well: so a Transpose has to follow, which
    takes as many axes as there are otherwise, and with which the model does not run on one row anyway."""
    found = layout.without([axis for axis, extent in enumerate(layout.dims) if extent == 1 and axis != layout.axis])
    readers = node.node.outputs[0].consumers()
    if found is None or len(readers) != 1 or readers[0].op_type != "Transpose":
        return None
    perm = readers[0].attributes.get("perm")
    return found if perm is not None and len(perm.as_ints()) == len(found.dims) else None


def _unsqueezed(layout: OpenLayout, axes: Sequence[int]) -> OpenLayout | None:
    rank = len(layout.dims) + len(axes)
    new = {axis % rank for axis in axes}
    old = iter(enumerate(layout.dims))
    dims, axis = [], -1
    for place in range(rank):
        if place in new:
            dims.append(1)
            continue
        source, extent = next(old)
        axis = place if source == layout.axis else axis
        dims.append(extent)
    return replace(layout, dims=tuple(np.array(dims).tolist()), axis=axis)
