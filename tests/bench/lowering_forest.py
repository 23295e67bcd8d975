"""A compiled forest before and after splitting, beside two engines that were made for forests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from figures import Figure, at_least, reported
from onnx import helper
from raced import FOLDER, Setting, bound, faster, made, require_close, rewritten, turns
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from scission.models.networks import forest
from scission.runtime.ort.session import open_session

BATCH = 256
MACHINE_LEARNING = "ai.onnx.ml"


def forests(setting: Setting) -> Iterator[Figure]:
    """100 trees of 100 leaves, blocks in order and with its hidden units shuffled, 256 rows of digits."""
    trained = forest.train(np.random.default_rng(0), 100, 100).set_params(n_jobs=setting.threads)
    feeds = {"x": load_digits().data[:BATCH].astype(np.float32)}
    trees = FOLDER / "forest-trees.onnx"
    onnx.save(tree_ensemble(trained), trees)
    expected = open_session(trees, provider="cpu").run(feeds)
    for shuffle in (False, True):
        row = f"forest 100x100{', shuffled' * shuffle}"
        path = made(f"forest-{shuffle}.onnx", lambda p, s=shuffle: build(p, s))
        pair = rewritten(path, feeds, BATCH, setting)
        found = open_session(pair.split, provider="cpu").run(feeds)
        for name in expected:
            require_close(f"{trees}: {name}", found[name], expected[name])
        require_close(f"{row} by scikit-learn", found["probabilities"], predicted(trained, feeds["x"]))
        speedup = faster(pair, feeds, setting, seconds=8)
        yield at_least(row, f"batch {BATCH}, {pair.lowerings}: speed-up", speedup, 40)
        seconds = turns(
            {
                "scission": bound(pair.split, feeds, setting),
                "ONNX Runtime's TreeEnsembleClassifier": bound(trees, feeds, setting),
                "scikit-learn's predict_proba": lambda: trained.predict_proba(feeds["x"]),
            }
        )
        for name, taken in seconds.items():
            yield reported(row, f"batch {BATCH}, {name}: ms", taken * 1e3)


def build(path: Path, shuffle: bool) -> None:
    onnx.save(forest.build(np.random.default_rng(0), 100, 100, shuffle=shuffle).model, path)


def predicted(trained: RandomForestClassifier, x: np.ndarray) -> np.ndarray:
    return trained.predict_proba(x).astype(np.float32)


def tree_ensemble(trained: RandomForestClassifier) -> onnx.ModelProto:
    """The forest as one TreeEnsembleClassifier: x (batch, features) to label and probabilities."""
    trees = [estimator.tree_ for estimator in trained.estimators_]
    of = np.repeat(np.arange(len(trees)), [tree.node_count for tree in trees])
    left, right, feature = (
        np.concatenate([getattr(tree, name) for tree in trees])
        for name in ("children_left", "children_right", "feature")
    )
    inner = left >= 0
    values = forest._round_down(np.concatenate([tree.threshold for tree in trees]))
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
        classlabels_int64s=trained.classes_.tolist(),
        post_transform="NONE",
    )
    inputs = [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", trained.n_features_in_])]
    outputs = [
        helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["batch"]),
        helper.make_tensor_value_info("probabilities", onnx.TensorProto.FLOAT, ["batch", len(trained.classes_)]),
    ]
    graph = helper.make_graph([node], "trees", inputs, outputs)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MACHINE_LEARNING, 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)
