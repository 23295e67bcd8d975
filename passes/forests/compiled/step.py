"""One operator of a compiled forest: what its output holds, from what its operands hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ....ir.graph.node import NodeView
from ....ir.onnx_ir import onnx_ir as ir
from ..trees.forest import Array, Mode
from .layout import OpenLayout
from .moves import moved
from .recognise_gathers import arithmetic, chosen, compared, expanded, gathered, numbers, picked
from .recognise_gemm import equation, product
from .sizes import Sizes
from .symbols import Counts, Paths, PickedRows, Pieces, Scores, Symbol, Tests

__all__ = ["COMPARISONS", "Known", "followed"]

COMPARISONS = {
    "LessOrEqual": Mode.LEQ,
    "Less": Mode.LT,
    "GreaterOrEqual": Mode.GTE,
    "Greater": Mode.GT,
    "Equal": Mode.EQ,
}
MIRRORED = {Mode.LEQ: Mode.GTE, Mode.LT: Mode.GT, Mode.GTE: Mode.LEQ, Mode.GT: Mode.LT, Mode.EQ: Mode.EQ}


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What is known of values by now; sizes: of those that are shapes."""

    symbols: Mapping[ir.Value, Symbol]
    sizes: Mapping[ir.Value, Sizes]


def followed(view: NodeView, known: Known) -> Symbol | None:
    """What an operator computes, for whatever rows; None where that is not a step of a forest.

    Raises ModelError where a constant cannot be read.
    """
    operands = [_operand(view, value, known) for value in view.node.inputs]
    if not any(isinstance(one, Symbol) for one in operands) and view.node.op_type != "Expand":
        return None
    op = str(view.node.op_type)
    if op in COMPARISONS and len(operands) == 2:
        return _comparison(operands, COMPARISONS[op])
    match op, operands:
        case "MatMul", [PickedRows() | Tests() | Paths() as one, np.ndarray() as constant]:
            return product(one, constant, left=True)
        case "MatMul", [np.ndarray() as constant, PickedRows() | Tests() | Paths() as one]:
            return product(one, constant, left=False)
        case "Gemm", _:
            return _gemm(view, operands)
        case "Cast", [one]:
            return _cast(one, view.attribute("to"))
        case "Gather", _:
            return _gather(view, operands)
        case "GatherElements", [PickedRows() as rows, Pieces() as index] if view.axis(2, 0) == 1:
            return picked(rows, index)
        case "Where", [Pieces() as test, Pieces() as true, Pieces() as false]:
            return chosen(test, true, false)
        case (("Add" | "Sub" | "Mul"), [Pieces() as one, Pieces() | np.ndarray() as other]):
            return arithmetic(op, one, other)
        case (("Add" | "Mul"), [np.ndarray() as constant, Pieces() as one]):
            return arithmetic(op, one, constant)
        case "ReduceSum", [Scores() as one, *_]:
            return _summed(view, one)
        case "Expand", [np.ndarray() as constant, _]:
            sizes = _target(view, known)
            return None if sizes is None else expanded(constant, sizes)
    first = operands[0]
    if not isinstance(first, Symbol):
        return None
    return moved(view, first, _target(view, known) if op == "Reshape" else None)


def _operand(view: NodeView, value: ir.Value | None, known: Known) -> Symbol | Array | None:
    if value is None:
        return None
    if value in known.symbols:
        return known.symbols[value]
    return view.constants.read(value) if value in view.constants else None


def _target(view: NodeView, known: Known) -> Sizes | None:
    """The second operand as a shape."""
    value = view.operand(1)
    if value is None:
        return None
    if value in known.sizes:
        return known.sizes[value]
    return [int(size) for size in view.constants.read(value).reshape(-1)] if value in view.constants else None


