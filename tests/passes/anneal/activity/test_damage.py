import numpy as np
import oracles
import pytest
from activations import observed
from hypothesis import given
from hypothesis import strategies as st

from scission.models.matrix import weight as block_weight
from scission.passes.anneal.activity import damage as module
from scission.passes.anneal.activity.activity import ActivityError
from scission.passes.anneal.activity.damage import relative_error


@st.composite
def removals(draw):
    """(W, decomposition, X): blocks planted in a dense weight, with correlated inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dormant = draw(st.sampled_from([(0, 0), (2, 0), (0, 2), (1, 1)]))
    W, truth = block_weight(rng, draw(oracles.block_sizes(most=3, largest=4)), dormant, np.float64)
    noise = draw(st.sampled_from([0.0, 0.1, 1.0]))
    X = rng.standard_normal((20, W.shape[0])) @ rng.standard_normal((W.shape[0], W.shape[0]))
    return W + noise * rng.standard_normal(W.shape), truth, X


@given(removals(), st.integers(1, 30))
def test_the_cost_of_a_removal_is_what_the_samples_say(removal, chunk):
    W, truth, X = removal
    seen = observed(X, shape=W.shape)
    kept = module.CHUNK
    module.CHUNK = chunk  # a few columns at a time
    try:
        error = relative_error(W, oracles.reassembled(W, truth), seen.gram)
    finally:
        module.CHUNK = kept
    removed = W - oracles.reassembled(W, truth)
    assert error == pytest.approx(np.linalg.norm(X @ removed) / np.linalg.norm(X @ W), rel=1e-6, abs=1e-7)
    if not removed.any():
        assert error == 0.0


def test_costs_at_their_limits():
    seen = observed(np.array([[1.0, -1.0]]), shape=(2, 1))
    W = np.array([[1.0], [1.0]])
    assert relative_error(W, np.array([[1.0], [0.0]]), seen.gram) == np.inf, (
        "what was zero by cancellation is not any more"
    )
    assert relative_error(0 * W, 0 * W, seen.gram) == 0.0
    assert relative_error(W, 0 * W, np.eye(2)) == 1.0


def test_what_does_not_fit_is_refused():
    seen = observed(np.ones((2, 2)))
    with pytest.raises(ActivityError, match="evidence is for"):
        relative_error(np.ones((2, 1)), np.ones((3, 1)), seen.gram)
    with pytest.raises(ActivityError, match="normal equations"):
        relative_error(np.ones((3, 1)), np.ones((3, 1)), seen.gram)
    with pytest.raises(ActivityError, match="NaN or an Inf"):
        relative_error(np.array([[np.nan], [1.0]]), np.ones((2, 1)), seen.gram)
