"""Trees that each grow on a random share of the features, compiled to matrix products: blocks that share inputs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from sklearn.datasets import make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.random_projection import GaussianRandomProjection
from sklearn.tree import DecisionTreeClassifier

from ...ir.plan.plan import Block, Decomposition
from ..matrix import Array, by_first_output
from ..planted.products import Planted
from . import forest

__all__ = ["build", "samples", "to_gemm", "train"]


def train(
    rng: np.random.Generator,
    trees: int = 64,
    leaves: int = 64,
    features: int = 1024,
    share: float = 0.25,
    oblique: bool = False,
) -> BaggingClassifier:
    """A bag of trees, `leaves` at most each, fitted to 2000 samples of 10 synthetic classes (2000, features), float32.

    Each tree sees its own random share of the features. oblique: it tests random linear functions of all of them
    instead of single ones, and chooses among as many. Raises ValueError when a tree would see no feature. Source: Ho,
    The Random Subspace Method for Constructing Decision Forests, IEEE TPAMI 20 (8), 1998; for linear functions Breiman,
    Random Forests, Machine Learning 45, 2001, section 5.
    """
    X, y = samples(rng, features)
    tree = DecisionTreeClassifier(max_leaf_nodes=leaves)
    if oblique:
        tree = make_pipeline(GaussianRandomProjection(int(share * features)), tree)
    return BaggingClassifier(tree, trees, max_features=share, random_state=int(rng.integers(2**31))).fit(X, y)


def samples(rng: np.random.Generator, features: int) -> tuple[Array, Array]:
    """Inputs (2000, features) in float32 and their classes 0 to 9; a quarter of the features tells something."""
    X, y = make_classification(
        2000,
        features,
        n_informative=max(8, features // 4),
        n_classes=10,
        n_clusters_per_class=1,
        random_state=int(rng.integers(2**31)),
    )
    return X.astype(np.float32), y


def build(
    rng: np.random.Generator,
    trees: int = 64,
    leaves: int = 64,
    features: int = 1024,
    share: float = 0.25,
    oblique: bool = False,
    shuffle: bool = True,
) -> Planted:
    """Train a bag of trees and compile it: x (batch, features) to probabilities (batch, 10) and label (batch,).

    >>> planted = build(np.random.default_rng(0), trees=2, leaves=4, features=40, oblique=True)
    >>> [block.shape for block in planted.truth["select"].blocks]
    [(10, 3), (10, 3)]
    """
    return to_gemm(rng, train(rng, trees, leaves, features, share, oblique), shuffle)


def to_gemm(rng: np.random.Generator, bag: BaggingClassifier, shuffle: bool = True) -> Planted:
    """The bag in the three products of `forest.to_gemm`, of which the first, "select", computes what the tests compare.

    Column t of its weight "A" (features, tests) is 1 at the one feature of test t; of oblique trees it is the linear
    function of the tree's features. Agrees with predict_proba for float32 x, but for sums that rounding puts on the
    other side of a threshold. shuffle: permute tests and leaves; else trees follow one another. Truth: "select", one
    block per feature in use, or per oblique tree, where blocks share inputs; "route" as in `forest.to_gemm`. Raises
    ValueError where a tree has not seen every class.
    """
    trees = [estimator[-1].tree_ if _oblique(bag) else estimator.tree_ for estimator in bag.estimators_]
    if any(tree.n_classes[0] != len(bag.classes_) for tree in trees):
        raise ValueError("a tree has not seen every class; take more samples")
    tests = [np.flatnonzero(tree.children_left >= 0) for tree in trees]
    tree_of = np.repeat(np.arange(len(trees)), [test.size for test in tests])
    columns = [
        _functions(bag, n)[:, tree.feature[test]] for n, (tree, test) in enumerate(zip(trees, tests, strict=True))
    ]
    numbered = SimpleNamespace(  # the same trees over as many features as there are tests, one for each
        estimators_=[_numbered(tree, np.flatnonzero(tree_of == n)) for n, tree in enumerate(trees)],
        classes_=bag.classes_,
        n_features_in_=tree_of.size,
    )
    planted = forest.to_gemm(rng, numbered, shuffle)
    tensor = next(tensor for tensor in planted.model.graph.initializer if tensor.name == "A")
    order = onnx.numpy_helper.to_array(tensor).argmax(axis=0)
    A = np.ascontiguousarray(np.concatenate(columns, axis=1)[:, order])
    tensor.CopyFrom(onnx.numpy_helper.from_array(A, "A"))
    planted.model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = len(A)
    select = _blocks(A, tree_of[order] if _oblique(bag) else A.argmax(axis=0))
    return Planted(planted.model, {**planted.truth, "select": select})


def _oblique(bag: BaggingClassifier) -> bool:
    return not isinstance(bag.estimators_[0], DecisionTreeClassifier)


def _functions(bag: BaggingClassifier, number: int) -> Array:
    """(features, functions) what the tests of a tree may compare, by the number that the tree knows it under."""
    own = bag.estimators_features_[number]  # some twice where features were drawn with replacement
    functions = bag.estimators_[number][0].components_.T if _oblique(bag) else np.eye(own.size)
    placed = np.zeros((bag.n_features_in_, functions.shape[1]), np.float32)
    np.add.at(placed, own, functions.astype(np.float32))
    return placed


def _numbered(tree: Any, numbers: Array) -> SimpleNamespace:
    """An estimator with the same tree, but these numbers as the features of its tests."""
    feature = tree.feature.copy()
    feature[tree.children_left >= 0] = numbers
    kept = ("children_left", "children_right", "threshold", "value", "node_count")
    return SimpleNamespace(tree_=SimpleNamespace(feature=feature, **{name: getattr(tree, name) for name in kept}))


def _blocks(W: Array, owner: Array) -> Decomposition:
    """The outputs of each owner with all inputs that they read."""
    groups = [np.flatnonzero(owner == one) for one in np.unique(owner)]
    blocks = (Block(np.flatnonzero(W[:, outputs].any(axis=1)), outputs) for outputs in groups)
    return Decomposition(W.shape, by_first_output(blocks))
