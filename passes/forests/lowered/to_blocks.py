"""Blocks: every test of every tree at once, and one stacked product that says which leaf of each tree is reached.

    x -- Gather --> (N, T K) -- <= --> tests (T, N, K) -- C (T, K, L) --> counts -- == D --> leaves -- E (T, L, 3 M) -->

A sum of tests with factors 1 and -1 is a small whole number, exact however a device multiplies. Weights are not: a GPU
may round factors to 11 bits (TF32), so each is the sum of three numbers that have no more, which it adds exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ..trees.forest import Array, Forest
from ..trees.writer import Writer
from .to_gathers import weights_of

__all__ = ["Blocks", "blocks_of", "write_blocks"]

PARTS = 3  # of 11, 11 and 2 bits: the 24 of a float
DROPPED = 13  # bits of a float that TF32 has not


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Blocks:
    """Trees padded to one size; feature, threshold: (T, K) of tests; turns: (T, K, L) 1 where a leaf is left of a test
    that holds, -1 right of it; held: (T, L) how many tests hold on the way to a leaf, -1 of padding; leaf: (T, L)."""

    feature: Array
    threshold: Array
    turns: Array
    held: Array
    leaf: Array


def blocks_of(forest: Forest) -> Blocks:
    """The blocks of a forest whose tests are all x <= t."""
    trees = [_paths(forest, root) for root in forest.roots.tolist()]
    T, K = len(trees), max(1, *(len(tests) for tests, _ in trees))
    L = max(len(leaves) for _, leaves in trees)
    feature, threshold = np.zeros((T, K), np.int64), np.zeros((T, K), np.float32)
    turns, held = np.zeros((T, K, L), np.float32), np.full((T, L), -1, np.float32)
    leaf = np.full((T, L), -1, np.int64)
    for tree, (tests, leaves) in enumerate(trees):
        feature[tree, : len(tests)] = forest.feature[tests]
        threshold[tree, : len(tests)] = forest.threshold[tests]
        for at, (node, way) in enumerate(leaves):
            leaf[tree, at] = node
            held[tree, at] = sum(side > 0 for _, side in way)
            for test, side in way:
                turns[tree, test, at] = side
    return Blocks(feature=feature, threshold=threshold, turns=turns, held=held, leaf=leaf)


def _paths(forest: Forest, root: int) -> tuple[list[int], list[tuple[int, list[tuple[int, int]]]]]:
    """The tests of a tree, and its leaves with the way to each: places of tests, and 1 where it holds, -1 where not."""
    tests: list[int] = []
    leaves: list[tuple[int, list[tuple[int, int]]]] = []
    work: list[tuple[int, list[tuple[int, int]]]] = [(root, [])]
    while work:
        node, way = work.pop()
        if forest.is_leaf[node]:
            leaves.append((node, way))
            continue
        tests.append(node)
        own = len(tests) - 1
        work += [(int(forest.false[node]), [*way, (own, -1)]), (int(forest.true[node]), [*way, (own, 1)])]
    return tests, leaves


def write_blocks(writer: Writer, forest: Forest, rows: ir.Value, passes: int = 1) -> ir.Value:
    """Append the operators; returns (N, targets) the sums over trees.

    forest, rows: as for `write_gathers`; passes: groups of trees that are walked one after another, so that only the
    tests and leaves of one are in memory.
    """
    groups = [replace(forest, roots=roots) for roots in np.array_split(forest.roots, passes)]
    sums = [_write_group(writer, group, rows) for group in groups]
    total = sums[0]
    for more in sums[1:]:
        total = writer.one("Add", [total, more], "trees")
    return total


def _write_group(writer: Writer, forest: Forest, rows: ir.Value) -> ir.Value:
    found = blocks_of(forest)
    T, K, L = found.turns.shape
    values = writer.one("Gather", [rows, writer.constant(found.feature.reshape(-1), "tests/features")], "tests", axis=1)
    thresholds = writer.constant(found.threshold.reshape(-1), "tests/thresholds")
    holds = writer.one("LessOrEqual", [values, thresholds], "tests")
    numbers = writer.one("Cast", [holds], "tests", to=ir.DataType.FLOAT)
    shaped = writer.one("Reshape", [numbers, writer.constant(np.array([-1, T, K]), "tests/shape")], "tests")
    turned = writer.one("Transpose", [shaped], "tests", perm=[1, 0, 2])
    # ONNX Runtime (1.31) would merge the Transpose into the product behind it, which divides by zero without any rows.
    stacked = writer.one("Reshape", [turned, writer.constant(np.array([0, 0, 0]), "tests/same")], "tests")
    counts = writer.one("MatMul", [stacked, writer.constant(found.turns, "route/turns")], "route")
    reached = writer.one("Equal", [counts, writer.constant(found.held[:, None], "route/held")], "route")
    ones = writer.one("Cast", [reached], "route", to=ir.DataType.FLOAT)
    weights = weights_of(forest, found.leaf) * (found.leaf.reshape(-1, 1) >= 0)
    parts = np.stack(exact_parts(weights.reshape(T, L, -1)), axis=2).reshape(T, L, -1)
    votes = writer.one("MatMul", [ones, writer.constant(parts, "vote/weights")], "vote")
    shape = writer.constant(np.array([T, -1, PARTS, forest.targets]), "vote/shape")
    each = writer.one("Reshape", [votes, shape], "vote")
    whole = writer.reduced("ReduceSum", each, 2, "vote")
    return writer.reduced("ReduceSum", whole, 0, "vote")


def exact_parts(weights: Array) -> list[Array]:
    """Three numbers with 11 bits each, whose sum is the weight."""
    found, rest = [], weights.astype(np.float32)
    for _ in range(PARTS - 1):
        part = (rest.view(np.uint32) >> DROPPED << DROPPED).view(np.float32)
        found.append(part)
        rest = rest - part
    return [*found, rest]
