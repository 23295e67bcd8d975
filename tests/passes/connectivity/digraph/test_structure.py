"""The noun (`ir.structure`) and the verb (`passes.structure`), with every engine held against networkx."""

import numpy as np
import pytest
import torch
from digraphs import EXAMPLE, KINDS, TABLE_A2, digraph, expected, on_cuda
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.connectivity.device import DeviceError
from scission.passes.connectivity.digraph import structure as module
from scission.passes.connectivity.digraph.structure import DEGREE, LARGE, MANY, SMALL, structure
from scission.passes.connectivity.edges import relate

ENGINES = ("graph", "bitset", "matrix", "search")
GRAPHS = st.builds(
    lambda seed, n, kind: digraph(np.random.default_rng(seed), n, kind),
    st.integers(0, 2**32 - 1),
    st.integers(0, 40),
    st.sampled_from(KINDS),
)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_worked_example_gives_table_a2(engine):
    found = structure(EXAMPLE, engine=engine)
    rows = [(r.new + 1, r.node + 1, r.scc + 1, r.component + 1, r.layer + 1, int(r.isolated)) for r in found.rows()]
    assert rows == TABLE_A2
    assert [(int(s) + 1, int(t) + 1) for t, s in found.couplings()] == [(1, 2), (8, 3), (1, 6), (2, 6), (2, 7), (9, 8)]
    assert structure(EXAMPLE, engine=engine, order="paper").order.tolist() == found.order.tolist()


@given(GRAPHS, st.sampled_from(ENGINES))
def test_every_engine_gives_the_numbers_of_networkx(A, engine):
    found = structure(A, engine=engine)
    scc, component, layer, edges = expected(A)
    assert found.engine == engine and found.size == len(A)
    np.testing.assert_array_equal(found.scc, scc)
    np.testing.assert_array_equal(found.component, component)
    np.testing.assert_array_equal(found.layer, layer)
    assert [tuple(pair) for pair in found.couplings().tolist()] == edges
    assert found.condensation.count == len(edges)
    np.testing.assert_array_equal(found.isolated, ~(A.any(0) | A.any(1)))


@given(GRAPHS)
def test_the_permutation_shows_block_triangular_form(A):
    found = structure(A)
    assert sorted(found.order.tolist()) == list(range(len(A)))
    np.testing.assert_array_equal(found.order[found.new], np.arange(len(A)))
    permuted = found.permute(A)
    assert permuted.sum() == A.sum()
    blocks = np.repeat(np.arange(found.sccs), np.diff(found.bounds))
    assert not permuted[blocks[:, None] < blocks[None, :]].any()  # block lower triangular
    component = found.component[found.order]
    assert not permuted[component[:, None] != component[None, :]].any()  # block diagonal
    assert (np.diff(found.isolated[found.order].astype(int)) >= 0).all()  # isolated states last
    for scc, members in enumerate(found.members):
        assert (found.scc[members] == scc).all()
    assert [len(found.members[s]) for s in found.scc_order] == np.diff(found.bounds).tolist()


@given(GRAPHS, st.integers(0, 2**32 - 1))
def test_diagonal_and_coupling_blocks_are_the_whole_matrix_bit_for_bit(A, seed):
    W = np.where(A, np.random.default_rng(seed).standard_normal(A.shape), 0.0)
    found = structure(W)
    again = np.zeros_like(W)
    for target, source in [*((s, s) for s in range(found.sccs)), *found.couplings().tolist()]:
        again[np.ix_(found.members[target], found.members[source])] = found.block(W, target, source)
    assert again.tobytes() == W.tobytes()
    for s, (start, stop) in zip(found.scc_order, zip(found.bounds, found.bounds[1:], strict=False), strict=True):
        np.testing.assert_array_equal(found.permute(W)[start:stop, start:stop], found.block(W, s))


def test_a_self_loop_is_a_block_and_never_isolated():
    found = structure(np.diag([1, 0, 1]))
    assert found.isolated.tolist() == [False, True, False]
    assert found.order.tolist() == [0, 2, 1]
    assert structure(np.diag([1, 0, 1]), order="paper").order.tolist() == [0, 1, 2]


def test_one_scc_has_one_layer_and_one_component():
    found = structure(np.ones((5, 5)))
    assert (found.sccs, found.layers, found.components, found.giant) == (1, 1, 1, 1.0)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n", [0, 1])
def test_nearly_nothing_has_a_structure(n, engine):
    found = structure(np.zeros((n, n)), engine=engine)
    assert (found.sccs, found.components, found.layers, len(list(found.rows()))) == (n, n, n, n)
    assert found.giant == n and len(found.members) == n


