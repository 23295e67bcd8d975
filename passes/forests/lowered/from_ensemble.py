"""The operators of ai.onnx.ml that walk trees, read as values: TreeEnsembleRegressor, TreeEnsembleClassifier,
TreeEnsemble."""

from __future__ import annotations

from typing import Any

import numpy as np

from ....ir.io.tensors import read
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from ..trees.forest import LEAF, Array, Forest, Mode
from .ensemble import Aggregate, Ensemble, Labels, PostTransform

__all__ = ["UnreadableEnsembleError", "ensemble_of"]

MODES = {mode.text: mode for mode in Mode}
MEMBER = 6  # mode of TreeEnsemble: whether a feature is one of several numbers


class UnreadableEnsembleError(Exception):
    """An operator that is not taken apart; `reason` says why."""

    def __init__(self, cause: Cause, text: str) -> None:
        super().__init__(text)
        self.reason = Reason(cause, text)


def ensemble_of(node: ir.Node, features: int) -> Ensemble:
    """What an operator computes of rows with so many features; raises UnreadableEnsembleError where it stays."""
    try:
        found = _joined(node, features) if node.op_type == "TreeEnsemble" else _listed(node, features)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise UnreadableEnsembleError(Cause.UNSUPPORTED, f"its trees are malformed: {error!r}") from None
    _require_sound(found.forest)
    return found


def _listed(node: ir.Node, features: int) -> Ensemble:
    """Nodes told by tree and number within it; the first of each tree is its root."""
    of = _Attributes(node)
    if any(name.endswith("_as_tensor") for name in node.attributes):
        raise UnreadableEnsembleError(Cause.DATA_TYPE, "its thresholds are doubles")
    classes = node.op_type == "TreeEnsembleClassifier"
    kind = "class" if classes else "target"
    keys = list(zip(of.integers("nodes_treeids"), of.integers("nodes_nodeids"), strict=True))
    place = {key: at for at, key in enumerate(keys)}
    if len(place) != len(keys):
        raise ValueError("two nodes have one name")
    modes = of.texts("nodes_modes")
    leaf = np.array([mode == "LEAF" for mode in modes], bool)
    children = [
        [0 if end else place[tree, child] for (tree, _), child, end in zip(keys, of.integers(name), leaf, strict=True)]
        for name in ("nodes_truenodeids", "nodes_falsenodeids")
    ]
    roots = [at for at, (tree, _) in enumerate(keys) if not at or keys[at - 1][0] != tree]
    owners = zip(of.integers(f"{kind}_treeids"), of.integers(f"{kind}_nodeids"), strict=True)
    names = _labels(of, of.floats(f"{kind}_weights")) if classes else None
    forest = Forest(
        features=features,
        targets=len(names.names) if names is not None else of.integer("n_targets", 1),
        roots=np.array(roots),
        feature=np.where(leaf, LEAF, of.integers("nodes_featureids")),
        threshold=of.floats("nodes_values"),
        mode=np.array([0 if end else MODES[mode] for mode, end in zip(modes, leaf, strict=True)]),
        missing=np.array(of.integers("nodes_missing_value_tracks_true") or [0] * len(keys)) == 1,
        true=np.array(children[0]),
        false=np.array(children[1]),
        **_by_leaf([place[owner] for owner in owners], of.integers(f"{kind}_ids"), of.floats(f"{kind}_weights")),
    )
    return Ensemble(
        forest=forest,
        aggregate=Aggregate[of.text("aggregate_function", "SUM")],
        transform=PostTransform[of.text("post_transform", "NONE")],
        base=tuple(of.floats("base_values").tolist()),
        labels=names,
    )


def _labels(of: _Attributes, weights: Array) -> Labels:
    texts, numbers = of.texts("classlabels_strings"), of.integers("classlabels_int64s")
    names = np.array(texts, object) if texts else np.array(numbers, np.int64)
    return Labels(names=names, positive=bool((weights >= 0).all()))


