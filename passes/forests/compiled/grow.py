"""Trees out of what leads to their leaves: paths that hold together, or frontiers that grew a level at a time.

Paths are a tree where a test is on all of them, and so on for those on which it holds and those on which it does not:

    paths      a  b  c           a
    1          +  +       -->   / \\
    2          +  -            b   c        every step divides the rows that come there in two: the leaves that are
    3          -     +        1 2 3 4       reached are exactly those whose equation holds
    4          -     -
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np

from ..trees.forest import LEAF, Array, Forest, Mode
from .symbols import Frontier, Paths, Scores, Sparse

__all__ = ["NotATreeError", "forest_of"]


class NotATreeError(Exception):
    """Leaves that no tree has."""


def forest_of(scores: Scores, features: int) -> Forest:
    """The forest that scores are the sums of; raises NotATreeError where there is none."""
    by_leaf = scores.matrix.T.tocsr()
    growing = _Growing(np.asarray(by_leaf.indptr), np.asarray(by_leaf.indices), np.asarray(by_leaf.data))
    if isinstance(scores.leaves, Paths):
        _from_paths(scores.leaves, growing)
    else:
        _from_frontier(scores.leaves, growing)
    if not growing.roots:
        raise NotATreeError("no leaf adds anything")
    return growing.forest(features, scores.matrix.shape[0])


@dataclass(slots=True)
class _Growing:
    """Nodes in the making; starts, targets, weights: what each leaf adds, as rows of a sparse matrix."""

    starts: Array
    targets: Array
    weights: Array
    roots: list[int] = field(default_factory=list)
    nodes: list[tuple[int, float, int, int, int, int]] = field(default_factory=list)

    def leaf(self, atom: int) -> int:
        """A new leaf that adds what an atom does, nothing for -1."""
        self.nodes.append((LEAF, 0.0, 0, 0, 0, atom))
        return len(self.nodes) - 1

    def inner(self, test: tuple[int, float, int]) -> int:
        """A new node whose children come later."""
        self.nodes.append((*test, 0, 0, -1))
        return len(self.nodes) - 1

    def hang(self, node: int, true: int, false: int) -> None:
        """Give a node its children."""
        self.nodes[node] = (*self.nodes[node][:3], true, false, -1)

    def adds(self, atom: int) -> bytes:
        """What a leaf adds, to be compared."""
        if atom < 0:
            return b""
        part = slice(self.starts[atom], self.starts[atom + 1])
        kept = self.weights[part] != 0
        return bytes(self.targets[part][kept].astype(np.int64).tobytes() + self.weights[part][kept].tobytes())

    def forest(self, features: int, targets: int) -> Forest:
        """What has grown."""
        columns = [np.array(column) for column in zip(*self.nodes, strict=True)] or [np.zeros(0)] * 6
        feature, threshold, mode, true, false, atom = columns
        entries: list[tuple[int, int, float]] = []
        for node in np.flatnonzero(feature == LEAF).tolist():
            own = range(self.starts[atom[node]], self.starts[atom[node] + 1]) if atom[node] >= 0 else ()
            entries += [(node, int(self.targets[at]), float(self.weights[at])) for at in own if self.weights[at] != 0]
        leaf, target, weight = (np.array(one) for one in zip(*entries, strict=True)) if entries else [np.zeros(0)] * 3
        return Forest(
            features=features,
            targets=targets,
            roots=np.array(self.roots),
            feature=feature,
            threshold=threshold.astype(self.weights.dtype),
            mode=mode,
            missing=np.zeros(len(feature), bool),
            true=true,
            false=false,
            leaf=leaf,
            target=target,
            weight=weight.astype(self.weights.dtype),
        )


def _from_frontier(frontier: Frontier, growing: _Growing) -> None:
    """Nodes of all levels, from the leaves up; a test whose two sides add the same is left away."""
    levels = [frontier]
    while levels[-1].above is not None:
        levels.append(levels[-1].above)
    known: dict[tuple[bytes, int], int] = {}  # by what it adds and its tree
    node_of = np.empty(frontier.lane.size, np.int64)
    for atom, lane in enumerate(frontier.lane.tolist()):
        key = (growing.adds(atom), lane)
        if key not in known:
            known[key] = growing.leaf(atom)
        node_of[atom] = known[key]
    for level, above in itertools.pairwise(levels):
        assert level.tests is not None
        feature, threshold, mode = level.tests
        upper = np.empty(above.lane.size, np.int64)
        upper[level.parent[level.side != 0]] = node_of[level.side != 0]
        for place in np.flatnonzero(level.side == 0).tolist():
            parent, no = int(level.parent[place]), int(node_of[place])
            yes = int(upper[parent])
            if yes != no:
                if feature[parent] < 0:
                    raise NotATreeError("a test reads no feature")
                upper[parent] = growing.inner((int(feature[parent]), float(threshold[parent]), int(mode[parent])))
                growing.hang(int(upper[parent]), yes, no)
        node_of = upper
    growing.roots.extend(node_of.tolist())


def _from_paths(paths: Paths, growing: _Growing) -> None:
    """A tree for each group of paths that share tests."""
    from scipy.sparse import bmat
    from scipy.sparse.csgraph import connected_components

    alive = np.flatnonzero(~paths.never)
    matrix = paths.matrix[alive]
    joined = bmat([[None, matrix], [matrix.T, None]])
    label = connected_components(joined, directed=False)[1][: alive.size]
    for members in np.split(np.argsort(label, kind="stable"), np.flatnonzero(np.diff(np.sort(label))) + 1):
        if members.size:
            _grow_tree(paths, matrix[members], alive[members], growing)


def _grow_tree(paths: Paths, matrix: Sparse, atoms: Array, growing: _Growing) -> None:
    tests = np.unique(matrix.indices)
    sign = matrix[:, tests].toarray()
    if not tests.size and not growing.adds(int(atoms[0])):
        return  # padding: always reached, adds nothing
    growing.roots.append(_grow(paths, sign, tests, atoms, growing))


def _grow(paths: Paths, sign: Array, tests: Array, atoms: Array, growing: _Growing) -> int:
    """The node for some paths of a tree, (paths, tests) 1, -1 or 0; without recursion, since trees are deep."""
    root = len(growing.nodes)
    work: list[tuple[int, int, Array, Array]] = [(-1, 0, np.arange(atoms.size), np.arange(tests.size))]
    while work:
        parent, side, rows, columns = work.pop()
        part = sign[np.ix_(rows, columns)]
        used = part.any(axis=0)
        if not used.any():
            if rows.size > 1:
                raise NotATreeError("two leaves of a tree are reached by the same rows")
            node = growing.leaf(int(atoms[rows[0]]) if rows.size else -1)
        else:
            common = np.flatnonzero((part != 0).all(axis=0))
            if not common.size:
                raise NotATreeError("no test is on all ways through a tree")
            column = common[0]
            test = int(tests[columns[column]])
            feature = int(paths.tests.feature[test])
            if feature < 0:
                raise NotATreeError("a test reads no feature")
            mode = Mode(int(paths.tests.mode[test]))
            node = growing.inner((feature, float(paths.tests.threshold[test]), int(mode)))
            used[column] = False
            work.append((node, 0, rows[part[:, column] < 0], columns[used]))
            work.append((node, 1, rows[part[:, column] > 0], columns[used]))
        if parent >= 0:
            _, _, _, true, false, _ = growing.nodes[parent]
            growing.hang(parent, node if side else true, false if side else node)
    return root
