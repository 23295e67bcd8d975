"""Where the giant component of a weight goes."""

import math

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.edges import relate
from scission.passes.connectivity.percolation import distance, half_giant

# Few different values, so that many are equal, and zeros.
WEIGHTS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9),
    elements=st.sampled_from([0, 0, 0.5, -0.5, 1, -2, 3, 4, -5, np.inf, np.nan]),
)


def parts(weight, threshold):
    """Share of the features in the largest component of |w| > threshold, and how many have an edge, by networkx."""
    K, N = weight.shape
    graph = nx.Graph()
    for k in range(K):
        for n in range(N):
            if (math.inf if math.isnan(weight[k, n]) else abs(weight[k, n])) > threshold:
                graph.add_edge(k, K + n)
    found = list(nx.connected_components(graph))
    return max(map(len, found), default=0) / (K + N), len(found)


@given(WEIGHTS)
def test_it_is_the_smallest_threshold_without_a_giant(weight):
    found = half_giant(weight)
    sizes = {math.inf if math.isnan(w) else abs(float(w)) for w in weight.ravel()}
    thresholds = sorted(sizes | {0.0})
    expected = next(t for t in thresholds if parts(weight, t)[0] < 0.5)
    assert found.threshold == expected
    assert (found.giant, found.components) == parts(weight, expected)
    nonzeros = [math.inf if math.isnan(w) else abs(float(w)) for w in weight.ravel() if w != 0]
    assert found.kept == (sum(size > expected for size in nonzeros) / len(nonzeros) if nonzeros else 1.0)


@pytest.mark.parametrize("shape", [(60, 60), (30, 200), (200, 30)])
def test_what_is_reported_is_what_is_left(shape):
    weight = np.random.default_rng(0).normal(size=shape)
    found = half_giant(weight)
    left = components(relate(weight, found.threshold))
    assert (left.giant, left.count, left.nonzeros / weight.size) == (found.giant, found.components, found.kept)
    just_below = np.nextafter(found.threshold, 0)
    assert components(relate(weight, just_below)).giant >= 0.5 > left.giant


def test_equal_blocks_that_are_half_hang_on_one_weak_edge():
    weight = np.kron(np.eye(2), np.full((5, 5), 3.0))
    assert half_giant(weight).threshold == 3  # each block is half
    weight = np.kron(np.eye(3), np.full((5, 5), 3.0))
    assert (half_giant(weight).threshold, half_giant(weight).kept, half_giant(weight).components) == (0, 1, 3)
    weight[0, 14] = 0.25
    found = half_giant(weight)
    assert (found.threshold, found.components) == (0.25, 3)


def test_the_order_of_memory_and_the_type_do_not_matter():
    weight = np.random.default_rng(1).normal(size=(40, 70)).astype(np.float16)
    for other in (np.asfortranarray(weight), weight.astype(np.float32), weight.astype(">f4")):
        assert half_giant(other) == half_giant(weight)
    before = weight.copy()
    half_giant(weight)
    np.testing.assert_array_equal(weight, before)


def test_nothing_is_left_of_a_weight_without_any_edge():
    found = half_giant(np.zeros((3, 4)))
    assert (found.threshold, found.kept, found.giant, found.components) == (0, 1, 0, 0)


def test_at_a_distance_of_one_a_random_weight_falls_apart():
    K, N = 300, 1200
    rng = np.random.default_rng(0)
    for times, low, high in ((0.3, 0.0, 0.1), (6.0, 0.6, 1.0)):
        edges = rng.random((K, N)) < times / math.sqrt(K * N)
        found = components(edges)
        assert distance(found.nonzeros, K, N) == pytest.approx(times, rel=0.15)
        assert low <= found.giant <= high
    assert distance(7, 0, 3) == 0
