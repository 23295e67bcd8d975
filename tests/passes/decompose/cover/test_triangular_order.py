import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.connectivity.edges import relate
from scission.passes.decompose.cover.triangular_order import eliminate

SEEDS = st.integers(0, 2**32 - 1)


def slowly(A):
    """The same greedy order with sets."""
    supports = [set(np.flatnonzero(column)) for column in A.T]
    layer, covered, depth = [-1] * A.shape[1], set(), 0
    waiting = {n for n, support in enumerate(supports) if support}
    while waiting:
        pick = min(sorted(waiting), key=lambda n: len(supports[n] - covered))
        covered |= supports[pick]
        done = {n for n in waiting if supports[n] <= covered}
        for n in done:
            layer[n] = depth
        waiting -= done
        depth += 1
    return layer


@given(SEEDS, st.integers(0, 12), st.integers(0, 12), st.floats(0, 1))
def test_it_is_the_greedy_order(seed, K, N, density):
    A = np.random.default_rng(seed).random((K, N)) < density
    assert eliminate(relate(A)).tolist() == slowly(A)


@given(SEEDS, st.integers(1, 30), st.floats(0, 1))
def test_a_hidden_triangle_is_found_whatever_the_order_of_rows_and_columns(seed, n, density):
    rng = np.random.default_rng(seed)
    A = np.tril(rng.random((n, n)) < density) | np.eye(n, dtype=bool)
    rows, columns = rng.permutation(n), rng.permutation(n)
    layer = eliminate(relate(A[rows][:, columns]))
    assert sorted(layer.tolist()) == list(range(n))
    # Reading the outputs in this order opens exactly one input at a time: it is a triangle again.
    order = np.argsort(layer)
    opened = np.logical_or.accumulate(A[rows][:, columns][:, order], axis=1).sum(0)
    assert opened.tolist() == list(range(1, n + 1))


def test_it_gives_up_where_nothing_can_be_saved():
    rng = np.random.default_rng(0)
    assert eliminate(relate(rng.random((200, 200)) < 0.3), worth=0.1) is None
    assert eliminate(relate(np.ones((3, 4))), worth=0.0).tolist() == [0] * 4
    assert eliminate(relate(np.triu(np.ones((50, 50)))), worth=0.1) is not None
