import numpy as np
import pytest

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
