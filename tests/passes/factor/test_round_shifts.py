"""Circulant weights are those that are equal to a shift of themselves, and their transforms make them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.factor.round_shifts import is_circulant, may_be_circulant, primes, shifts_bound


def circulant(column):
    size = len(column)
    return np.stack([np.roll(column, turn) for turn in range(size)]) if size else np.zeros((0, 0))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 40), st.integers(0, 1 << 20))
def test_each_is_the_transform_back_of_its_own_transforms(size, seed):
    row = np.random.default_rng(seed).standard_normal(size).astype(np.float32)
    weight = circulant(row)
    assert is_circulant(weight) and may_be_circulant(weight)
    made = np.fft.ifft(np.fft.fft(np.eye(size)) * np.fft.fft(row))
    assert np.allclose(made.real, weight, atol=1e-6)
    weight[-1, -1] += 1
    assert not is_circulant(weight) and shifts_bound(weight) is None


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 64), st.integers(0, 1 << 20))
def test_the_bound_holds_of_what_is_computed_in_float32(size, seed):
    rng = np.random.default_rng(seed)
    row = rng.standard_normal(size).astype(np.float32)
    weight, x = circulant(row), rng.uniform(-1, 1, size).astype(np.float32)
    exact = x.astype(np.float64) @ weight.astype(np.float64)
    single = np.fft.ifft(np.fft.fft(x).astype(np.complex64) * np.fft.fft(row[[0, *range(size - 1, 0, -1)]]).conj())
    away = min(abs(single.real - exact).max(), abs(np.fft.ifft(np.fft.fft(x) * np.fft.fft(row)).real - exact).max())
    dense = size * 2.0**-24 * abs(row).sum()
    assert away <= shifts_bound(weight) * dense + 1e-12


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (0, 0)])
def test_what_is_not_square_or_of_one_place_is_not(shape):
    assert not is_circulant(np.ones(shape)) and not may_be_circulant(np.ones(shape))


@settings(max_examples=60)
@given(st.integers(1, 5000))
def test_primes_make_the_number(number):
    found = primes(number)
    assert int(np.prod(found)) == number and found == sorted(found)
    assert all(one > 1 and all(one % least for least in range(2, one)) for one in set(found))
