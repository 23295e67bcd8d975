import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled_products import excess, moments, samples


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans())
def test_a_loss_is_the_error_on_the_samples_over_that_of_the_best_weight_with_the_best_bias(seed, other):
    rng = np.random.default_rng(seed)
    K, N = rng.integers(1, 7, 2)
    x, weight = samples(rng, K), rng.standard_normal((K, N))
    wanted = x @ weight + (rng.standard_normal((len(x), N)) + rng.standard_normal(N) if other else 0)
    found = moments(x, weight, wanted if other else None)
    for tried in (weight, found.best, rng.standard_normal((K, N)), np.zeros((K, N))):
        assert found.loss(tried) == pytest.approx(excess(x, wanted, tried), rel=1e-6, abs=1e-8)
        rest = wanted - x @ tried - found.bias(tried)
        np.testing.assert_allclose(rest.mean(0), 0, atol=1e-9)
    assert found.energy == pytest.approx((x @ weight).var(0).sum())


def test_what_samples_say_nothing_of_stays_as_it_was():
    rng = np.random.default_rng(0)
    x, weight = samples(rng, 6, constant=2), rng.standard_normal((6, 3))
    found = moments(x, weight, x @ weight + 1, damping=1e-6)
    np.testing.assert_allclose(found.best, weight, atol=1e-6)
    np.testing.assert_allclose(found.bias(found.best), 1, atol=1e-5)
    still = moments(np.ones((5, 6)), weight, damping=1e-4)
    assert still.loss(weight) == 0 and np.isfinite(still.root).all()


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="a gram of shape"):
        moments(np.ones((4, 3)), np.ones((4, 2)))
