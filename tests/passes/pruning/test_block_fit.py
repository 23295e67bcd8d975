import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.pruning.block_fit import fit_blocks
from scission.passes.pruning.greedy import Reading


def column_by_column(x, weight, inputs, outputs, wanted=None):
    """The least squares of each output alone, on the samples themselves."""
    made = np.zeros_like(weight)
    results = x @ weight if wanted is None else wanted
    for n, label in enumerate(outputs):
        own = [k for k, group in enumerate(inputs) if group in (label, -1)]
        made[own, n] = np.linalg.lstsq(x[:, own], results[:, n], rcond=None)[0]
    return made


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.booleans())
def test_each_output_is_fitted_on_the_inputs_of_its_group(seed, count, given_results):
    rng = np.random.default_rng(seed)
    K, N = (int(size) for size in rng.integers(2, 9, 2))
    x = rng.standard_normal((6 * K, K)) @ (np.eye(K) + 0.3 * rng.standard_normal((K, K)))
    weight = rng.standard_normal((K, N))
    inputs, outputs = rng.integers(-1, count, K), rng.integers(0, count, N)
    wanted = rng.standard_normal((6 * K, N)) if given_results else None
    target = None if wanted is None else x.T @ wanted / len(x)
    found = fit_blocks(Reading(x.T @ x / len(x), weight, target), inputs, outputs, damping=0)
    assert np.allclose(found, column_by_column(x, weight, inputs, outputs, wanted), atol=1e-6)
    assert not found[(inputs[:, None] != outputs) & (inputs[:, None] >= 0)].any()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_other_blocks_lose_less(seed):
    rng = np.random.default_rng(seed)
    x, weight = rng.standard_normal((40, 6)), rng.standard_normal((6, 6))
    labels = np.arange(6) % 2
    inside = labels[:, None] == labels
    found = fit_blocks(Reading(x.T @ x / 40, weight), labels, labels, damping=0)
    loss = np.square(x @ (found - weight)).sum()
    for _ in range(10):
        other = found + inside * rng.standard_normal((6, 6)) * rng.choice([1e-3, 1e-1, 1])
        assert np.square(x @ (other - weight)).sum() >= loss - 1e-9
    assert np.square(x @ (inside * weight - weight)).sum() >= loss - 1e-9


def test_one_group_is_the_weight_itself_and_silent_inputs_keep_theirs():
    rng = np.random.default_rng(0)
    x, weight = rng.standard_normal((50, 4)), rng.standard_normal((4, 3))
    whole = fit_blocks(Reading(x.T @ x / 50, weight), np.zeros(4, int), np.zeros(3, int))
    assert np.allclose(whole, weight)
    silent = np.zeros((4, 4))
    kept = fit_blocks(Reading(silent, weight), np.array([0, 0, 1, 1]), np.array([0, 1, 1]))
    assert np.isfinite(kept).all()


def test_labels_of_other_lengths_are_refused():
    with pytest.raises(ValueError, match="labels of shape"):
        fit_blocks(Reading(np.eye(3), np.ones((3, 2))), np.zeros(2, int), np.zeros(2, int))