def _comparison(operands: list[Symbol | Array | None], mode: Mode) -> Symbol | None:
    one, other = operands
    if isinstance(one, np.ndarray) or (isinstance(one, Pieces) and one.kind == "number"):
        one, other, mode = other, one, MIRRORED[mode]
    match one, other:
        case Counts(), np.ndarray() if mode is Mode.EQ:
            return equation(one, other)
        case PickedRows(), np.ndarray() if other.dtype == np.float32:
            threshold = one.layout.spread(other)
            if threshold is None:
                return None
            return Tests(one.layout, one.feature, threshold, np.full(one.layout.cells, int(mode)))
        case Pieces(), Pieces() if other.values.dtype == np.float32:
            return compared(one, other, int(mode))
        case Pieces(), np.ndarray() if other.dtype == np.float32:
            return compared(one, other, int(mode))
    return None


def _gemm(view: NodeView, operands: list[Symbol | Array | None]) -> Symbol | None:
    """alpha A' B' + beta C, where nothing is added and nothing scaled."""
    adds = len(operands) > 2 and view.operand(2) is not None and view.attribute("beta", 1.0) != 0
    if adds or view.attribute("alpha", 1.0) != 1:
        return None
    sides: list[Symbol | Array] = []
    for one, flipped in zip(operands[:2], (view.attribute("transA", 0), view.attribute("transB", 0)), strict=True):
        if isinstance(one, np.ndarray):
            sides.append(one.T if flipped else one)
        elif isinstance(one, PickedRows):
            found = one.layout.transposed([1, 0]) if flipped else (one.layout, np.arange(one.layout.cells))
            if found is None:
                return None
            sides.append(PickedRows(found[0], one.feature[found[1]]))
        elif isinstance(one, Tests | Paths) and not flipped:
            sides.append(one)
    match sides:
        case [PickedRows() | Tests() | Paths() as symbol, np.ndarray() as constant]:
            return product(symbol, constant, left=True)
        case [np.ndarray() as constant, PickedRows() | Tests() | Paths() as symbol]:
            return product(symbol, constant, left=False)
    return None


def _cast(one: Symbol | Array | None, to: int) -> Symbol | None:
    if to == ir.DataType.FLOAT and isinstance(one, Tests | Paths) and not one.numeric:
        return replace(one, numeric=True)
    if to == ir.DataType.INT64:
        if isinstance(one, Pieces) and one.kind == "number":
            return one if one.values.dtype == np.int64 else None
        if isinstance(one, Pieces) or (isinstance(one, Tests) and not one.numeric):
            return numbers(one)
    return None


def _gather(view: NodeView, operands: list[Symbol | Array | None]) -> Symbol | None:
    """Selection of the rows, or rows of a constant."""
    match operands:
        case [np.ndarray() as table, Pieces() as index] if view.axis(table.ndim, 0) == 0:
            return gathered(table, index)
        case [PickedRows() as rows, np.ndarray() as index] if index.ndim == 1 and index.size:
            layout, extent = rows.layout, rows.feature.size
            flat = layout.is_clean and len(layout.dims) == 2 and layout.axis == 0 and view.axis(2, 0) == 1
            if flat and ((index >= -extent) & (index < extent)).all():
                return PickedRows(OpenLayout.of((1, index.size), 0), rows.feature[index])
    return None


def _summed(view: NodeView, one: Scores) -> Scores | None:
    """Sums along axes other than the batch."""
    from scipy.sparse import csr_array

    axes, layout = view.integers("axes", 1), one.layout
    if not axes or not layout.is_clean:
        return None
    places = [axis % len(layout.dims) for axis in axes]
    if layout.axis in places:
        return None
    kept = [1 if place in places else extent for place, extent in enumerate(layout.dims)]
    into = np.broadcast_to(np.arange(int(np.prod(kept))).reshape(kept), layout.dims).reshape(-1)
    cells = np.arange(layout.cells)
    sums = csr_array((np.ones(cells.size, one.matrix.dtype), (into, cells)), shape=(int(np.prod(kept)), cells.size))
    found = OpenLayout.of(kept, layout.axis)
    smaller = found if view.attribute("keepdims", 1) else found.without(places)
    return None if smaller is None else Scores(smaller, sums @ one.matrix, one.leaves)
