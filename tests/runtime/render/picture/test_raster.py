import numpy as np
import pytest
from digraphs import digraph
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.render.picture import raster
from scission.runtime.render.picture.raster import COUPLING, COUPLING_BLOCK, EMPTY, GROUP_BLOCK, INNER
from scission.runtime.weights.source import from_array
from scission.runtime.weights.states import find, states_of

GRAPHS = st.builds(
    lambda seed, n: digraph(np.random.default_rng(seed), n), st.integers(0, 2**32 - 1), st.integers(1, 30)
)


def of(A, **options):
    states = states_of(from_array(np.asarray(A)), paper=True, **options)
    return find(states), states


@given(GRAPHS, st.booleans(), st.sampled_from([512, 7, 1]), st.sampled_from([1 << 18, 40]))
def test_every_edge_is_seen_and_nothing_else(A, permuted, pixels, chunk):
    found, states = of(A)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster, "PIXELS", pixels)
        patch.setattr(raster, "CHUNK", chunk)
        frame = raster.frame(found, permuted=permuted)
        seen = raster.edges(states.adjacency, frame)
        share = raster.pool(len(A))
    order = found.order if permuted else np.arange(len(A))
    expected = np.zeros((-(-len(A) // share),) * 2, int)
    for i, j in np.argwhere(A[np.ix_(order, order)]):
        kind = INNER if found.scc[order[i]] == found.scc[order[j]] else COUPLING
        expected[i // share, j // share] = max(expected[i // share, j // share], kind)
    np.testing.assert_array_equal(seen, expected)


@given(GRAPHS)
def test_every_edge_lies_in_a_block(A):
    found, states = of(A)
    frame = raster.frame(found)
    edges, blocks = raster.edges(states.adjacency, frame), raster.blocks(found, frame)
    assert (blocks[edges == INNER] == GROUP_BLOCK).all() and (blocks.diagonal() == GROUP_BLOCK).all()
    sizes = np.bincount(found.scc)[found.scc[found.order]]
    coupled = (edges == COUPLING) & ((sizes[:, None] > 1) | (sizes > 1))
    assert (blocks[coupled] == COUPLING_BLOCK).all()
    assert (np.triu(blocks, 1)[np.triu(blocks, 1) != EMPTY] == GROUP_BLOCK).all()  # block lower triangular
    area = sum(int(size) ** 2 for size in np.bincount(found.scc))
    assert (blocks == GROUP_BLOCK).sum() == area


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.sampled_from([512, 7, 1]))
def test_shares_are_those_of_the_entries_of_a_pixel(seed, height, width, pixels):
    rng = np.random.default_rng(seed)
    A = rng.random((height, width)) < 0.4
    rows, columns = rng.permutation(height), rng.permutation(width)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster, "PIXELS", pixels)
        found = raster.shares(raster.Relation.of_rows(A.shape, [A]), rows, columns)
        down, across = raster.pool(height), raster.pool(width)
    shown = A[np.ix_(rows, columns)]
    for (i, j), share in np.ndenumerate(found):
        field = shown[i * down : (i + 1) * down, j * across : (j + 1) * across]
        assert share == pytest.approx(field.mean(), abs=1e-6)


def test_too_many_coupling_blocks_are_left_to_their_edges(monkeypatch):
    found, _ = of(np.kron(np.tril(np.ones((3, 3))), np.ones((2, 2))))
    frame = raster.frame(found)
    assert (raster.blocks(found, frame) == COUPLING_BLOCK).sum() == 12
    for name in ("MOST_SHADED", "MOST_LISTED"):
        with monkeypatch.context() as patch:
            patch.setattr(raster, name, 2)
            assert not (raster.blocks(found, frame) == COUPLING_BLOCK).any()


def test_an_operator_is_its_outputs_against_its_inputs():
    W = np.zeros((5, 7))
    W[[0, 2], [6, 1]] = 1
    found, states = of(W.T, scope="operator")
    for permuted in (False, True):
        frame = raster.frame(found, states.inputs, permuted)
        edges = raster.edges(states.adjacency, frame)
        assert edges.shape == (7, 5) and (edges == INNER).sum() == 2
        np.testing.assert_array_equal(edges == INNER, W.T[np.ix_(frame.rows - 5, frame.columns)] != 0)
    blocks = raster.blocks(found, frame)
    assert np.argwhere(blocks).tolist() == [[0, 0], [1, 1]] and np.argwhere(edges).tolist() == [[0, 0], [1, 1]]


def test_large_matrices_are_pooled():
    n = 3 * raster.PIXELS + 1
    A = np.zeros((n, n), bool)
    A[n - 1, 0] = True
    found, states = of(A)
    edges = raster.edges(states.adjacency, raster.frame(found, permuted=False))
    assert edges.shape == (385, 385) and np.argwhere(edges).tolist() == [[384, 0]]
