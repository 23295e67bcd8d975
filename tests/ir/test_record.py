import math

import pytest

from scission.ir.errors import ScissionError
from scission.ir.record import Record, is_number


def record(value):
    return Record.of({"n": value}, "here", ScissionError)


@pytest.mark.parametrize("value", [10**400, -(10**400), True, math.nan, "1", None, []])
def test_what_no_float_holds_is_no_number(value):
    assert not is_number(value)
    with pytest.raises(ScissionError, match=r"^here: 'n' is .*, which is no number$"):
        record(value).number("n")


@pytest.mark.parametrize("value", [0, -3, 2**63, 10**308, 0.5, math.inf])
def test_what_a_float_holds_is_a_number(value):
    assert record(value).number("n") == value
    assert isinstance(float(value), float)


@pytest.mark.parametrize("value", [10**400, 2**63, -1, True, 1.0])
def test_whole_numbers_are_bounded(value):
    with pytest.raises(ScissionError, match="which is no whole number from 0 up to 2"):
        record(value).whole("n")
    assert record(2**63 - 1).whole("n") == 2**63 - 1