@pytest.mark.parametrize("n", [63, 64, 65, 128, 130, 300])
@pytest.mark.parametrize("kind", ["cycle", "dag", "random", "triangular"])
def test_word_and_tile_boundaries(n, kind):
    A = digraph(np.random.default_rng(n), n, kind, density=2 / n if kind == "random" else 0.1)
    found = [structure(A, engine=engine) for engine in ENGINES]
    for other in found[1:]:
        for name in ("scc", "component", "layer", "isolated", "order"):
            np.testing.assert_array_equal(getattr(other, name), getattr(found[0], name))
        np.testing.assert_array_equal(other.condensation.words, found[0].condensation.words)


def test_relations_tensors_and_transposed_views_are_taken():
    A = digraph(np.random.default_rng(3), 50, "random", 0.05)
    want = structure(A)
    for given_ in (relate(A), torch.from_numpy(A), np.asfortranarray(A), A.astype(np.float16)):
        np.testing.assert_array_equal(structure(given_).order, want.order)
        np.testing.assert_array_equal(structure(given_, engine="matrix").order, want.order)


def test_auto_goes_by_degree_and_says_what_it_took():
    rng = np.random.default_rng(0)
    n = SMALL * 2
    assert structure(rng.random((n, n)) < 0.5).engine == "bitset"  # one giant SCC
    assert structure(rng.random((n, n)) < (DEGREE - 3) / n).engine == "graph"  # too few edges
    assert structure(digraph(rng, n, "dag", 1.0)).engine == ("bitset" if n > 2 * MANY else "graph")  # many edges
    assert structure(digraph(rng, n, "dag", 0.2)).engine == "graph"
    assert structure(np.ones((SMALL - 1,) * 2)).engine == "graph"


@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 2, 2)])
def test_only_square_matrices_are_digraphs(shape):
    with pytest.raises(ValueError, match="square matrix, not one of shape"):
        structure(np.ones(shape))


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match=r"unknown engine 'gpu'.*auto, matrix"):
        structure(np.ones((2, 2)), engine="gpu")
    with pytest.raises(ValueError, match=r"unknown order 'up'.*isolated-last, paper"):
        structure(np.ones((2, 2)), order="up")
    with pytest.raises(DeviceError, match="is no device"):
        structure(np.ones((2, 2)), engine="matrix", device="warp drive")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
@pytest.mark.parametrize("engine", ["auto", "matrix", "graph", "bitset"])
def test_a_missing_device_is_one_clear_error_for_everything_that_has_one_of_its_own(engine):
    for adjacency in (np.ones((2, 2)), torch.ones(2, 2), relate(np.ones((2, 2)))):
        with pytest.raises(DeviceError, match="sees no CUDA device"):
            structure(adjacency, engine=engine, device="cuda")


def test_auto_takes_cuda_for_large_graphs_and_comes_back_when_it_is_full(monkeypatch):
    asked = []

    def full(adjacency, engine, device, order):
        asked.append((engine, device))
        raise RuntimeError("CUDA out of memory. Tried to allocate more")

    monkeypatch.setattr(module, "_by_products", full)
    monkeypatch.setattr(module, "analysis_device", lambda *_: torch.device("cuda"))
    A = np.eye(LARGE, k=-1)
    assert structure(A, device="auto").engine == "graph" and asked == [("matrix", torch.device("cuda"))]
    assert structure(A[:5, :5], device="auto").engine == "graph" and len(asked) == 1
    with pytest.raises(DeviceError, match="not enough memory for 2,048 states; use the engine 'graph'"):
        structure(A, engine="matrix", device="auto")


def test_tensors_of_types_that_numpy_lacks(monkeypatch):
    for tensor in (torch.eye(3, dtype=torch.bfloat16), torch.eye(3, requires_grad=True)):
        for engine in ENGINES:
            assert structure(tensor, engine=engine).components == 3


@on_cuda
@pytest.mark.parametrize("engine", ["matrix", "search"])
def test_cuda_gives_the_same_numbers(engine):
    rng = np.random.default_rng(0)
    for _ in range(100):
        A = digraph(rng, int(rng.integers(0, 300)))
        here, there = structure(A), structure(A, engine=engine, device="cuda")
        for name in ("scc", "component", "layer", "isolated", "order"):
            np.testing.assert_array_equal(getattr(there, name), getattr(here, name))
        np.testing.assert_array_equal(there.condensation.words, here.condensation.words)
