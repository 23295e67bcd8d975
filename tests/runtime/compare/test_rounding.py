import hypothesis.strategies as st
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings

from scission.runtime.compare.rounding import RoundingError, gamma, product_bound


def test_gamma():
    assert gamma(0, np.float32) == 0
    assert gamma(100, np.float64) == pytest.approx(100 * 2**-53, rel=1e-10)
    assert gamma(10, np.float16) == pytest.approx(10 * 2**-11 / (1 - 10 * 2**-11))
    assert gamma(3, ml_dtypes.bfloat16) == pytest.approx(3 * 2**-8 / (1 - 3 * 2**-8))
    for n, dtype in ((2048, np.float16), (256, ml_dtypes.bfloat16)):
        assert gamma(n - 1, dtype) > 0
        with pytest.raises(RoundingError, match="no error bound"):
            gamma(n, dtype)


def any_order(x, W, rng):
    """x·W in the precision of x, summed in a random tree of random order."""
    terms = [x[:, k, None] * W[None, k] for k in rng.permutation(x.shape[1])]
    while len(terms) > 1:
        one, other = terms.pop(int(rng.integers(len(terms)))), terms.pop(int(rng.integers(len(terms))))
        terms.append(one + other)
    return terms[0]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), K=st.integers(1, 60), exponent=st.integers(-42, 15))
def test_every_order_of_summation_is_within_the_bound(seed, K, exponent):
    rng = np.random.default_rng(seed)
    spread = 10.0 ** rng.uniform(-3, 3, (2, K))
    x = (rng.standard_normal((4, K)) * spread[0] * 10.0**exponent).astype(np.float32)
    W = (rng.standard_normal((K, 3)) * spread[1][:, None]).astype(np.float32)
    exact, bound = product_bound(x, W)
    for y in (any_order(x, W, rng), x @ W):
        assert (np.abs(y.astype(np.float64) - exact) <= bound).all()
    # A whole term left out shows wherever it is larger than what rounding may do.
    left_out = x.copy()
    left_out[:, 0] = 0
    gone = np.abs(x[:, 0, None].astype(np.float64) * W[0])
    assert (np.abs(left_out.astype(np.float64) @ W - exact) > bound)[gone > 2 * bound].all()


def test_a_planted_wrong_entry_is_outside_the_bound():
    rng = np.random.default_rng(3)
    x, W = rng.standard_normal((6, 64), np.float32), rng.standard_normal((64, 10), np.float32)
    y, bound = product_bound(x, W)
    wrong = x @ W
    assert (np.abs(wrong - y) <= bound).all()
    wrong[2, 7] += 1e-4 * np.abs(wrong).max()
    outside = np.abs(wrong - y) > bound
    assert outside.sum() == 1
    assert outside[2, 7]


def test_the_bound_allows_for_underflow():
    rng = np.random.default_rng(6)
    x = (rng.standard_normal((4, 30)) * 1e-42).astype(np.float32)
    W = rng.standard_normal((30, 3), np.float32)
    exact, bound = product_bound(x, W)
    error = np.abs(any_order(x, W, rng) - exact)
    assert (error <= bound).all()
    assert (error > gamma(30, np.float32) * (np.abs(x).astype(float) @ np.abs(W))).any()


def test_the_bound_is_not_loose():
    """Within a small factor of γ_K Σ|x||W|, the form of the theorem."""
    rng = np.random.default_rng(4)
    x, W, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((6, 64), (64, 10), (10,)))
    size = np.abs(x).astype(float) @ np.abs(W)
    np.testing.assert_allclose(product_bound(x, W)[1], gamma(64, np.float32) * size, rtol=1e-6)
    np.testing.assert_allclose(product_bound(x, W, 128)[1], gamma(128, np.float32) * size, rtol=1e-6)
    y, bound = product_bound(x, W, bias=b)
    np.testing.assert_allclose(y, x.astype(float) @ W + b, rtol=1e-12)
    np.testing.assert_allclose(bound, gamma(65, np.float32) * (size + np.abs(b)), rtol=1e-6)
    stacked = product_bound(x[None], W[None])
    assert stacked[0].shape == stacked[1].shape == (1, 6, 10)


def test_sixteen_bit_products_have_a_bound_at_any_size():
    rng = np.random.default_rng(5)
    for dtype in (np.float16, ml_dtypes.bfloat16):
        x, W = rng.standard_normal((3, 4096)).astype(dtype), rng.standard_normal((4096, 5)).astype(dtype)
        y, bound = product_bound(x, W)
        rounded = (x.astype(np.float32) @ W.astype(np.float32)).astype(dtype).astype(np.float64)
        assert (np.abs(rounded - y) <= bound).all()
        assert (bound < 0.05 * (np.abs(x).astype(float) @ np.abs(W).astype(float))).all()
