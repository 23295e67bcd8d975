"""Forests compiled to matrix products: which test a column selects, which path an equation is, what a leaf adds.

Every factor is looked at. A column that selects a feature is zero but for a single one; a sum of tests with factors 1
and -1 equals the number of its ones exactly where all tests of factor 1 hold and none of factor -1 does. Sums of so
few small integers are exact. The strategy is that of Hummingbird (Nakandala et al., OSDI 2020, section 4.1).

    x (N, F) -- A --> features (N, K) -- <= B --> tests -- C --> counts (N, L) -- == D --> leaves -- E --> scores
"""

from __future__ import annotations

import numpy as np

from ..trees.forest import Array
from .layout import OpenLayout
from .symbols import Counts, Paths, PickedRows, Scores, Sparse, Symbol, Tests

__all__ = ["equation", "product"]


def product(symbol: Symbol, constant: Array, *, left: bool) -> Symbol | None:
    """A product with a constant; left: whether the value is the left factor. None where it is no step of a forest."""
    found = _linear(symbol.layout, constant, left=left)
    if found is None:
        return None
    layout, matrix = found
    match symbol:
        case PickedRows():
            return _selected(symbol, layout, matrix)
        case Tests() if symbol.numeric and np.isin(matrix.data, (1, -1)).all():
            return Counts(layout, matrix, symbol)
        case Paths() if symbol.numeric:
            return Scores(layout, matrix, symbol)
    return None


def _linear(layout: OpenLayout, constant: Array, *, left: bool) -> tuple[OpenLayout, Sparse] | None:
    """The layout of a product, and (its cells, cells) what each of them is of the elements.

    Of a matrix with rank two on both sides, or of as many matrices as there are, with rank three on both.
    """
    from scipy.sparse import csr_array

    rank, axis = constant.ndim, layout.axis
    contracted = rank - 1 if left else rank - 2
    if not layout.is_clean or rank not in (2, 3) or len(layout.dims) != rank or axis == contracted:
        return None
    stack = layout.dims[0] if rank == 3 else 1
    if rank == 3 and (axis == 0 or constant.shape[0] != stack):
        return None
    factor = constant.reshape(stack, *constant.shape[-2:])
    factor = factor if left else factor.swapaxes(1, 2)  # (stack, contracted, outputs)
    inner, outputs = factor.shape[1:]
    if layout.dims[contracted] != inner:
        return None
    part, source, output = np.nonzero(factor)
    entries = factor[part, source, output]
    if not np.isfinite(entries).all():
        return None
    shape = (stack * outputs, stack * inner)
    matrix = csr_array((entries, (part * outputs + output, part * inner + source)), shape=shape)
    dims = list(layout.dims)
    dims[contracted] = outputs
    return OpenLayout.of(dims, axis), matrix


def _selected(symbol: PickedRows, layout: OpenLayout, matrix: Sparse) -> PickedRows | None:
    """PickedRows that a matrix picks, one a cell; -1 where it picks none; None where it does anything else."""
    picks = np.diff(matrix.indptr)
    if (picks > 1).any() or not (matrix.data == 1).all():
        return None
    feature = np.full(layout.cells, -1, np.int64)
    feature[picks == 1] = symbol.feature[matrix.indices]
    return PickedRows(layout, feature)


def equation(symbol: Counts, constant: Array) -> Paths | None:
    """Where counts equal a constant; None where some equation holds in more than one way."""
    wanted = symbol.layout.spread(constant)
    if wanted is None:
        return None
    most = (symbol.matrix > 0).sum(axis=1).reshape(-1)
    if (wanted < most).any() or np.isnan(wanted).any():
        return None
    return Paths(symbol.layout, symbol.matrix, wanted > most, symbol.tests)
