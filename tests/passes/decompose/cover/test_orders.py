import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.connectivity.edges import relate
from scission.passes.decompose.cover.orders import by_bands, by_clusters, by_windows, orders, triangular
from scission.passes.decompose.cover.row_patterns import supports


def of(A):
    return supports(relate(np.ascontiguousarray(A.T)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
def test_each_order_has_every_support_once(seed, K, N, density):
    A = np.random.default_rng(seed).random((K, N)) < density
    found = of(A)
    m = len(found.members)
    seen = list(orders(found, relate(A), 0.1)) if m else []
    for order, layer in seen:
        assert sorted(order.tolist()) == list(range(m))
        assert layer is None or layer.shape == (m,)


def test_a_hidden_band_comes_out():
    rng = np.random.default_rng(0)
    n = 300
    A = abs(np.subtract.outer(np.arange(n), np.arange(n))) < 4
    rows, columns = rng.permutation(n), rng.permutation(n)
    found = of(A[rows][:, columns])
    order = columns[[int(found.members[place][0]) for place in by_bands(found)]]
    assert abs(np.diff(order)).max() <= 8


def test_windows_come_in_the_order_of_their_inputs():
    rng = np.random.default_rng(0)
    A = abs(np.subtract.outer(np.arange(60), np.arange(60))) < 3
    columns = rng.permutation(60)
    found = of(A[:, columns])
    assert (np.diff(columns[[int(found.members[place][0]) for place in by_windows(found)]]) == 1).all()


def test_clusters_show_through_residual_entries():
    rng = np.random.default_rng(0)
    label = rng.permutation(np.repeat(np.arange(8), 40))
    inputs = rng.permutation(np.repeat(np.arange(8), 40))
    A = np.equal.outer(inputs, label) & (rng.random((320, 320)) < 0.4)
    A[rng.integers(0, 320, 200), rng.integers(0, 320, 200)] = True
    A[7] = True  # an input that all read tells nothing
    found = of(A)
    order = label[[int(found.members[place][0]) for place in by_clusters(found)]]
    assert (np.diff(order) != 0).sum() == 7


def test_triangles_have_layers_and_what_has_none_has_not():
    A = np.triu(np.ones((20, 20)))
    assert [layer.max() for layer in triangular(relate(A), 0.1)] == [19, 19]
    assert not list(triangular(relate(np.ones((5, 6))), 0.1))
