import ml_dtypes
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plan.plan import Block, Decomposition
from scission.models.matrix import weight as block_weight
from scission.passes.anneal.activity import refit as module
from scission.passes.anneal.activity.damage import relative_error
from scission.passes.anneal.activity.refit import RefitError, refit


@st.composite
def problems(draw, dtype=np.float64):
    """(W, blocks, X): blocks inside a noisy weight; inputs correlated, of many scales, few, or some always zero."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    dormant = draw(st.sampled_from([(0, 0), (2, 0), (0, 2), (1, 1)]))
    W, truth = block_weight(rng, draw(oracles.block_sizes(most=3, largest=4)), dormant, np.float64)
    K = W.shape[0]
    X = rng.standard_normal((draw(st.sampled_from([2, 40])), K)) @ rng.standard_normal((K, K)) + rng.standard_normal(K)
    X *= draw(st.sampled_from([np.ones(K), rng.random(K) < 0.7, 10.0 ** rng.integers(-2, 3, K)]))
    return (W + draw(st.sampled_from([0.0, 1.0])) * rng.standard_normal(W.shape)).astype(dtype), truth, X


def error(X, W, V):
    """‖X W - X V‖ / ‖X W‖."""
    whole = np.linalg.norm(X @ W)
    return np.linalg.norm(X @ W - X @ V) / whole if whole else 0.0


def fit_one_by_one(X, target, truth):
    """numpy's least squares on the samples themselves, one output at a time."""
    V = np.zeros(truth.shape)
    for block in truth.blocks:
        for n in block.outputs if block.inputs.size else ():
            V[block.inputs, n] = np.linalg.lstsq(X[:, block.inputs], target[:, n])[0]
    return V


@given(problems())
def test_without_a_ridge_it_is_least_squares_on_the_samples(problem):
    W, truth, X = problem
    found = refit(W, truth, X.T @ X, ridge=0)
    V = fit_one_by_one(X, X @ W, truth)
    assert found.error_after == pytest.approx(error(X, W, V), abs=2e-6)
    if len(X) > W.shape[0] and (X != 0).all() and np.linalg.cond(X) < 1e3:
        np.testing.assert_allclose(found.weight, V, atol=1e-7 * max(np.abs(V).max(), 1))


@given(problems(np.float32), st.sampled_from([0.0, 1e-6, 1e-2, 10.0]), st.integers(1, 40))
def test_it_never_is_worse_than_removal_and_zero_outside_the_blocks(problem, ridge, chunk):
    W, truth, X = problem
    whole, module.CHUNK = module.CHUNK, chunk  # a few columns at a time
    try:
        found = refit(W, truth, X.T @ X, ridge=ridge)
    finally:
        module.CHUNK = whole
    kept, W64 = oracles.reassembled(W, truth), W.astype(np.float64)
    assert found.weight.dtype == np.float32 and found.weight.shape == W.shape
    assert not found.weight[oracles.reassembled(np.ones(W.shape, bool), truth) == 0].any()
    assert found.error_after == pytest.approx(error(X, W64, found.weight), abs=2e-6)
    assert found.error_after <= relative_error(W, kept, X.T @ X) * (1 + 1e-9)
    assert error(X, W64, found.weight) <= error(X, W64, kept) + 1e-6
    if np.array_equal(kept, W):
        np.testing.assert_array_equal(found.weight, W)
        assert found.error_after == 0.0


def test_row_groups_may_share_inputs():
    rng = np.random.default_rng(2)
    W, X = rng.standard_normal((4, 3)), rng.standard_normal((30, 4))
    split = Decomposition((4, 3), (Block([0, 1], [0]), Block([0, 1, 2], [1, 2])), layers=((0, 0), (1, 1)))
    V = fit_one_by_one(X, X @ W, split)
    np.testing.assert_allclose(refit(W, split, X.T @ X, ridge=0).weight, V, atol=1e-10)


