"""A forest as one TreeEnsembleRegressor or TreeEnsembleClassifier, or as TreeEnsemble where the model imports the
operators that have only this."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from .ending import Ending
from .forest import Array, Forest, Mode
from .writer import Writer

__all__ = ["DOMAIN", "JOINED", "version", "why_no_ensemble", "write_ensemble"]

DOMAIN = "ai.onnx.ml"
UNSAID = 3  # version of the operators where the model imports none of the domain
JOINED = 5  # version of the operator set since which there is one operator for all ensembles
SUM = 1  # aggregate function of that operator


def version(model: ir.Model) -> int:
    """That of the operators for trees, as imported or as it would be."""
    return int(model.opset_imports.get(DOMAIN, UNSAID))


def why_no_ensemble(forest: Forest, version: int) -> Reason | None:
    """Why the operator of a version cannot be this forest; None where it can."""
    starts, ends = forest.leaf_rows()
    if version >= JOINED and (ends - starts > 1).any():
        text = f"leaves add to several targets, which {DOMAIN} {version} has no operator for"
        return Reason(Cause.OPERATOR_SET, text)
    return None


def write_ensemble(
    writer: Writer, forest: Forest, ending: Ending, rows: ir.Value, version: int
) -> tuple[ir.Value | None, ir.Value]:
    """Append the operator; returns the label (N,) where the ending names classes, and the scores (N, targets).

    version: of the operator set that the model imports; since `JOINED` there is no ending.
    """
    order = _Order.of(forest)
    if version >= JOINED:
        assert ending.is_nothing
        return None, writer.one("TreeEnsemble", [rows], "trees", domain=DOMAIN, **_joined(forest, order))
    base = ending.bases(forest)
    told = _listed(forest, order, "target" if ending.names is None else "class")
    told |= {"base_values": list(base)} if base else {}
    if ending.names is None:
        told["n_targets"] = forest.targets
        return None, writer.one("TreeEnsembleRegressor", [rows], "trees", domain=DOMAIN, **told)
    told["classlabels_int64s"] = ending.names.tolist()
    label, scores = writer.op("TreeEnsembleClassifier", [rows], "trees", domain=DOMAIN, outputs=2, **told)
    return label, scores


class _Order:
    """The nodes of all trees, parents before children, each with one parent.

    node: which of the forest; tree: of which tree; place: within it; true, false: places of the children, 0 of leaves.
    """

    def __init__(self, node: Array, tree: Array, place: Array, true: Array, false: Array) -> None:
        self.node, self.tree, self.place, self.true, self.false = node, tree, place, true, false

    @staticmethod
    def of(forest: Forest) -> _Order:
        rows: list[tuple[int, int, int, int, int]] = []
        is_leaf, true, false = forest.is_leaf.tolist(), forest.true.tolist(), forest.false.tolist()
        for tree, root in enumerate(forest.roots.tolist()):
            first = len(rows)
            work = [(root, -1, False)]
            while work:
                node, parent, holds = work.pop()
                place = len(rows) - first
                if parent >= 0:
                    old = rows[first + parent]
                    rows[first + parent] = (*old[:3], place, old[4]) if holds else (*old[:4], place)
                rows.append((node, tree, place, 0, 0))
                if not is_leaf[node]:
                    work += [(false[node], place, False), (true[node], place, True)]
        return _Order(*(np.array(column, np.int64) for column in zip(*rows, strict=True)))


def _leaves(forest: Forest, order: _Order) -> tuple[Array, Array, Array]:
    """(m,) the position in the order, target and weight of all that leaves add; a leaf that adds nothing adds zero."""
    starts, ends = forest.leaf_rows()
    position, target, weight = [], [], []
    for at in np.flatnonzero(forest.is_leaf[order.node]).tolist():
        own = slice(starts[order.node[at]], ends[order.node[at]])
        targets = forest.target[own] if own.start < own.stop else np.zeros(1, np.int64)
        position.append(np.full(targets.size, at))
        target.append(targets)
        weight.append(forest.weight[own] if own.start < own.stop else np.zeros(1, forest.weight.dtype))
    return np.concatenate(position), np.concatenate(target), np.concatenate(weight)


def _listed(forest: Forest, order: _Order, kind: str) -> dict[str, Any]:
    """Nodes told by tree and place within it; kind: what leaves add to, as attributes name it."""
    leaf = forest.is_leaf[order.node]
    modes = ["LEAF" if end else Mode(mode).text for end, mode in zip(leaf, forest.mode[order.node], strict=True)]
    position, target, weight = _leaves(forest, order)
    missing = forest.missing[order.node]
    return {
        "nodes_treeids": order.tree.tolist(),
        "nodes_nodeids": order.place.tolist(),
        "nodes_featureids": np.where(leaf, 0, forest.feature[order.node]).tolist(),
        "nodes_modes": modes,
        "nodes_values": np.where(leaf, 0, forest.threshold[order.node]).astype(np.float32).tolist(),
        "nodes_truenodeids": order.true.tolist(),
        "nodes_falsenodeids": order.false.tolist(),
        f"{kind}_treeids": order.tree[position].tolist(),
        f"{kind}_nodeids": order.place[position].tolist(),
        f"{kind}_ids": target.tolist(),
        f"{kind}_weights": weight.astype(np.float32).tolist(),
        **({"nodes_missing_value_tracks_true": missing.astype(int).tolist()} if missing.any() else {}),
    }


def _joined(forest: Forest, order: _Order) -> dict[str, Any]:
    """Leaves and inner nodes counted apart; a tree of one leaf is a test with that leaf on both sides."""
    leaf = forest.is_leaf[order.node]
    position, target, weight = _leaves(forest, order)
    leaf_of = np.zeros(leaf.size, np.int64)
    leaf_of[position] = np.arange(position.size)
    first = np.flatnonzero(order.place == 0)
    tests = ~leaf
    tests[first] = True
    inner_of = np.cumsum(tests) - 1
    base = first[order.tree]
    true, false = (
        np.where(leaf, np.arange(leaf.size), order.true + base),
        np.where(leaf, np.arange(leaf.size), order.false + base),
    )
    own = np.flatnonzero(tests)
    node = order.node[own]
    modes = np.where(leaf[own], int(Mode.LEQ), forest.mode[node]).astype(np.uint8)
    sides = {
        f"nodes_{name}{what}": held.tolist()
        for name, child in (("true", true[own]), ("false", false[own]))
        for what, held in (
            ("leafs", leaf[child].astype(int)),
            ("nodeids", np.where(leaf[child], leaf_of[child], inner_of[child])),
        )
    }
    return {
        "aggregate_function": SUM,
        "n_targets": forest.targets,
        "tree_roots": inner_of[first].tolist(),
        "nodes_featureids": np.where(leaf[own], 0, forest.feature[node]).tolist(),
        "nodes_modes": ir.Tensor(modes),
        "nodes_splits": ir.Tensor(np.where(leaf[own], 0, forest.threshold[node]).astype(np.float32)),
        "nodes_missing_value_tracks_true": forest.missing[node].astype(int).tolist(),
        "leaf_weights": ir.Tensor(weight.astype(np.float32)),
        "leaf_targetids": target.tolist(),
        **sides,
    }
