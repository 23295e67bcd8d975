"""Perfect trees: a row's place in each tree is looked up level by level, every tree being as deep as the deepest.

place (N, T) -- Gather --> feature, threshold of each  -- GatherElements of x, <= -->  2 place + (0 or 1)
"""

from __future__ import annotations

import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ..trees.forest import Array, Forest
from ..trees.writer import Writer

__all__ = ["levels", "weights_of", "write_gathers"]


def levels(forest: Forest) -> list[Array]:
    """Of each level (T, 2 ** level) which node stands at a place, the false side of a test before the true one.

    A leaf stands at all places below it. The last level holds leaves alone.
    """
    found = [forest.roots[:, None]]
    while not forest.is_leaf[found[-1]].all():
        above = found[-1]
        leaf = forest.is_leaf[above]
        sides = [np.where(leaf, above, child[above]) for child in (forest.false, forest.true)]
        found.append(np.stack(sides, axis=-1).reshape(len(above), -1))
    return found


def write_gathers(writer: Writer, forest: Forest, rows: ir.Value) -> ir.Value:
    """Append the operators; returns (N, T, targets) what each tree adds.

    forest: as `normal` leaves it; rows: beside their negatives.
    """
    *inner, ends = levels(forest)
    place = None
    for level, nodes in enumerate(inner):
        leaf = forest.is_leaf[nodes]
        feature = np.where(leaf, 0, forest.feature[nodes]).reshape(-1)
        threshold = np.where(leaf, 0, forest.threshold[nodes]).astype(np.float32).reshape(-1)
        role = f"level.{level}"
        features, thresholds = (
            writer.constant(feature, f"{role}/features"),
            writer.constant(threshold, f"{role}/thresholds"),
        )
        if place is None:
            values = writer.one("Gather", [rows, features], role, axis=1)
        else:
            which = writer.one("Gather", [features, place], role, axis=0)
            values = writer.one("GatherElements", [rows, which], role, axis=1)
            thresholds = writer.one("Gather", [thresholds, place], role, axis=0)
        holds = writer.one("LessOrEqual", [values, thresholds], role)
        step = writer.one("Cast", [holds], role, to=ir.DataType.INT64)
        if place is None:
            start = writer.constant(np.arange(0, 2 * len(nodes), 2), f"{role}/starts")
        else:
            start = writer.one("Mul", [place, writer.constant(np.array(2, np.int64), f"{role}/two")], role)
        place = writer.one("Add", [start, step], role)
    assert place is not None
    return writer.one("Gather", [writer.constant(weights_of(forest, ends), "leaves"), place], "leaves", axis=0)


def weights_of(forest: Forest, nodes: Array) -> Array:
    """(nodes, targets) what leaves add, in the order given."""
    weights = np.full((forest.nodes, forest.targets), 0, np.float32)
    weights[forest.leaf, forest.target] = forest.weight
    found: Array = weights[nodes.reshape(-1)]
    return found