def test_a_ridge_draws_towards_the_weights_that_were_there():
    rng = np.random.default_rng(5)
    W, X = rng.standard_normal((6, 4)), rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6))
    split = Decomposition((6, 4), (Block([0, 1, 2], [0, 1]), Block([3, 4, 5], [2, 3])))
    free, tied = (refit(W, split, X.T @ X, ridge=ridge) for ridge in (0, 1e12))
    np.testing.assert_allclose(tied.weight, oracles.reassembled(W, split), atol=1e-9)
    before = error(X, W, oracles.reassembled(W, split))
    assert free.error_after < 0.99 * before and tied.error_after == pytest.approx(before)
    I, O, G = [0, 1, 2], [0, 1], X.T @ X  # noqa: E741 - inputs and outputs, as in the paper
    A = G[np.ix_(I, I)] + np.trace(G[np.ix_(I, I)]) / 3 * np.eye(3)
    kept = W[np.ix_(I, O)]
    expected = np.linalg.solve(A, G[I] @ W[:, O] - G[np.ix_(I, I)] @ kept) + kept
    np.testing.assert_allclose(refit(W, split, G, ridge=1).weight[np.ix_(I, O)], expected)


def test_a_solution_that_its_type_cannot_hold_is_not_taken():
    W = np.array([[1.0, 1.0], [60000.0, 1.0]], np.float16)
    X = np.array([[1.0, 9.0], [-1.0, -9.0]])  # input 0 would have to carry 540001
    split = Decomposition((2, 2), (Block([0], [0, 1]),))
    found, before = refit(W, split, X.T @ X, ridge=0), error(X, W.astype(float), oracles.reassembled(W, split))
    assert found.weight.tolist() == [[1.0, 10.0], [0.0, 0.0]] and 0 < found.error_after < before
    half = W.astype(ml_dtypes.bfloat16)
    assert refit(half, Decomposition((2, 2), (Block([0, 1], [0]),)), X.T @ X).weight.dtype == ml_dtypes.bfloat16


def test_rounding_that_costs_more_than_the_solution_gains_leaves_the_weights():
    W = np.array([[1.0], [1.0], [1.0]], np.float16)
    common, apart = np.array([1000.0, 1000.0, 1000.0]), np.array([1.0, -1.0, 0.0])
    X = np.stack([common + 1e-3 * apart, common, 3e-4 * apart], axis=1)  # only 1.3 and 0.7, to many digits, would do
    split = Decomposition((3, 1), (Block([0, 1], [0]),))
    found = refit(W, split, X.T @ X, ridge=0)
    before = relative_error(W, oracles.reassembled(W, split), X.T @ X)
    assert found.weight.tolist() == [[1.0], [1.0], [0.0]] and found.error_after == pytest.approx(before) and before > 0
    assert refit(W.astype(np.float64), split, X.T @ X, ridge=0).error_after < 0.1 * before


@pytest.mark.parametrize("seed", range(20))
def test_inputs_that_say_the_same_share_the_change(seed):
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((2, 9)) + 30 * rng.random()
    X = np.stack([u, u, 3 * u, v], axis=1)
    W = rng.standard_normal((4, 1))
    found = refit(W, Decomposition((4, 1), (Block([0, 1, 2], [0]),)), X.T @ X, ridge=0)
    change = (found.weight - W)[:3, 0]
    slope = u @ (W[3, 0] * v) / (u @ u)
    np.testing.assert_allclose(change * [1, 1, 3], slope / 3, rtol=1e-8)


def test_nothing_kept_and_nothing_there():
    X = np.array([[1.0, 2.0], [3.0, 2.0]])
    W = np.array([[1.0], [1.0]])
    none = Decomposition((2, 1), ())
    found = refit(W, none, X.T @ X)
    assert found.weight.tolist() == [[0.0], [0.0]] and found.error_after == pytest.approx(1.0)
    silent = refit(W, Decomposition((2, 1), (Block([0], [0]),)), np.zeros((2, 2)))
    assert silent.weight.tolist() == [[1.0], [0.0]] and silent.error_after == 0.0


def test_what_does_not_fit_is_refused():
    W, G, none = np.ones((2, 1)), np.eye(2), Decomposition((2, 1), ())
    for change, match in (
        ({"decomposition": Decomposition((1, 1), ())}, "blocks are for"),
        ({"gram": np.eye(3)}, "gram has shape"),
        ({"gram": np.full((2, 2), np.nan)}, "not finite"),
        ({"weight": np.array([[np.inf], [1.0]])}, "holds a NaN or an Inf"),
        ({"ridge": -1.0}, "ridge"),
        ({"ridge": float("nan")}, "ridge"),
    ):
        with pytest.raises(RefitError, match=match):
            refit(**({"weight": W, "decomposition": none, "gram": G} | change))
