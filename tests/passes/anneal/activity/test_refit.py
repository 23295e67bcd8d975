import ml_dtypes
import numpy as np
import oracles
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scission.ir.plan.plan import Block, Decomposition
from scission.models.matrix import weight as block_weight
from scission.passes.anneal.activity import refit as module
from scission.passes.anneal.activity.refit import InputDrift, RefitError, refit


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


def error(X, W, V, shift=0.0, before=None):
    """‖X W - X̃ V - shift‖ / ‖X W‖, X̃ = X unless the inputs were others before."""
    exact = (X if before is None else before) @ W
    whole = np.linalg.norm(exact)
    return np.linalg.norm(exact - X @ V - shift) / whole if whole else 0.0


def fit_one_by_one(X, target, truth, intercept=False):
    """numpy's least squares on the samples themselves, one output at a time."""
    V, shift = np.zeros(truth.shape), np.zeros(truth.shape[1])
    ones = np.ones((len(X), int(intercept)))
    for block in (*truth.blocks, None):
        inputs = block.inputs if block else np.empty(0, int)
        for n in block.outputs if block else truth.dormant_outputs:
            columns = np.hstack([X[:, inputs], ones])
            found = np.linalg.lstsq(columns, target[:, n])[0] if columns.shape[1] else np.empty(0)
            V[inputs, n] = found[: inputs.size]
            shift[n] = found[inputs.size :].sum()
    return V, shift


@given(problems())
def test_without_a_ridge_it_is_least_squares_on_the_samples(problem):
    W, truth, X = problem
    found = refit(W, truth, X.T @ X, ridge=0)
    V, _ = fit_one_by_one(X, X @ W, truth)
    assert found.shift is None
    assert found.error_after == pytest.approx(error(X, W, V), abs=2e-6)
    if len(X) > W.shape[0] and (X != 0).all() and np.linalg.cond(X) < 1e3:
        np.testing.assert_allclose(found.weight, V, atol=1e-7 * max(np.abs(V).max(), 1))


@given(problems())
def test_with_means_it_is_least_squares_with_an_intercept(problem):
    W, truth, X = problem
    found = refit(W, truth, X.T @ X, ridge=0, mean=X.mean(axis=0), samples=len(X))
    V, shift = fit_one_by_one(X, X @ W, truth, intercept=True)
    assert found.error_after == pytest.approx(error(X, W, V, shift), abs=2e-6)
    assert found.error_after == pytest.approx(error(X, W, found.weight, found.shift), abs=2e-6)
    gap = (X @ W - X @ found.weight - found.shift).mean(axis=0)
    np.testing.assert_allclose(gap, 0, atol=1e-9 * max(np.abs(X @ W).max(initial=0), 1))


@given(problems(np.float32), st.sampled_from([0.0, 1e-6, 1e-2, 10.0]), st.booleans(), st.integers(1, 40))
def test_it_never_is_worse_than_removal_and_zero_outside_the_blocks(problem, ridge, intercept, chunk):
    W, truth, X = problem
    means = {"mean": X.mean(axis=0), "samples": len(X)} if intercept else {}
    whole, module.CHUNK = module.CHUNK, chunk  # a few columns at a time
    try:
        found = refit(W, truth, X.T @ X, ridge=ridge, **means)
    finally:
        module.CHUNK = whole
    kept, W64 = oracles.reassembled(W, truth), W.astype(np.float64)
    shift = 0.0 if found.shift is None else found.shift
    assert found.weight.dtype == np.float32 and found.weight.shape == W.shape
    assert not found.weight[oracles.reassembled(np.ones(W.shape, bool), truth) == 0].any()
    assert found.error_before == pytest.approx(error(X, W64, kept), abs=2e-6)
    assert found.error_after == pytest.approx(error(X, W64, found.weight, shift), abs=2e-6)
    assert found.error_after <= found.error_before * (1 + 1e-9)
    assert error(X, W64, found.weight, shift) <= error(X, W64, kept) + 1e-6
    if np.array_equal(kept, W):
        np.testing.assert_array_equal(found.weight, W)
        assert found.error_after == found.error_before == 0.0 and not np.any(shift)


@given(problems(), st.sampled_from([0.0, 0.3]), st.booleans())
def test_inputs_that_were_others_before(problem, noise, intercept):
    W, truth, X = problem
    assume((X @ W).any())  # no error is relative to nothing
    moved = X + noise * np.random.default_rng(len(X)).standard_normal(X.shape) + 0.1 * (noise > 0)
    drift = InputDrift(cross=moved.T @ X, gram=X.T @ X, mean=X.mean(axis=0))
    means = {"mean": moved.mean(axis=0), "samples": len(X)} if intercept else {}
    found = refit(W, truth, moved.T @ moved, ridge=0, drift=drift, **means)
    V, shift = fit_one_by_one(moved, X @ W, truth, intercept)
    added = 0.0 if found.shift is None else found.shift
    assert found.error_after == pytest.approx(error(moved, W, V, shift, before=X), abs=1e-5)
    assert found.error_after == pytest.approx(error(moved, W, found.weight, added, before=X), abs=1e-5)
    assert found.error_before == pytest.approx(error(moved, W, oracles.reassembled(W, truth), before=X), abs=1e-5)
    if not noise:
        plain = refit(W, truth, X.T @ X, ridge=0, **means)
        assert plain.error_after == pytest.approx(found.error_after, abs=1e-5)


