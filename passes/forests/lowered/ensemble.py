"""An operator of ai.onnx.ml that walks trees, as a value: the forest, and what is done with its sums."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from ..trees.forest import Array, Forest

__all__ = ["Aggregate", "Ensemble", "Labels", "PostTransform"]


class Aggregate(IntEnum):
    """What becomes of what the trees add to a target."""

    AVERAGE = 0
    SUM = 1
    MIN = 2
    MAX = 3


class PostTransform(IntEnum):
    """What becomes of the scores of a row."""

    NONE = 0
    SOFTMAX = 1
    LOGISTIC = 2
    SOFTMAX_ZERO = 3
    PROBIT = 4


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Labels:
    """The names of classes, whole numbers or texts; positive: whether no leaf adds less than nothing."""

    names: Array
    positive: bool


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Ensemble:
    """A forest, and what is done with what its trees add; labels: of a classifier, None of any other."""

    forest: Forest
    aggregate: Aggregate = Aggregate.SUM
    transform: PostTransform = PostTransform.NONE
    base: tuple[float, ...] = ()
    labels: Labels | None = None

    @property
    def sha256(self) -> str:
        """The SHA-256, as hexadecimal digits, of all that it computes."""
        names = [] if self.labels is None else [*map(str, self.labels.names), str(self.labels.positive)]
        told = [self.forest.sha256, self.aggregate.name, self.transform.name, *map(repr, self.base), "labels", *names]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    def scored(self, *, by_every_tree: bool = False) -> Array:
        """(targets,) 1 where every row has something added by some tree, or by every tree where that is asked; 0 where
        no row has; -1 where that depends."""
        forest = self.forest
        starts, ends = forest.leaf_rows()
        found = np.zeros(forest.targets, np.int64)
        found[forest.target] = -1
        always = np.ones((forest.nodes, forest.targets), bool)  # whether all leaves below a node add to a target
        for node in np.flatnonzero(forest.is_leaf):
            always[node] = np.isin(np.arange(forest.targets), forest.target[starts[node] : ends[node]])
        inner = np.flatnonzero(~forest.is_leaf)
        for height in range(1, int(forest.heights().max(initial=0)) + 1):
            own = inner[forest.heights()[inner] == height]
            always[own] = always[forest.true[own]] & always[forest.false[own]]
        roots = always[forest.roots]
        found[roots.all(axis=0) if by_every_tree else roots.any(axis=0)] = 1
        return found
