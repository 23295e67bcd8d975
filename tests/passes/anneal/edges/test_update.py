import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.anneal.edges.decision import AnnealError
from scission.passes.anneal.edges.update import updated

seeds = st.integers(0, 2**32 - 1)


@given(seeds, st.sampled_from([(0.0, 0.0), (0.25, 0.0), (0.0, 0.5), (0.25, 0.125)]))
def test_an_update_is_any_difference_above_the_tolerance(seed, tolerance):
    rng = np.random.default_rng(seed)
    then = rng.integers(-8, 9, (9, 7)) / 8
    W = then + rng.integers(-8, 9, (9, 7)) / 8 * (rng.random((9, 7)) < 0.5)
    found = updated(W, then, tolerance)
    for k, n in np.ndindex(W.shape):
        change = abs(W[k, n] - then[k, n])
        assert found.confirmed[k, n] == (change > tolerance[0] * abs(then[k, n]) + tolerance[1])
    assert found.evidence.null is None and found.evidence.expected_false == 0


def test_updates_from_and_to_infinity_are_edges():
    W = np.array([[1.0, np.inf, np.nan, 1.0, np.inf]])
    then = np.array([[1.0, 1.0, 1.0, np.inf, np.inf]])
    assert updated(W, then, (0.1, 0)).confirmed.tolist() == [[False, *[True] * 4]]


def test_updates_of_half_types_are_compared_in_float():
    then = np.random.default_rng(0).normal(size=(20, 20)).astype(np.float16)
    assert not updated(then.copy(), then).confirmed.any()
    assert not updated(then.astype(np.float32), then).confirmed.any()
    assert not updated(then.astype(">f4"), then).confirmed.any()


def test_nan_and_infinities_are_edges_even_where_nothing_changed():
    W = np.array([[1.0, np.nan], [np.inf, -np.inf]])
    assert updated(W, W).confirmed.tolist() == [[False, True], [True, True]]


def test_another_shape_is_refused():
    with pytest.raises(AnnealError, match=r"shape \(2, 3\), the trained one \(3, 2\)"):
        updated(np.ones((3, 2)), np.ones((2, 3)))
