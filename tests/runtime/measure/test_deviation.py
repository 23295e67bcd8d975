import dataclasses
from unittest import mock

import ml_dtypes  # noqa: F401 - names its types to NumPy
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scission.runtime.measure import deviation
from scission.runtime.measure.deviation import RTOL, compare_values, worst_of

A = np.array([[1.0, -4.0], [0.5, 2.0]], np.float32)


def compared(after, before=A, rtol=None, atol=None):
    (report,) = compare_values("y", before, after, rtol, atol)
    return report


def test_the_same_bits_are_identical_and_signed_zeros_only_equal():
    assert compared(A.copy()).identical
    zeros = compared(np.array([-0.0], np.float32), np.array([0.0], np.float32))
    assert zeros.equal
    assert not zeros.identical


special = st.sampled_from([0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, 1e308, -6e4])


@pytest.mark.parametrize("piece", [1, 3, 1 << 20])
@given(st.data())
def test_what_is_said_of_the_same_bits_is_what_is_found_by_comparing_them(piece, data):
    dtype = np.dtype(data.draw(st.sampled_from(["float64", "float32", "float16", "bfloat16"])))
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
    values = data.draw(hnp.arrays(np.float64, shape, elements=special | st.floats(width=16)))
    with np.errstate(over="ignore"), mock.patch.object(deviation, "PIECE", piece):
        before = values.astype(dtype)
        quick = compared(before.copy(), before)
        slow = deviation._compare_floats("y", before, before.copy(), RTOL[dtype.name], 0.0)
    assert quick == dataclasses.replace(slow, identical=True)


@given(hnp.arrays(np.float32, (7,), elements=st.floats(width=32)), st.integers(0, 27), st.integers(1, 255))
def test_one_changed_bit_is_not_the_same(before, place, change):
    after = before.copy()
    after.view(np.uint8)[place] ^= change
    with mock.patch.object(deviation, "PIECE", 5):
        assert not deviation._same_bits(before, after) and deviation._same_bits(before, before.copy())


@pytest.mark.parametrize(("share", "equal"), [(0.9, True), (1.1, False)])
def test_errors_are_held_against_the_largest_element(share, equal):
    after = A.astype(np.float64)
    after[1, 0] += share * RTOL["float64"] * 4
    report = compared(after, A.astype(np.float64))
    assert report.equal is equal
    assert ("[1, 0]" in report.reason) is not equal


def test_each_number_of_two_reports_at_its_worst():
    one, other = compared(A + np.float32(1e-6)), compared(A * np.float32(2), rtol=1.0)
    both = worst_of(one, other)
    assert both.max_abs == other.max_abs == 4.0
    assert both.elements == 8
    assert both.cosine == min(one.cosine, other.cosine)
    assert both.equal


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_stays_in_place(value):
    with_it = A.copy()
    with_it[0, 1] = value
    assert compared(with_it.copy(), with_it).equal
    assert not compared(A, with_it).equal
    assert not compared(with_it).equal
