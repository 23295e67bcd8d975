"""What a value of a compiled forest holds, element by element, for whatever batch: the words of the recognisers.

PickedRows --compare--> Tests --cast, product--> Counts --Equal--> Paths --cast, product--> Scores      products
PickedRows --compare--> Tests --cast--> Pieces --Gather, compare, …--> Pieces --Gather--> Scores        gathers
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from ..trees.forest import Array
from .layout import OpenLayout

__all__ = ["Counts", "Frontier", "Paths", "PickedRows", "Pieces", "Scores", "Symbol", "Tests"]

Sparse: TypeAlias = Any  # a matrix of scipy.sparse, by rows


@dataclass(frozen=True, slots=True, eq=False)
class PickedRows:
    """Features of the rows; feature: (cells,) which, -1 for a zero."""

    layout: OpenLayout
    feature: Array


@dataclass(frozen=True, slots=True, eq=False)
class Tests:
    """Whether features compare with thresholds; feature, threshold, mode: (cells,); numeric: whether as 0 and 1 rather
    than as truth values."""

    layout: OpenLayout
    feature: Array
    threshold: Array
    mode: Array
    numeric: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Sums of tests; matrix: (cells, tests) the factor of each."""

    layout: OpenLayout
    matrix: Sparse
    tests: Tests


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """Whether all of some tests hold and all of some others do not; matrix: (cells, tests) 1, -1 or 0; never: (cells,)
    those that hold for no row."""

    layout: OpenLayout
    matrix: Sparse
    never: Array
    tests: Tests
    numeric: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """The leaves of trees that grow a level at a time.

    lane: (leaves,) the tree of each; above: the frontier that was split to come to this one, None for roots; parent:
    (leaves,) the leaf of it; side: (leaves,) 1 below a test that holds, 0 below one that does not, -1 where nothing was
    tested; tests: of the leaves above, feature, threshold and mode.
    """

    lane: Array
    above: Frontier | None = None
    parent: Array = field(default_factory=lambda: np.empty(0, np.int64))
    side: Array = field(default_factory=lambda: np.empty(0, np.int64))
    tests: tuple[Array, Array, Array] | None = None

    def lifted(self, values: Array, since: Frontier) -> Array | None:
        """Values of the leaves of an earlier frontier, for those of this one; None where it is none of its origins."""
        way, at = [], self
        while at is not since:
            if at.above is None:
                return None
            way.append(at.parent)
            at = at.above
        for parent in reversed(way):
            values = values[parent]
        return values


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """Numbers that depend on the leaf that a row has come to; lane: (cells,) whose tree; values: of each leaf.

    kind: 'number' for values, 'feature' for features of the row that values count, 'test' for `tests` of the leaves.
    """

    layout: OpenLayout
    lane: Array
    frontier: Frontier
    values: Array
    kind: str = "number"
    tests: tuple[Array, Array, Array] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Weighted sums of what was reached; matrix: (cells, leaves) weights; leaves: paths, or those of a frontier."""

    layout: OpenLayout
    matrix: Sparse
    leaves: Paths | Frontier


Symbol: TypeAlias = PickedRows | Tests | Counts | Paths | Pieces | Scores
