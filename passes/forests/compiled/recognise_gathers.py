"""Forests compiled to gathers: a row's place in each tree, looked up and moved on a level at a time.

The place is a number that depends on the tests so far: it is known for every leaf of a tree that grows by a level
wherever a comparison turns into a number. Tables of constants are read at all of these places.

    place -- Gather features --> GatherElements of x --+
      |----- Gather thresholds ------------------------+--> test --> Where(test, left, right), or 2 place + test
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..trees.forest import Array
from .layout import OpenLayout
from .symbols import Frontier, PickedRows, Pieces, Scores, Tests

__all__ = ["arithmetic", "chosen", "compared", "expanded", "gathered", "numbers", "picked"]

MOST = 1 << 22  # leaves of a frontier: more than any compiled forest has


def expanded(constant: Array, sizes: list[int | None]) -> Pieces | None:
    """A constant repeated for each row of the batch: a place in each tree; None where the batch is not in front."""
    dims = [1 if size is None else size for size in sizes]
    if sizes.count(None) != 1 or constant.dtype != np.int64 or any(size is not None and size < 1 for size in sizes):
        return None
    layout = OpenLayout.of(dims, sizes.index(None))
    values = layout.spread(constant)
    lanes = np.arange(layout.cells)
    return None if values is None else Pieces(layout, lanes, Frontier(lanes), values)


def numbers(symbol: Tests | Pieces) -> Pieces | None:
    """Tests as 1 and 0: every leaf is split."""
    if isinstance(symbol, Tests):
        lanes = np.arange(symbol.layout.cells)
        tests = (symbol.feature, symbol.threshold, symbol.mode)
        symbol = Pieces(symbol.layout, lanes, Frontier(lanes), lanes, "test", tests)
    if symbol.kind != "test" or symbol.tests is None or not _distinct(symbol):
        return None
    every = np.ones(symbol.frontier.lane.size, bool)
    grown = _split(symbol.frontier, symbol.tests, every)
    return replace(symbol, frontier=grown, values=(grown.side == 1).astype(np.int64), kind="number", tests=None)


def gathered(table: Array, index: Pieces) -> Pieces | Scores | None:
    """Rows of a constant at places: numbers of one dimension, or what leaves add of two."""
    places = _inside(index, len(table)) if table.ndim in (1, 2) else None
    if places is None:
        return None
    if table.ndim == 1:
        return replace(index, values=table[places])
    from scipy.sparse import csr_array

    # Row (cell, column) holds the entry of each leaf of the cell's tree.
    columns = table.shape[1]
    cell_of = np.empty(index.lane.size, np.int64)
    cell_of[index.lane] = np.arange(index.lane.size)
    if not _distinct(index):
        return None
    cell = cell_of[index.frontier.lane]
    rows = (cell[:, None] * columns + np.arange(columns)).reshape(-1)
    leaves = np.repeat(np.arange(places.size), columns)
    shape = (index.lane.size * columns, places.size)
    matrix = csr_array((table[places].reshape(-1), (rows, leaves)), shape=shape)
    layout = replace(index.layout, dims=(*index.layout.dims, columns), after=index.layout.after * columns)
    return Scores(layout, matrix, index.frontier)


def picked(features: PickedRows, index: Pieces) -> Pieces | None:
    """GatherElements of the rows along their features: a feature for each leaf."""
    clean = features.layout.is_clean and features.layout.axis == 0 and len(features.layout.dims) == 2
    own = index.layout.is_clean and index.layout.axis == 0 and len(index.layout.dims) == 2
    places = _inside(index, features.feature.size) if clean and own else None
    return None if places is None else replace(index, values=features.feature[places], kind="feature")


def compared(features: Pieces, thresholds: Pieces | Array, mode: int) -> Pieces | None:
    """A test for each leaf."""
    both = _with_numbers(features, thresholds) if features.kind == "feature" else None
    if both is None:
        return None
    frontier, feature, threshold = both
    tests = (feature, threshold, np.full(feature.size, mode))
    return replace(features, frontier=frontier, values=feature, kind="test", tests=tests)


def arithmetic(op: str, one: Pieces, other: Pieces | Array) -> Pieces | None:
    """Sums, differences and products of whole numbers."""
    whole = one.kind == "number" and one.values.dtype == np.int64
    both = _with_numbers(one, other) if whole else None
    function = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply}.get(op)
    if both is None or function is None:
        return None
    frontier, left, right = both
    return replace(one, frontier=frontier, values=function(left, right))


def chosen(test: Pieces, true: Pieces, false: Pieces) -> Pieces | None:
    """Where(test, true, false): leaves at which both are the same are not split, so that trees end where they end."""
    sides = [_together(test, side) for side in (true, false)]
    if test.kind != "test" or test.tests is None or true.kind != "number" or false.kind != "number":
        return None
    if sides[0] is None or sides[1] is None or any(side[0] is not test.frontier for side in sides if side):
        return None  # the numbers of deeper leaves are not those of the test
    yes, no = sides[0][2], sides[1][2]
    grown = _split(test.frontier, test.tests, yes != no)
    values = np.where(grown.side == 1, yes[grown.parent], no[grown.parent])
    return replace(test, frontier=grown, values=values, kind="number", tests=None) if _distinct(test) else None


def _split(frontier: Frontier, tests: tuple[Array, Array, Array], where: Array) -> Frontier:
    """The frontier with two leaves in the place of each that is tested."""
    if frontier.lane.size > MOST:
        raise OverflowError("a frontier has too many leaves")
    parent = np.repeat(np.arange(frontier.lane.size), np.where(where, 2, 1))
    first = np.r_[True, parent[1:] != parent[:-1]]
    side = np.where(where[parent], first.astype(np.int64), -1)
    return Frontier(frontier.lane[parent], frontier, parent, side, tests)


def _distinct(symbol: Pieces) -> bool:
    """Whether every element has a tree of its own."""
    return np.unique(symbol.lane).size == symbol.lane.size == int(symbol.frontier.lane.max(initial=-1)) + 1


def _inside(index: Pieces, extent: int) -> Array | None:
    """The places of whole numbers in a table of so many rows, counted from the first; None where one is outside."""
    if index.kind != "number" or index.values.dtype.kind != "i":
        return None
    if ((index.values < -extent) | (index.values >= extent)).any():
        return None
    return np.where(index.values < 0, index.values + extent, index.values)


def _with_numbers(one: Pieces, other: Pieces | Array) -> tuple[Frontier, Array, Array] | None:
    """Values of one and numbers of another, or of a constant, at the same leaves."""
    if isinstance(other, Pieces):
        return _together(one, other) if other.kind == "number" else None
    spread = _per_leaf(one, other)
    return None if spread is None else (one.frontier, one.values, spread)


def _together(one: Pieces, other: Pieces) -> tuple[Frontier, Array, Array] | None:
    """Values of two at the leaves of the deeper one; None where they are not of the same trees in the same places."""
    if one.layout != other.layout or not np.array_equal(one.lane, other.lane):
        return None
    lifted = one.frontier.lifted(other.values, other.frontier)
    if lifted is not None:
        return one.frontier, one.values, lifted
    lifted = other.frontier.lifted(one.values, one.frontier)
    return None if lifted is None else (other.frontier, lifted, other.values)


def _per_leaf(symbol: Pieces, constant: Array) -> Array | None:
    """A constant of an elementwise operator, for the leaves of each tree."""
    spread = symbol.layout.spread(constant)
    if spread is None or not _distinct(symbol):
        return None
    own = np.empty_like(spread)
    own[symbol.lane] = spread
    return own[symbol.frontier.lane]
