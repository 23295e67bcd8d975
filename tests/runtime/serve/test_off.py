"""What inputs hold where they are off is rounded to their types, and what none of them can hold is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission import InputError
from scission.ir.parts.manifest import PartValue
from scission.runtime.serve.activation import is_off
from scission.runtime.serve.off import off_numbers


def held(dtype, off, shape=("n", 3)):
    return off_numbers({"x": PartValue("x", dtype, shape)}, {"x": off})["x"]


@settings(max_examples=100, deadline=None)
@given(dtype=st.sampled_from(["float16", "float32", "float64", "bfloat16"]), number=st.floats(-1e4, 1e4))
def test_data_that_hold_a_number_are_off_by_it(dtype, number):
    assert is_off(np.full((2, 3), number).astype(dtype), held(dtype, number))


@settings(max_examples=100, deadline=None)
@given(dtype=st.sampled_from(["int8", "uint8", "int64", "bool"]), number=st.integers(-300, 300))
def test_whole_numbers_are_held_as_they_are_or_refused(dtype, number):
    if int(np.array(number).astype(dtype)) == number:
        assert held(dtype, number) == number
    else:
        with pytest.raises(InputError, match="give another"):
            held(dtype, number)


@pytest.mark.parametrize("off", ["a", None, 10**400, {}, [1.0, [2.0]], 1j, np.nan, [0, np.nan, 0]])
def test_what_is_no_number_is_refused(off):
    with pytest.raises(InputError, match=r"off=…: what the input 'x' holds where it is off"):
        held("float32", off)


@pytest.mark.parametrize(
    ("dtype", "off"), [("int32", 0.5), ("float16", 1e6), ("uint8", -1), ("string", 0), ("string", "masked")]
)
def test_what_the_type_has_not_is_refused(dtype, off):
    with pytest.raises(InputError, match="'x'"):
        held(dtype, off)


@pytest.mark.parametrize("shape", [(3,), (1,), (4, 3), (2, 4, 3)])
def test_arrays_line_up_with_the_last_axes(shape):
    if shape[-1] == 3 and len(shape) < 3:
        assert held("float32", np.ones(shape)).dtype == np.float32
    else:
        with pytest.raises(InputError, match="has the shape"):
            held("float32", np.ones(shape))
    assert np.shape(held("float32", np.ones(shape), None)) == shape
