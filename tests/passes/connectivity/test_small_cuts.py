import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.percolation import half_giant
from scission.passes.connectivity.small_cuts import glued_by_few, glued_by_size


def blocks(rng, count, shape, residual):
    """Dense blocks, shuffled, with single entries of the size 9 between some of them, so that all hang together."""
    W = np.kron(np.eye(count), rng.uniform(1, 2, shape))
    K, N = shape
    cells = [(i * K + int(rng.integers(K)), (i + 1) % count * N + int(rng.integers(N))) for i in range(residual)]
    for cell in cells:
        W[cell] = 9
    rows, columns = rng.permutation(W.shape[0]), rng.permutation(W.shape[1])
    at = {(int(np.flatnonzero(rows == k)[0]), int(np.flatnonzero(columns == n)[0])) for k, n in cells}
    return W[rows][:, columns], at


@pytest.mark.parametrize("count", [2, 4, 7])
def test_entries_that_glue_blocks_together_are_found(count):
    W, cells = blocks(np.random.default_rng(count), count, (12, 20), count - 1)
    assert components(W).count == 1
    found = glued_by_few(W)
    assert found.parts == ((12, 20),) * count and found.count == count - 1
    assert {entry[:2] for entry in found.entries} == cells and {entry[2] for entry in found.entries} == {9.0}
    assert found.share == (count - 1) / np.count_nonzero(W)
    for k, n, _ in found.entries:
        W[k, n] = 0
    assert components(W).count == count


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.02, 0.05, 0.2, 0.6]))
def test_without_them_the_parts_are_apart(seed, density):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((30, 40)) * (rng.random((30, 40)) < density)
    found = glued_by_few(W)
    if found is None:
        return
    members = components(W)
    others = np.delete(_sizes(members), int(np.argmax(_sizes(members))))
    assert sum(map(sum, found.parts)) == round(members.giant * 70) and found.count <= members.nonzeros
    for k, n, value in found.entries:
        assert W[k, n] == value != 0
    if found.count == len(found.entries):
        for k, n, _ in found.entries:
            W[k, n] = 0
        assert max(_sizes(components(W))) <= max([*map(sum, found.parts), *others])


def _sizes(parts):
    return np.bincount(np.concatenate([parts.inputs, parts.outputs]) + 1, minlength=2)[1:]


def test_one_bridge_is_never_missed():
    """The oracle is networkx: the graph has one bridge between its halves."""
    W, cells = blocks(np.random.default_rng(0), 2, (9, 9), 1)
    graph = nx.Graph((("in", int(k)), ("out", int(n))) for k, n in np.argwhere(W))
    (bridge,) = nx.bridges(graph)
    (entry,) = glued_by_few(W).entries
    assert {("in", entry[0]), ("out", entry[1])} == set(bridge) and {entry[:2]} == cells


@pytest.mark.parametrize(
    "W", [np.zeros((3, 4)), np.ones((5, 5)), np.ones((1, 9)), np.eye(4), np.ones((2, 2)), np.zeros((0, 4))]
)
def test_nothing_is_told_where_there_is_nothing_to_cut(W):
    assert glued_by_few(W) is None and glued_by_size(W, half_giant(W)) is None


def test_by_size_the_largest_entry_between_the_parts_is_the_threshold():
    W = np.random.default_rng(0).standard_normal((48, 64))
    half = half_giant(W)
    found = glued_by_size(W, half)
    sizes = [abs(entry[2]) for entry in found.entries]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] <= half.threshold and len(sizes) == 100 < found.count
    assert sum(found.parts[0]) / 112 == half.giant


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_an_infinite_entry_is_the_largest(dtype):
    W, _ = blocks(np.random.default_rng(1), 2, (6, 6), 1)
    W[W == 9] = np.nan
    assert np.isnan(glued_by_few(W.astype(dtype)).entries[0][2])
