import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from scission.ir.plan.plan import Block, Decomposition, PlanError
from scission.models.matrix import by_first_output, transposed, weight

sizes = st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5)), max_size=5)
dormant = st.tuples(st.integers(0, 3), st.integers(0, 3))


def components(W) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(inputs, outputs) of the connected components of W's bipartite graph that hold an edge, by first output."""
    K, N = W.shape
    rows, columns = np.nonzero(W)
    edges = csr_array((np.ones(rows.size), (rows, K + columns)), (K + N, K + N))
    count, label = connected_components(edges, directed=False)
    members = [np.flatnonzero(label == c) for c in range(count)]
    parts = [(tuple(m[m < K].tolist()), tuple((m[m >= K] - K).tolist())) for m in members if m.size > 1]
    return sorted(parts, key=lambda part: part[1])


@given(sizes, dormant, st.booleans(), st.integers(0, 2**32))
def test_the_truth_is_what_a_graph_search_finds(sizes, dormant, contiguous, seed):
    W, truth = weight(np.random.default_rng(seed), sizes, dormant, contiguous=contiguous)
    assert W.shape == truth.shape
    assert [(tuple(b.inputs.tolist()), tuple(b.outputs.tolist())) for b in truth.blocks] == components(W)
    assert (truth.dormant_inputs.size, truth.dormant_outputs.size) == dormant
    assert sorted(b.shape for b in truth.blocks) == sorted(sizes)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_no_entry_is_lost_in_any_dtype(dtype):
    W, truth = weight(np.random.default_rng(0), [(20, 30), (10, 5)], dtype=dtype)
    assert W.dtype == dtype
    assert np.count_nonzero(W) == 650
    assert np.abs(W[W != 0]).min() >= 0.25
    assert truth.mac_share == 650 / (30 * 35)


def test_contiguous_blocks_lie_on_the_diagonal():
    W, truth = weight(np.random.default_rng(0), [(2, 1), (1, 3)], dormant=(1, 1), contiguous=True)
    assert truth.blocks == (Block([0, 1], [0]), Block([2], [1, 2, 3]))
    assert not W[3].any() and not W[:, 4].any()


def test_the_same_seed_gives_the_same_matrix():
    first, second = (weight(np.random.default_rng(7), [(3, 2), (1, 4)]) for _ in range(2))
    assert np.array_equal(first[0], second[0]) and first[1] == second[1]


def test_an_empty_block_is_refused():
    with pytest.raises(PlanError, match="at least one input"):
        weight(np.random.default_rng(0), [(0, 2)])


def test_transposed_swaps_and_sorts():
    truth = Decomposition((3, 4), (Block([1, 2], [0]), Block([0], [1, 3])))
    assert transposed(truth) == Decomposition((4, 3), (Block([1, 3], [0]), Block([0], [1, 2])))
    assert transposed(transposed(truth)) == truth


def test_blocks_are_listed_by_their_first_output():
    a, b = Block([0], [2]), Block([5], [1, 3])
    assert by_first_output([a, b]) == (b, a)