def _joined(node: ir.Node, features: int) -> Ensemble:
    """Inner nodes and leaves in lists of their own."""
    of = _Attributes(node)
    splits, weights = of.tensor("nodes_splits"), of.tensor("leaf_weights")
    if splits.dtype != np.float32:
        raise UnreadableEnsembleError(Cause.DATA_TYPE, f"its thresholds are of type {splits.dtype}")
    tests, leaves = splits.size, weights.size
    sides = [
        np.array(of.integers(f"nodes_{side}nodeids")) + tests * np.array(of.integers(f"nodes_{side}leafs"))
        for side in ("true", "false")
    ]
    transform = PostTransform(of.integer("post_transform", int(PostTransform.NONE)))
    if transform in (PostTransform.SOFTMAX, PostTransform.LOGISTIC):
        raise UnreadableEnsembleError(Cause.AMBIGUOUS, "runtimes differ in which of SOFTMAX and LOGISTIC is which")
    modes = of.tensor("nodes_modes").astype(np.int64)
    if (modes == MEMBER).any():
        raise UnreadableEnsembleError(
            Cause.AMBIGUOUS, "runtimes differ in which fractions are members of whole numbers"
        )
    none = np.zeros(leaves, np.int64)
    own = [tests + at for at in range(leaves)]
    forest = Forest(
        features=features,
        targets=of.integer("n_targets", 1),
        roots=np.array(of.integers("tree_roots")),
        feature=np.r_[of.integers("nodes_featureids"), np.full(leaves, LEAF)],
        threshold=np.r_[splits, none.astype(np.float32)],
        mode=np.r_[modes, none],
        missing=np.r_[of.integers("nodes_missing_value_tracks_true") or [0] * tests, none] == 1,
        true=np.r_[sides[0], none],
        false=np.r_[sides[1], none],
        **_by_leaf(own, of.integers("leaf_targetids"), weights),
    )
    return Ensemble(
        forest=forest,
        aggregate=Aggregate(of.integer("aggregate_function", int(Aggregate.SUM))),
        transform=transform,
    )


def _by_leaf(owners: list[int], targets: list[int], weights: Array) -> dict[str, Array]:
    """What leaves add, in order of leaves."""
    order = np.argsort(np.array(owners, np.int64), kind="stable")
    if not len(owners) == len(targets) == weights.size:
        raise ValueError("weights of leaves are of different numbers")
    return {
        "leaf": np.array(owners, np.int64)[order],
        "target": np.array(targets, np.int64)[order],
        "weight": weights.astype(np.float32)[order],
    }


def _require_sound(forest: Forest) -> None:
    """Raises UnreadableEnsembleError for what runtimes read differently, or not at all."""
    tested = forest.feature[~forest.is_leaf]
    if tested.size and not 0 <= tested.min() <= tested.max() < forest.features:
        raise UnreadableEnsembleError(Cause.UNSUPPORTED, "a test reads a feature that rows do not have")
    if forest.target.size and not 0 <= forest.target.min() <= forest.target.max() < forest.targets:
        raise UnreadableEnsembleError(Cause.UNSUPPORTED, "a leaf adds to a target that there is not")
    if np.unique(np.c_[forest.leaf, forest.target], axis=0).shape[0] != forest.leaf.size:
        raise UnreadableEnsembleError(Cause.AMBIGUOUS, "a leaf adds to a target twice")
    if not forest.is_leaf[forest.leaf].all():
        raise UnreadableEnsembleError(Cause.UNSUPPORTED, "a test adds to a target")
    inner = np.flatnonzero(~forest.is_leaf)
    below = np.r_[forest.true[inner], forest.false[inner], forest.roots]
    if not forest.nodes or not forest.roots.size or (below < 0).any() or (below >= forest.nodes).any():
        raise UnreadableEnsembleError(Cause.UNSUPPORTED, "a child is no node")
    if not forest.is_finite():
        raise UnreadableEnsembleError(Cause.UNSUPPORTED, "a test leads back to itself")
    equal = inner[forest.mode[inner] == int(Mode.EQ)]
    next_ = forest.false[equal]
    alike = (forest.mode[next_] == int(Mode.EQ)) & (forest.feature[next_] == forest.feature[equal])
    ends_ = forest.is_leaf[forest.true[equal]] & forest.is_leaf[forest.true[next_]]
    if (alike & (ends_ | (forest.true[next_] == forest.true[equal]))).any():
        raise UnreadableEnsembleError(
            Cause.AMBIGUOUS, "runtimes may join tests for equality, and compare whole numbers"
        )
    starts, ends = forest.leaf_rows()
    if forest.targets == 1 and (ends - starts)[forest.is_leaf].min(initial=1) < 1:
        raise UnreadableEnsembleError(Cause.AMBIGUOUS, "a leaf adds nothing to the only target")


class _Attributes:
    """Attributes by their types, empty where they are left out."""

    def __init__(self, node: ir.Node) -> None:
        self._held: dict[str, Any] = {name: attribute.value for name, attribute in node.attributes.items()}

    def integers(self, name: str) -> list[int]:
        return [int(number) for number in self._held.get(name, ())]

    def floats(self, name: str) -> Array:
        return np.array(self._held.get(name, ()), np.float32)

    def texts(self, name: str) -> list[str]:
        return [one.decode() if isinstance(one, bytes) else str(one) for one in self._held.get(name, ())]

    def text(self, name: str, default: str) -> str:
        held = self._held.get(name, default)
        return held.decode() if isinstance(held, bytes) else str(held)

    def integer(self, name: str, default: int) -> int:
        return int(self._held.get(name, default))

    def tensor(self, name: str) -> Array:
        return np.asarray(read(self._held[name])).reshape(-1)
