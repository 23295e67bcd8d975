"""Operators of ai.onnx.ml over random trees, with all that they can be told."""

from __future__ import annotations

import numpy as np
import onnx
from compiled_forests import FEATURES, Test, _listed, _place

DOMAIN = "ai.onnx.ml"
LABELS = {"numbers": lambda n: list(range(10, 10 + n)), "texts": lambda n: [f"class {at}" for at in range(n)]}


def _columns(trees):
    """Of all nodes, as the attributes of the older operators name them."""
    found = {
        name: [] for name in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    }
    found["missing_value_tracks_true"] = []
    leaves = []
    for tree, root in enumerate(trees):
        nodes = _listed(root)
        for at, node in enumerate(nodes):
            inner = isinstance(node, Test)
            row = (
                (node.feature, node.mode, node.threshold, _place(nodes, node.true), _place(nodes, node.false))
                if inner
                else (0, "LEAF", 0.0, 0, 0)
            )
            for name, entry in zip(found, (tree, at, *row, int(inner and node.missing)), strict=True):
                found[name].append(entry)
            if not inner:
                leaves.append((tree, at, node))
    return {f"nodes_{name}": held for name, held in found.items()}, leaves


def regressor(trees, targets, **told):
    """TreeEnsembleRegressor."""
    columns, leaves = _columns(trees)
    columns |= _weights("target", leaves, lambda weight: range(targets))
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain=DOMAIN, name="trees", n_targets=targets, **columns, **told
    )
    return _model(node, ["y"], 3)


def classifier(trees, classes, *, known=None, labels="numbers", **told):
    """TreeEnsembleClassifier; known: which classes leaves have weights for, a function of a leaf or a list."""
    columns, leaves = _columns(trees)
    chosen = known if callable(known) else lambda weight: range(classes) if known is None else known
    columns |= _weights("class", leaves, chosen)
    names = {f"classlabels_{'int64s' if labels == 'numbers' else 'strings'}": LABELS[labels](classes)}
    node = onnx.helper.make_node(
        "TreeEnsembleClassifier", ["x"], ["label", "y"], domain=DOMAIN, name="trees", **columns, **names, **told
    )
    return _model(node, ["label", "y"], 3, text=labels == "texts")


def _weights(kind, leaves, chosen):
    rows = [(tree, at, own, float(weight[own])) for tree, at, weight in leaves for own in chosen(weight)]
    names = ("treeids", "nodeids", "ids", "weights")
    return {f"{kind}_{name}": list(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}


def joined(trees, targets, target_of, members=None, **told):
    """TreeEnsemble; target_of: leaf -> its target, whose weight is the first of the leaf; members: test -> numbers."""
    tests = [node for root in trees for node in _listed(root) if isinstance(node, Test)]
    leaves = [node for root in trees for node in _listed(root) if not isinstance(node, Test)]
    place = {id(node): at for nodes in (tests, leaves) for at, node in enumerate(nodes)}
    modes = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER"]
    sides = {
        f"nodes_{name}{what}": [held(getattr(test, name)) for test in tests]
        for name in ("true", "false")
        for what, held in (
            ("leafs", lambda side: int(not isinstance(side, Test))),
            ("nodeids", lambda side: place[id(side)]),
        )
    }
    sets = [number for test in tests if test.mode == "BRANCH_MEMBER" for number in [*members(test), np.nan]]
    if sets:
        told["membership_values"] = _tensor(sets)
    node = onnx.helper.make_node(
        "TreeEnsemble",
        ["x"],
        ["y"],
        domain=DOMAIN,
        name="trees",
        n_targets=targets,
        tree_roots=[place[id(root)] for root in trees],
        nodes_featureids=[test.feature for test in tests],
        nodes_modes=onnx.helper.make_tensor("m", 2, [len(tests)], [modes.index(test.mode) for test in tests]),
        nodes_splits=_tensor([test.threshold for test in tests]),
        nodes_missing_value_tracks_true=[int(test.missing) for test in tests],
        leaf_weights=_tensor([leaf[0] for leaf in leaves]),
        leaf_targetids=[target_of(leaf) for leaf in leaves],
        **sides,
        **told,
    )
    return _model(node, ["y"], 5)


def _tensor(numbers):
    return onnx.numpy_helper.from_array(np.array(numbers, np.float32))


def _model(node, outputs, version, text=False):
    kinds = {"label": 8 if text else 7, "y": 1}
    values = [
        onnx.helper.make_tensor_value_info(name, kinds[name], ["n", "scores"][: 1 + (name == "y")]) for name in outputs
    ]
    rows = onnx.helper.make_tensor_value_info("x", 1, ["n", FEATURES])
    imports = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid(DOMAIN, version)]
    return onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [rows], values), opset_imports=imports, ir_version=9
    )
