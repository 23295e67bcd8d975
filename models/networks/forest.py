"""A random forest compiled to matrix products: its nodes-to-leaves matrix is one block per tree."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree._tree import Tree

from ...ir.plan.plan import Block, Decomposition
from ..matrix import Array, by_first_output
from ..planted.products import Planted
from ..sketch import Sketch

__all__ = ["build", "to_ensemble", "to_gemm", "train"]

MACHINE_LEARNING = "ai.onnx.ml"


def train(
    rng: np.random.Generator, trees: int = 100, leaves: int = 100, depth: int | None = None
) -> RandomForestClassifier:
    """A random forest fitted to all of scikit-learn's digits (1797, 64), `leaves` and `depth` at most per tree."""
    seed = int(rng.integers(2**31))
    forest = RandomForestClassifier(trees, max_leaf_nodes=leaves, max_depth=depth, random_state=seed)
    digits = load_digits()
    return forest.fit(digits.data.astype(np.float32), digits.target)


def build(rng: np.random.Generator, trees: int = 100, leaves: int = 100, shuffle: bool = True) -> Planted:
    """Train a forest on digits and compile it: x (batch, 64) to probabilities (batch, 10) and label (batch,)."""
    return to_gemm(rng, train(rng, trees, leaves), shuffle)


def to_gemm(rng: np.random.Generator, forest: RandomForestClassifier, shuffle: bool = True) -> Planted:
    """The forest as three products: features to tests (A), tests to leaves (C), leaves to class probabilities (E).

    A test is x[feature] <= threshold. C holds +1 where the leaf lies left of the test, -1 right, and a leaf is reached
    when its sum is the number of its left turns. shuffle: hide the blocks of C by permuting tests and leaves; else
    trees follow one another. Agrees with predict_proba for every finite float32 x. Truth: "select" (A, one block per
    feature in use) and "route" (C, one block per tree; a tree of one leaf has no test, its leaf is dormant).
    Source: the GEMM strategy of Hummingbird (Nakandala et al., OSDI 2020, section 4.1).
    """
    trees = [estimator.tree_ for estimator in forest.estimators_]
    tests = [np.flatnonzero(tree.children_left >= 0) for tree in trees]
    ends = [np.flatnonzero(tree.children_left < 0) for tree in trees]
    order = rng.permutation if shuffle else np.arange
    rows = _cut(order(sum(map(len, tests))), tests)
    columns = _cut(order(sum(map(len, ends))), ends)
    K, N = sum(map(len, rows)), sum(map(len, columns))

    feature, threshold = np.zeros(K, np.int64), np.zeros(K, np.float32)
    C, E = np.zeros((K, N), np.float32), np.zeros((N, len(forest.classes_)), np.float32)
    for tree, test, end, row, column in zip(trees, tests, ends, rows, columns, strict=True):
        feature[row], threshold[row] = tree.feature[test], _round_down(tree.threshold[test])
        C[np.ix_(row, column)] = _routes(tree)[np.ix_(test, end)]
        votes = tree.value[end, 0]
        E[column] = votes / votes.sum(1, keepdims=True) / len(trees)
    A = (feature == np.arange(forest.n_features_in_)[:, None]).astype(np.float32)

    truth = {
        "select": Decomposition(
            A.shape, by_first_output(Block(np.array([f]), np.flatnonzero(A[f])) for f in np.unique(feature))
        ),
        "route": Decomposition(
            (K, N), by_first_output(Block(np.sort(r), np.sort(c)) for r, c in zip(rows, columns, strict=True) if r.size)
        ),
    }
    return _graph(Sketch(rng), A, threshold, C, E, truth)


def to_ensemble(forest: RandomForestClassifier) -> onnx.ModelProto:
    """The forest as the operator that ONNX has for it: x (batch, features) to label and probabilities."""
    trees = [estimator.tree_ for estimator in forest.estimators_]
    of = np.repeat(np.arange(len(trees)), [tree.node_count for tree in trees])
    left, right, feature = (
        np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("children_left", "children_right", "feature")
    )
    inner = left >= 0
    values = _round_down(np.concatenate([tree.threshold for tree in trees]))
    votes = np.concatenate([tree.value[:, 0] for tree in trees])
    votes = votes / votes.sum(1, keepdims=True) / len(trees)
    number = np.concatenate([np.arange(tree.node_count) for tree in trees])
    leaf, label = np.nonzero((votes > 0) & ~inner[:, None])
    node = helper.make_node(
        "TreeEnsembleClassifier",
        ["x"],
        ["label", "probabilities"],
        domain=MACHINE_LEARNING,
        nodes_treeids=of.tolist(),
        nodes_nodeids=number.tolist(),
        nodes_featureids=np.where(inner, feature, 0).tolist(),
        nodes_values=np.where(inner, values, 0).tolist(),
        nodes_modes=np.where(inner, "BRANCH_LEQ", "LEAF").tolist(),
        nodes_truenodeids=np.where(inner, left, 0).tolist(),
        nodes_falsenodeids=np.where(inner, right, 0).tolist(),
        class_treeids=of[leaf].tolist(),
        class_nodeids=number[leaf].tolist(),
        class_ids=label.tolist(),
        class_weights=votes[leaf, label].tolist(),
        classlabels_int64s=forest.classes_.tolist(),
        post_transform="NONE",
    )
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", forest.n_features_in_])]
    outputs = [
        helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["batch", len(forest.classes_)]),
    ]
    graph = helper.make_graph([node], "trees", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MACHINE_LEARNING, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _graph(sketch: Sketch, A: Array, threshold: Array, C: Array, E: Array, truth: dict[str, Decomposition]) -> Planted:
    x = sketch.input("x", ("batch", len(A)))
    values = sketch.op("MatMul", x, sketch.constant(A, "A"), name="select", truth=truth["select"])
    left = sketch.op("Cast", sketch.op("LessOrEqual", values, sketch.constant(threshold, "B")), to=np.float32)
    turns = sketch.op("MatMul", left, sketch.constant(C, "C"), name="route", truth=truth["route"])
    lefts = sketch.constant((C > 0).sum(0).astype(np.float32), "D")
    reached = sketch.op("Cast", sketch.op("Equal", turns, lefts), to=np.float32)
    probabilities = sketch.op("MatMul", reached, sketch.constant(E, "E"), name="vote")
    sketch.output(probabilities, shape=("batch", E.shape[1]), name="probabilities")
    label = sketch.op("ArgMax", probabilities, axis=1, keepdims=0)
    sketch.output(label, np.int64, shape=("batch",), name="label")
    return Planted(sketch.model(), sketch.truth)


def _cut(order: Array, parts: list[Array]) -> list[Array]:
    return np.split(order, np.cumsum([part.size for part in parts])[:-1])


def _round_down(threshold: Array) -> Array:
    """The largest float32 not above each threshold: x <= threshold then decides alike for every float32 x."""
    rounded = threshold.astype(np.float32)
    return np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _routes(tree: Tree) -> Array:
    """(nodes, nodes): +1 where the column lies below the left child of the row, -1 below the right child, else 0."""
    routes = np.zeros((tree.node_count, tree.node_count), np.float32)
    for parent, (left, right) in enumerate(zip(tree.children_left, tree.children_right, strict=True)):
        if left >= 0:  # scikit-learn numbers parents before children, so the parent's column is complete
            routes[:, left] = routes[:, right] = routes[:, parent]
            routes[parent, left], routes[parent, right] = 1, -1
    return routes
