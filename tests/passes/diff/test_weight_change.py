import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.diff.weight_change import CHUNK, drift


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from(["f2", "f4", "f8", "i4", "u1"]))
def test_it_is_what_numpy_says(seed, kind):
    rng = np.random.default_rng(seed)
    a = (rng.standard_normal((3, CHUNK // 2 + 7)) * 50 + 100).astype(kind)
    b = np.where(rng.random(a.shape) < 0.3, a + 1, a).astype(kind)
    found, wide = drift(a, b), (b.astype(np.float64) - a.astype(np.float64))
    assert found.share == pytest.approx((a != b).mean())
    assert found.max_abs == pytest.approx(np.abs(wide).max(), rel=1e-3)
    assert found.relative == pytest.approx(np.linalg.norm(wide) / np.linalg.norm(a.astype(np.float64)), rel=1e-3)


def test_numbers_that_are_none():
    nan, inf = np.float32([np.nan, 1, np.inf]), np.float32([np.nan, 2, np.inf])
    assert drift(nan, inf).share == pytest.approx(1 / 3) and drift(nan, inf).relative is None
    assert drift(np.zeros(2), np.ones(2)).relative is None and drift(np.zeros(2), np.zeros(2)).relative == 0
    assert drift(np.float32([1e30]), np.float32([2e30])).relative == pytest.approx(1)
    assert drift(np.array([True, False]), np.array([True, True])).share == 0.5
    assert drift(np.zeros(0), np.zeros(0)).share == 0
