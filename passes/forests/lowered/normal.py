"""Any forest as one whose tests are all x <= t, over rows beside their negatives: what NaN does needs no operator.

    x <  t    x <= the number before t          x == t     x <= t ? (x < t ? no : yes) : no
    x >  t    -x <= the number before -t        x != t     the same with its sides exchanged
    x >= t    -x <= -t                          NaN where the test holds:  x > t ? no : yes

NaN is never <= anything, so it goes to the false side of each of these: where it should go to the true one, the test is
the opposite one and its sides are exchanged. A test that nothing passes has the threshold NaN, one that everything but
NaN passes is -x <= inf.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..trees.forest import LEAF, Array, Forest, Mode

__all__ = ["leaf_counts", "normal"]


def normal(forest: Forest) -> Forest:
    """The same over 2 F features, of which the second half are the negatives; equalities become two tests."""
    growing = _Nodes(forest)
    for node in np.flatnonzero(~forest.is_leaf).tolist():
        growing.rewrite(node)
    return growing.forest()


class _Nodes:
    def __init__(self, forest: Forest) -> None:
        self._forest = forest
        self._feature, self._threshold = forest.feature.tolist(), [np.float32(one) for one in forest.threshold]
        self._true, self._false = forest.true.tolist(), forest.false.tolist()

    def rewrite(self, node: int) -> None:
        """The test of a node in terms of <=."""
        forest = self._forest
        mode, t = Mode(int(forest.mode[node])), self._threshold[node]
        x, yes, no = self._feature[node], self._true[node], self._false[node]
        nan_holds = bool(forest.missing[node])
        if mode is Mode.NEQ:
            yes, no, nan_holds, mode = no, yes, False, Mode.EQ  # NaN differs from everything
        if mode is Mode.EQ:
            last = self._append(x, _before(t), no, yes)
            sides = (no, last) if nan_holds else (last, no)
            self._put(node, self._above(x, t) if nan_holds else (x, t), sides)
        elif nan_holds:
            self._put(node, self._opposite(x, t, mode), (no, yes))
        else:
            self._put(node, self._plain(x, t, mode), (yes, no))

    def _plain(self, x: int, t: np.float32, mode: Mode) -> tuple[int, np.float32]:
        """A test of numbers, as x <= t."""
        minus = x + self._forest.features
        return {
            Mode.LEQ: (x, t),
            Mode.LT: (x, _before(t)),
            Mode.GTE: (minus, -t),
            Mode.GT: (minus, _before(-t)),
        }[mode]

    def _opposite(self, x: int, t: np.float32, mode: Mode) -> tuple[int, np.float32]:
        """What a number passes where it does not pass a test, and NaN neither."""
        if np.isnan(t):
            return self._every(x)
        if mode is Mode.LEQ:
            return self._above(x, t)
        return self._plain(x, t, {Mode.LT: Mode.GTE, Mode.GTE: Mode.LT, Mode.GT: Mode.LEQ}[mode])

    def _above(self, x: int, t: np.float32) -> tuple[int, np.float32]:
        return self._every(x) if np.isnan(t) else self._plain(x, t, Mode.GT)

    def _every(self, x: int) -> tuple[int, np.float32]:
        """What every number passes."""
        return x + self._forest.features, np.float32(np.inf)

    def _append(self, x: int, t: np.float32, yes: int, no: int) -> int:
        for column, entry in zip(
            (self._feature, self._threshold, self._true, self._false), (x, t, yes, no), strict=True
        ):
            column.append(entry)
        return len(self._feature) - 1

    def _put(self, node: int, test: tuple[int, np.float32], sides: tuple[int, int]) -> None:
        self._feature[node], self._threshold[node] = test
        self._true[node], self._false[node] = sides

    def forest(self) -> Forest:
        """With all nodes as they are by now."""
        nodes = len(self._feature)
        return replace(
            self._forest,
            features=2 * self._forest.features,
            feature=np.array(self._feature),
            threshold=np.array(self._threshold, np.float32),
            mode=np.full(nodes, int(Mode.LEQ)),
            missing=np.zeros(nodes, bool),
            true=np.array(self._true),
            false=np.array(self._false),
        )


def _before(t: np.float32) -> np.float32:
    """The largest number below t; NaN where there is none."""
    return np.float32(np.nan) if t == -np.inf else np.nextafter(t, np.float32(-np.inf))


def leaf_counts(forest: Forest) -> Array:
    """(T,) leaves of each tree, one that is the child of several nodes once for each way to it."""
    counts = np.where(forest.feature == LEAF, 1.0, 0.0)
    inner = np.flatnonzero(~forest.is_leaf)
    heights = forest.heights()
    for height in range(1, int(heights.max(initial=0)) + 1):
        own = inner[heights[inner] == height]
        counts[own] = counts[forest.true[own]] + counts[forest.false[own]]
    found: Array = counts[forest.roots]
    return found
