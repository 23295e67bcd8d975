"""A forest as arrays: trees of tests that lead to leaves, whose weights are added up per target."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["LEAF", "Array", "Forest", "Mode"]

Array = npt.NDArray[Any]

LEAF = -1  # the feature of a node that tests nothing


class Mode(IntEnum):
    """How a test compares a feature with its threshold; no comparison holds of NaN but NEQ."""

    LEQ = 0
    LT = 1
    GTE = 2
    GT = 3
    EQ = 4
    NEQ = 5

    @property
    def text(self) -> str:
        """Its name in the operators of ONNX."""
        return f"BRANCH_{self.name}"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Forest:
    """Trees over n nodes, whose result for each target is a sum over trees.

    features: how many a row has; targets: how many sums; roots: (T,) node at which each tree begins; feature: (n,)
    that a node tests, LEAF where it tests none; threshold: (n,), whose type is that of rows; mode: (n,) `Mode`;
    missing: (n,) whether NaN goes where the test holds, whatever it says of NaN; true, false: (n,) children. Nodes may
    be the child of several. leaf, target, weight: (m,) what a leaf adds to a target, in order of leaves.
    """

    features: int
    targets: int
    roots: Array
    feature: Array
    threshold: Array
    mode: Array
    missing: Array
    true: Array
    false: Array
    leaf: Array
    target: Array
    weight: Array

    def __post_init__(self) -> None:
        for name in _KINDS:
            array = np.ascontiguousarray(getattr(self, name), _KINDS[name])
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def is_leaf(self) -> Array:
        """(n,) whether a node tests nothing."""
        found: Array = self.feature == LEAF
        return found

    @property
    def nodes(self) -> int:
        """How many nodes, leaves among them."""
        return int(self.feature.size)

    @property
    def depths(self) -> Array:
        """(T,) the tests on the longest way through each tree."""
        found: Array = self.heights()[self.roots]
        return found

    def heights(self) -> Array:
        """(n,) the tests on the longest way from each node to a leaf."""
        height = np.zeros(self.nodes, np.int64)
        inner = np.flatnonzero(~self.is_leaf)
        while True:
            longer = np.maximum(height[self.true[inner]], height[self.false[inner]]) + 1
            if np.array_equal(longer, height[inner]):
                return height
            height[inner] = longer

    def is_finite(self) -> bool:
        """Whether no test leads back to itself."""
        inner = np.flatnonzero(~self.is_leaf)
        ended = self.is_leaf.copy()
        while not ended.all():
            more = ended.copy()
            more[inner] = ended[self.true[inner]] & ended[self.false[inner]]
            if np.array_equal(more, ended):
                return False
            ended = more
        return True

    def leaf_rows(self) -> tuple[Array, Array]:
        """Where the weights of each node begin and end: (n,), (n,), both the same at a node that adds nothing."""
        nodes = np.arange(self.nodes)
        return np.searchsorted(self.leaf, nodes), np.searchsorted(self.leaf, nodes, side="right")

    @property
    def sha256(self) -> str:
        """The SHA-256, as hexadecimal digits, of all that it computes."""
        found = hashlib.sha256(f"{self.features} {self.targets} {self.threshold.dtype}".encode())
        for name in _KINDS:
            found.update(np.ascontiguousarray(getattr(self, name)).tobytes())
        return found.hexdigest()


_KINDS: dict[str, Any] = {
    **dict.fromkeys(("roots", "feature", "true", "false", "leaf", "target"), np.int64),
    **dict.fromkeys(("threshold", "weight"), None),
    "mode": np.int8,
    "missing": np.bool_,
}