def test_row_groups_may_share_inputs():
    rng = np.random.default_rng(2)
    W, X = rng.standard_normal((4, 3)), rng.standard_normal((30, 4))
    split = Decomposition((4, 3), (Block([0, 1], [0]), Block([0, 1, 2], [1, 2])), layers=((0, 0), (1, 1)))
    V, _ = fit_one_by_one(X, X @ W, split)
    np.testing.assert_allclose(refit(W, split, X.T @ X, ridge=0).weight, V, atol=1e-10)


def test_a_ridge_draws_towards_the_weights_that_were_there():
    rng = np.random.default_rng(5)
    W, X = rng.standard_normal((6, 4)), rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6))
    split = Decomposition((6, 4), (Block([0, 1, 2], [0, 1]), Block([3, 4, 5], [2, 3])))
    free, tied = (refit(W, split, X.T @ X, ridge=ridge) for ridge in (0, 1e12))
    np.testing.assert_allclose(tied.weight, oracles.reassembled(W, split), atol=1e-9)
    assert free.error_after < 0.99 * free.error_before and tied.error_after == pytest.approx(tied.error_before)
    I, O, G = [0, 1, 2], [0, 1], X.T @ X  # noqa: E741 - inputs and outputs, as in the paper
    A = G[np.ix_(I, I)] + np.trace(G[np.ix_(I, I)]) / 3 * np.eye(3)
    kept = W[np.ix_(I, O)]
    expected = np.linalg.solve(A, G[I] @ W[:, O] - G[np.ix_(I, I)] @ kept) + kept
    np.testing.assert_allclose(refit(W, split, G, ridge=1).weight[np.ix_(I, O)], expected)


def test_a_solution_that_its_type_cannot_hold_is_not_taken():
    W = np.array([[1.0, 1.0], [60000.0, 1.0]], np.float16)
    X = np.array([[1.0, 9.0], [-1.0, -9.0]])  # input 0 would have to carry 540001
    found = refit(W, Decomposition((2, 2), (Block([0], [0, 1]),)), X.T @ X, ridge=0)
    assert found.weight.tolist() == [[1.0, 10.0], [0.0, 0.0]] and 0 < found.error_after < found.error_before
    half = W.astype(ml_dtypes.bfloat16)
    assert refit(half, Decomposition((2, 2), (Block([0, 1], [0]),)), X.T @ X).weight.dtype == ml_dtypes.bfloat16


def test_rounding_that_costs_more_than_the_solution_gains_leaves_the_weights():
    W = np.array([[1.0], [1.0], [1.0]], np.float16)
    common, apart = np.array([1000.0, 1000.0, 1000.0]), np.array([1.0, -1.0, 0.0])
    X = np.stack([common + 1e-3 * apart, common, 3e-4 * apart], axis=1)  # only 1.3 and 0.7, to many digits, would do
    split = Decomposition((3, 1), (Block([0, 1], [0]),))
    found = refit(W, split, X.T @ X, ridge=0)
    assert found.weight.tolist() == [[1.0], [1.0], [0.0]] and found.error_after == found.error_before > 0
    assert refit(W.astype(np.float64), split, X.T @ X, ridge=0).error_after < 0.1 * found.error_before


@pytest.mark.parametrize("seed", range(20))
def test_inputs_that_say_the_same_share_the_change(seed):
    rng = np.random.default_rng(seed)
    u, v = rng.standard_normal((2, 9)) + 30 * rng.random()
    X = np.stack([u, u, 3 * u, v], axis=1)
    W = rng.standard_normal((4, 1))
    found = refit(
        W, Decomposition((4, 1), (Block([0, 1, 2], [0]),)), X.T @ X, ridge=0, mean=X.mean(axis=0), samples=len(X)
    )
    change = (found.weight - W)[:3, 0]
    slope = np.polyfit(u, W[3, 0] * v, 1)[0]
    np.testing.assert_allclose(change * [1, 1, 3], slope / 3, rtol=1e-8)


def test_nothing_kept_and_nothing_there():
    X = np.array([[1.0, 2.0], [3.0, 2.0]])
    W = np.array([[1.0], [1.0]])
    none = Decomposition((2, 1), ())
    found = refit(W, none, X.T @ X, mean=X.mean(axis=0), samples=2)
    assert found.weight.tolist() == [[0.0], [0.0]] and found.shift.tolist() == [4.0]
    assert found.error_before == pytest.approx(1.0) and found.error_after == pytest.approx(np.sqrt(2 / 34))
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
        ({"mean": np.zeros(2)}, "number of samples"),
        ({"mean": np.zeros(2), "samples": 0}, "at least one"),
        ({"mean": np.zeros(3), "samples": 1}, "mean has shape"),
        ({"drift": InputDrift(cross=np.eye(3), gram=G)}, "cross has shape"),
        ({"drift": InputDrift(cross=G, gram=G), "mean": np.zeros(2), "samples": 1}, "after a drift"),
    ):
        with pytest.raises(RefitError, match=match):
            refit(**({"weight": W, "decomposition": none, "gram": G} | change))
