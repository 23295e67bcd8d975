import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled_products import moments, samples
from scipy.optimize import minimize

from scission.passes.projection.reduced_rank import rank_losses, reduced_rank


def descended(found, rank, rng, tries=8):
    """The least loss of factors that a general optimiser comes to, from several beginnings."""
    K, N = found.best.shape

    def loss(flat):
        left, right = flat[: K * rank].reshape(K, rank), flat[K * rank :].reshape(rank, N)
        away = found.gram @ (left @ right - found.best)
        gradient = np.concatenate([(2 * away @ right.T).ravel(), (2 * left.T @ away).ravel()])
        return found.loss(left @ right), gradient

    runs = (minimize(loss, rng.standard_normal((K + N) * rank), jac=True, method="L-BFGS-B") for _ in range(tries))
    return min(run.fun for run in runs)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 20))
def test_no_product_of_the_rank_loses_less(seed):
    """Eckart and Young's optimum beside what descent finds, and beside the weight's own truncated decomposition."""
    rng = np.random.default_rng(seed)
    K, N = rng.integers(2, 7, 2)
    x, weight = samples(rng, K), rng.standard_normal((K, N))
    found = moments(x, weight, x @ weight + rng.standard_normal((len(x), N)))
    losses = rank_losses(found)
    assert losses.size == min(K, N) + 1 and losses[-1] == 0
    assert losses[0] == pytest.approx(found.loss(np.zeros((K, N))))
    rank = int(rng.integers(1, min(K, N) + 1))
    made = reduced_rank(found, rank)
    assert made.rank == rank and made.product.shape == (K, N)
    scale = losses[0]
    assert found.loss(made.product) == pytest.approx(losses[rank], abs=1e-9 * scale)
    assert losses[rank] == pytest.approx(descended(found, rank, rng), abs=1e-5 * scale)
    left, values, right = np.linalg.svd(found.best, full_matrices=False)
    assert losses[rank] <= found.loss((left[:, :rank] * values[:rank]) @ right[:rank]) + 1e-9 * scale


@pytest.mark.parametrize("shape", [(20, 12), (12, 20), (16, 16)])
def test_a_weight_of_the_rank_is_exact_and_the_first_factors_are_the_best_of_a_lower_rank(shape):
    rng = np.random.default_rng(0)
    K, N = shape
    weight = rng.standard_normal((K, 4)) @ rng.standard_normal((4, N))
    found = moments(samples(rng, K), weight)
    np.testing.assert_allclose(reduced_rank(found, 4).product, weight, atol=1e-6)
    lower = reduced_rank(found, 6).first(2)
    assert lower.rank == 2
    assert found.loss(lower.product) == pytest.approx(rank_losses(found)[2])
