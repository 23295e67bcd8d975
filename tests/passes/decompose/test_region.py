"""Blocks of regions against a slow oracle: components of one graph of all entries of all weights, by hand."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import model, node
from regions import looked_at

from scission.ir.axes.region import region_of
from scission.ir.plan.plan import Block, Decomposition
from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.edges import relate
from scission.passes.decompose.region import assign, group_region, is_rectangular, region_blocks, selection


def chained(weights):
    """x -> W0 -> Relu -> W1 -> … and the region of all of its products."""
    nodes, value = [], "x"
    for index in range(len(weights)):
        nodes.append(node("MatMul", f"{value} W{index}", f"h{index}", f"n{index}"))
        nodes.append(node("Relu", f"h{index}", f"g{index}", f"act{index}"))
        value = f"g{index}"
    proto = model(
        nodes,
        {"x": (["N", weights[0].shape[0]], np.float64)},
        {value: (["N", weights[-1].shape[1]], np.float64)},
        {f"W{index}": W for index, W in enumerate(weights)},
    )
    seen = looked_at(proto)
    return seen, region_of(seen.found.linears, seen.found.constants)


def parts_of(seen, region, weights):
    return {linear: components(W) for linear, W in zip(region.linears, weights, strict=True)}


def truth(weights):
    """Components of the graph whose nodes are (axis, feature), one edge at a time; the set of each."""
    parent = {(0, i): (0, i) for i in range(weights[0].shape[0])}
    parent |= {(a + 1, j): (a + 1, j) for a, W in enumerate(weights) for j in range(W.shape[1])}

    def root(v):
        while parent[v] != v:
            v = parent[v]
        return v

    edges = [((a, i), (a + 1, j)) for a, W in enumerate(weights) for i, j in np.argwhere(W)]
    for a, b in edges:
        parent[root(b)] = root(a)
    sets = {}
    for v in parent:
        sets.setdefault(root(v), set()).add(v)
    through = {root(a) for a, _ in edges}
    complete = [
        s
        for r, s in sets.items()
        if r in through and all(any(e[0] in s and e[0][0] == a for e in edges) for a in range(len(weights)))
    ]
    return complete, list(sets.values())


@st.composite
def chains(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    sizes = [int(n) for n in rng.integers(2, 9, int(rng.integers(3, 5)))]
    blocks = int(rng.integers(1, 4))
    owner = [rng.integers(0, blocks, n) for n in sizes]
    weights = []
    for before, after in itertools.pairwise(owner):
        W = rng.integers(1, 5, (before.size, after.size)).astype(np.float64)
        W[before[:, None] != after[None, :]] = 0
        W[rng.random(W.shape) < 0.1] = 0
        weights.append(W)
    return weights


@settings(max_examples=80)
@given(chains())
def test_blocks_are_the_components_of_all_entries(weights):
    seen, region = chained(weights)
    complete, everything = truth(weights)
    found = region_blocks(region, parts_of(seen, region, weights))
    if found is None:
        assert len(complete) < 2
        return
    assert len(found[0].blocks) == len(complete)
    for index in range(len(complete)):
        blocks = [d.blocks[index] for d in found]
        mine = {(0, int(i)) for i in blocks[0].inputs}
        mine |= {(axis + 1, int(j)) for axis, b in enumerate(blocks) for j in b.outputs}
        held = [s for s in complete if s <= mine]
        assert len(held) == 1  # each block is one component, and what goes nowhere else
        rest = mine - held[0]
        assert all(any(v in s for s in everything if s not in complete) for v in rest)
        for before, after in itertools.pairwise(blocks):
            assert np.array_equal(before.outputs, after.inputs)
    for W, d in zip(weights, found, strict=True):
        inside = np.zeros(W.shape, bool)
        for b in d.blocks:
            inside[np.ix_(b.inputs, b.outputs)] = True
        assert not W[~inside].any()
        assert sorted(j for b in d.blocks for j in b.outputs) == list(range(W.shape[1]))
    block_of = assign(region, found)
    assert block_of is not None and is_rectangular(region, block_of, len(complete))


@settings(max_examples=50)
@given(chains(), st.integers(1, 4))
def test_merged_blocks_hold_the_same_features(weights, count):
    seen, region = chained(weights)
    found = region_blocks(region, parts_of(seen, region, weights))
    if found is None:
        return
    merged = group_region(found, count)
    assert len({len(d.blocks) for d in merged}) == 1 and len(merged[0].blocks) <= max(count, 1)
    for before, after in zip(found, merged, strict=True):
        for side in ("inputs", "outputs"):
            assert sorted(np.concatenate([getattr(b, side) for b in before.blocks])) == sorted(
                np.concatenate([getattr(b, side) for b in after.blocks])
            )
        for b in before.blocks:
            assert any(np.isin(b.outputs, a.outputs).all() and np.isin(b.inputs, a.inputs).all() for a in after.blocks)
    assert len(merged[0].blocks) < 2 or assign(region, merged) is not None


def test_a_selection_joins_nothing():
    """Two blocks may read the same input where the first product only copies."""
    S = np.zeros((3, 4))
    S[[0, 1, 1, 2], np.arange(4)] = 1
    V = np.kron(np.eye(2), np.ones((2, 2)))
    seen, region = chained([S, V])
    pick, down = region.linears
    found = region_blocks(region, {down: components(V)}, {pick: relate(S).transposed()})
    assert [(b.inputs.tolist(), b.outputs.tolist()) for b in found[0].blocks] == [([0, 1], [0, 1]), ([1, 2], [2, 3])]
    assert region_blocks(region, parts_of(seen, region, [S, V])) is None


def test_blocks_that_contradict_each_other_are_told():
    two = np.kron(np.eye(2), np.ones((2, 2)))
    seen, region = chained([two, two])
    found = region_blocks(region, parts_of(seen, region, [two, two]))
    turned = Decomposition((4, 4), found[1].blocks[::-1])
    assert assign(region, (found[0], turned)) is None
    short = Decomposition((4, 4), (found[1].blocks[0], Block([2, 3], [2])))
    assert assign(region, (found[0], short)) is None
    assert assign(region, found).tolist() == [0, 0, 1, 1, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("labels", "index", "expected"),
    [
        ([[0, 1], [2, 3]], 0, ([0], [0, 1])),
        ([[0, 2], [1, 3]], 0, ([0, 1], [0])),
        ([[0, 2], [3, 1]], 0, None),
        ([[0, 1]], 1, None),
        ([[0, 0, 2, 2]], 1, ([0], [2, 3])),
    ],
)
def test_what_a_block_owns_of_a_value_is_a_rectangle_or_nothing(labels, index, expected):
    found = selection(np.array([0, 0, 1, 1]), np.array(labels), index)
    assert (found and tuple(axis.tolist() for axis in found)) == expected
