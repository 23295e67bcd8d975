"""Random forests, walked test by test in Python, and compiled as published: to matrix products, and to gathers.

The strategies are those of Hummingbird 0.4.12 (Nakandala et al., OSDI 2020), with the operators that its exports have.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np
import oracles

FEATURES = 6
GRID = np.arange(-4, 5).astype(np.float32) / 2  # of features and thresholds alike, so that ties are common
COMPARE = {
    "BRANCH_LEQ": operator.le,
    "BRANCH_LT": operator.lt,
    "BRANCH_GTE": operator.ge,
    "BRANCH_GT": operator.gt,
    "BRANCH_EQ": operator.eq,
    "BRANCH_NEQ": operator.ne,
}
OPERATORS = {"BRANCH_LEQ": "LessOrEqual", "BRANCH_LT": "Less", "BRANCH_GTE": "GreaterOrEqual", "BRANCH_GT": "Greater"}


@dataclass
class Test:
    """An inner node; a leaf is an array of what it adds to each target."""

    feature: int
    threshold: float
    true: object
    false: object
    mode: str = "BRANCH_LEQ"
    missing: bool = False
    __test__ = False


def random_tree(rng, depth, targets, modes=("BRANCH_LEQ",), missing=False, weights=64, sure=False):
    """A tree of depth at most `depth`, exactly as deep where `sure`; weights: sixteenths up to so many, whose sums are
    exact."""
    if depth == 0 or (not sure and rng.random() < 0.25):
        return (rng.integers(-weights, weights + 1, targets) / 16).astype(np.float32)
    sides = [random_tree(rng, depth - 1, targets, modes, missing, weights, sure and side == 0) for side in range(2)]
    return Test(
        int(rng.integers(FEATURES)),
        float(rng.choice(GRID)),
        *(sides if rng.random() < 0.5 else sides[::-1]),
        str(rng.choice(list(modes))),
        bool(missing and rng.random() < 0.5),
    )


def random_trees(rng, count, depth, targets, sure=False, **options):
    """Several, the first as deep as can be where `sure`."""
    return [random_tree(rng, depth, targets, sure=sure and not at, **options) for at in range(count)]


def random_rows(rng, rows, nan=False):
    """Rows on the grid of thresholds, some features of which are missing."""
    x = rng.choice(GRID, (rows, FEATURES))
    if nan:
        x[rng.random(x.shape) < 0.2] = np.nan
    return x


def reached(tree, row):
    """The leaf of a row."""
    while isinstance(tree, Test):
        value = row[tree.feature]
        holds = COMPARE[tree.mode](value, np.float32(tree.threshold)) or (tree.missing and np.isnan(value))
        tree = tree.true if holds else tree.false
    return tree


def walked(trees, x):
    """(rows, targets): the sums over trees."""
    return np.array([np.sum([reached(tree, row) for tree in trees], axis=0) for row in x], np.float32)


def paths(tree, before=()):
    """Of every leaf what it adds, and the tests before it with whether they hold."""
    if not isinstance(tree, Test):
        yield tree, before
        return
    yield from paths(tree.true, (*before, (tree, True)))
    yield from paths(tree.false, (*before, (tree, False)))


def inner(tree):
    """All tests of a tree."""
    return [tree, *inner(tree.true), *inner(tree.false)] if isinstance(tree, Test) else []


def tables(tree, tests, leaves, targets):
    """The matrices of one tree, padded: features, thresholds, (leaves, tests), how many hold, (targets, leaves)."""
    own = inner(tree)
    A, B = np.zeros((tests, FEATURES), np.float32), np.zeros((tests, 1), np.float32)
    C, D, E = (np.zeros(shape, np.float32) for shape in ((leaves, tests), (leaves, 1), (targets, leaves)))
    place = {id(test): at for at, test in enumerate(own)}
    for test, at in ((test, place[id(test)]) for test in own):
        A[at, test.feature], B[at] = 1, test.threshold
    for at, (weight, before) in enumerate(paths(tree)):
        for test, holds in before:
            C[at, place[id(test)]] = 1 if holds else -1
            D[at] += holds
        E[:, at] = weight
    return A, B, C, D, E


def of_products(trees, targets, op="LessOrEqual", **edits):
    """Trees as stacked products, batch last; edits: of the constants, by name."""
    tests = max(1, *(len(inner(tree)) for tree in trees))
    leaves = max(len(list(paths(tree))) for tree in trees)
    A, B, C, D, E = (
        np.stack(each) for each in zip(*(tables(tree, tests, leaves, targets) for tree in trees), strict=True)
    )
    constants = {
        "A": A.reshape(-1, FEATURES),
        "B": B.reshape(-1, 1),
        "C": C,
        "D": D.reshape(-1, 1),
        "E": E,
        "by_test": np.array([len(trees), tests, -1]),
        "flat": np.array([len(trees) * leaves, -1]),
        "by_leaf": np.array([len(trees), leaves, -1]),
        "trees": np.array([0]),
    }
    constants |= {name: edit(constants[name]) for name, edit in edits.items()}
    nodes = [
        ("Gemm", ["A", "x"], ["features"], {"transB": 1, "beta": 0.0}),
        (op, ["features", "B"], ["tests"]),
        ("Reshape", ["tests", "by_test"], ["stacked"]),
        ("Cast", ["stacked"], ["numbers"], {"to": 1}),
        ("MatMul", ["C", "numbers"], ["counts"]),
        ("Reshape", ["counts", "flat"], ["counted"]),
        ("Equal", ["D", "counted"], ["hold"]),
        ("Reshape", ["hold", "by_leaf"], ["leaves"]),
        ("Cast", ["leaves"], ["ones"], {"to": 1}),
        ("MatMul", ["E", "ones"], ["votes"]),
        ("ReduceSum", ["votes", "trees"], ["sums"], {"keepdims": 0}),
        ("Transpose", ["sums"], ["y"], {"perm": [1, 0]}),
    ]
    return oracles.graph(nodes, {"x": ["n", FEATURES]}, {"y": ["n", targets]}, constants)


def flat_products(rng, trees, targets, op="LessOrEqual"):
    """Trees as three products of two dimensions, batch first, tests and leaves of all trees mixed."""
    sizes = [(len(inner(tree)), len(list(paths(tree)))) for tree in trees]
    tests, leaves = (sum(each) for each in zip(*sizes, strict=True))
    rows, columns = rng.permutation(tests), rng.permutation(leaves)
    A, B = np.zeros((FEATURES, max(tests, 1)), np.float32), np.zeros(max(tests, 1), np.float32)
    A[0, -1] = 1
    C, D = np.zeros((max(tests, 1), leaves), np.float32), np.zeros(leaves, np.float32)
    E = np.zeros((leaves, targets), np.float32)
    for tree, (own_tests, own_leaves) in zip(trees, sizes, strict=True):
        own_rows, rows = rows[:own_tests], rows[own_tests:]
        own_columns, columns = columns[:own_leaves], columns[own_leaves:]
        a, b, c, d, e = tables(tree, own_tests, own_leaves, targets)
        A[:, own_rows], B[own_rows] = a.T, b[:, 0]
        C[np.ix_(own_rows, own_columns)], D[own_columns], E[own_columns] = c.T, d[:, 0], e.T
    nodes = [
        ("MatMul", ["x", "A"], ["features"]),
        (op, ["features", "B"], ["tests"]),
        ("Cast", ["tests"], ["numbers"], {"to": 1}),
        ("MatMul", ["numbers", "C"], ["counts"]),
        ("Equal", ["counts", "D"], ["leaves"]),
        ("Cast", ["leaves"], ["ones"], {"to": 1}),
        ("MatMul", ["ones", "E"], ["y"]),
    ]
    constants = dict(zip("ABCDE", (A, B, C, D, E), strict=True))
    return oracles.graph(nodes, {"x": ["n", FEATURES]}, {"y": ["n", targets]}, constants)


def of_perfect_trees(trees, targets, op="LessOrEqual"):
    """Trees filled up to one depth, the place in each looked up a level at a time; the first must not be one leaf."""
    depth = max(max(len(before) for _, before in paths(tree)) for tree in trees)
    levels = [list(trees)]
    for _ in range(depth):
        levels.append([side for tree in levels[-1] for side in _sides(tree)])
    constants = {
        "roots": np.array([_feature(tree) for tree in levels[0]]),
        "root_thresholds": np.array([_threshold(tree) for tree in levels[0]], np.float32),
        "starts": np.arange(0, 2 * len(trees), 2),
        "two": np.array(2),
        "flat": np.array([-1]),
        "wide": np.array([-1, len(trees)]),
        "votes": np.stack(levels[-1]),
        "by_tree": np.array([-1, len(trees), targets]),
        "trees": np.array([1]),
    }
    nodes = [
        ("Gather", ["x", "roots"], ["f0"], {"axis": 1}),
        (op, ["f0", "root_thresholds"], ["t0"]),
        ("Cast", ["t0"], ["i0"], {"to": 7}),
        ("Add", ["i0", "starts"], ["s0"]),
        ("Reshape", ["s0", "flat"], ["p0"]),
    ]
    for level in range(1, depth):
        constants[f"features{level}"] = np.array([_feature(tree) for tree in levels[level]])
        constants[f"thresholds{level}"] = np.array([_threshold(tree) for tree in levels[level]], np.float32)
        old = f"p{level - 1}"
        nodes += [
            ("Gather", [f"features{level}", old], [f"g{level}"]),
            ("Reshape", [f"g{level}", "wide"], [f"w{level}"]),
            ("GatherElements", ["x", f"w{level}"], [f"e{level}"], {"axis": 1}),
            ("Reshape", [f"e{level}", "flat"], [f"f{level}"]),
            ("Mul", [old, "two"], [f"m{level}"]),
            ("Gather", [f"thresholds{level}", old], [f"b{level}"]),
            (op, [f"f{level}", f"b{level}"], [f"t{level}"]),
            ("Cast", [f"t{level}"], [f"i{level}"], {"to": 7}),
            ("Add", [f"m{level}", f"i{level}"], [f"p{level}"]),
        ]
    nodes += [
        ("Gather", ["votes", f"p{depth - 1}"], ["rows"]),
        ("Reshape", ["rows", "by_tree"], ["each"]),
        ("ReduceSum", ["each", "trees"], ["y"], {"keepdims": 0}),
    ]
    floats = {"root_thresholds": constants.pop("root_thresholds")} | constants
    return oracles.graph(nodes, {"x": ["n", FEATURES]}, {"y": ["n", targets]}, floats)


def _sides(tree):
    """What stands in the two places below one: the false side first, as 0 comes before 1."""
    return (tree.false, tree.true) if isinstance(tree, Test) else (tree, tree)


def _feature(tree):
    return tree.feature if isinstance(tree, Test) else 0


def _threshold(tree):
    return tree.threshold if isinstance(tree, Test) else 0


def of_traversal(trees, targets, op="LessOrEqual"):
    """Trees as tables of nodes, leaves leading to themselves, followed as far as the deepest goes."""
    depth = max(max(len(before) for _, before in paths(tree)) for tree in trees)
    listed = [_listed(tree) for tree in trees]
    most = max(map(len, listed))
    tables_ = {
        name: np.zeros((len(trees), most), dtype)
        for name, dtype in (("left", int), ("right", int), ("feature", int), ("threshold", np.float32))
    }
    values = np.zeros((len(trees), most, targets), np.float32)
    for tree, nodes in enumerate(listed):
        for at, node in enumerate(nodes):
            if isinstance(node, Test):
                own = (_place(nodes, node.true), _place(nodes, node.false), node.feature, node.threshold)
            else:
                own, values[tree, at] = (at, at, 0, 0), node
            for name, entry in zip(tables_, own, strict=True):
                tables_[name][tree, at] = entry
    constants = {name: table.reshape(-1) for name, table in tables_.items()}
    threshold = {"threshold": constants.pop("threshold")}
    constants |= {
        "values": values.reshape(-1, targets),
        "offsets": np.arange(len(trees))[None] * most,
        "zero": np.array(0),
        "first": np.array([0]),
        "count": np.array([len(trees)]),
        "flat": np.array([-1]),
        "wide": np.array([-1, len(trees)]),
        "by_tree": np.array([-1, len(trees), targets]),
        "trees": np.array([1]),
        "minus": np.array(-1),
    }
    nodes = [
        ("Shape", ["x"], ["shape"]),
        ("Gather", ["shape", "zero"], ["batch"]),
        ("Unsqueeze", ["batch", "first"], ["batches"]),
        ("Concat", ["batches", "count"], ["wanted"], {"axis": 0}),
        ("Reshape", ["wanted", "flat"], ["vector"]),
        ("Shape", ["vector"], ["rank"]),
        ("ConstantOfShape", ["rank"], ["ones"], {"value": oracles.onnx.helper.make_tensor("v", 7, [1], [1])}),
        ("Mul", ["ones", "minus"], ["kept"]),
        ("Equal", ["vector", "kept"], ["is_kept"]),
        ("Where", ["is_kept", "ones", "vector"], ["size"]),
        ("Expand", ["offsets", "size"], ["begin"]),
        ("Reshape", ["begin", "flat"], ["p0"]),
    ]
    for level in range(depth):
        old = f"p{level}"
        looked = {name: [] for name in ("feature", "threshold", "left", "right")}
        for name in looked:
            nodes += [
                ("Gather", [name, old], [f"{name}{level}"]),
                ("Reshape", [f"{name}{level}", "wide"], [f"{name}{level}w"]),
            ]
        nodes += [
            ("GatherElements", ["x", f"feature{level}w"], [f"e{level}"], {"axis": 1}),
            (op, [f"e{level}", f"threshold{level}w"], [f"t{level}"]),
            ("Where", [f"t{level}", f"left{level}w", f"right{level}w"], [f"next{level}"]),
            ("Cast", [f"next{level}"], [f"cast{level}"], {"to": 7}),
            ("Add", [f"cast{level}", "offsets"], [f"sum{level}"]),
            ("Reshape", [f"sum{level}", "flat"], [f"p{level + 1}"]),
        ]
    nodes += [
        ("Gather", ["values", f"p{depth}"], ["rows"]),
        ("Reshape", ["rows", "by_tree"], ["each"]),
        ("ReduceSum", ["each", "trees"], ["y"], {"keepdims": 0}),
    ]
    return oracles.graph(nodes, {"x": ["n", FEATURES]}, {"y": ["n", targets]}, threshold | constants)


def _listed(tree):
    """All nodes of a tree, parents first."""
    return [tree, *_listed(tree.true), *_listed(tree.false)] if isinstance(tree, Test) else [tree]


def _place(nodes, wanted):
    return next(at for at, node in enumerate(nodes) if node is wanted)
