"""What is wished of inputs: one says what another leaves open, and what cannot be is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.runtime.inputs.drawing import draw_feed
from scission.runtime.inputs.inputs import InputError
from scission.runtime.inputs.likes import LIKES
from scission.runtime.inputs.wishes import Wishes
from scission.runtime.ort.tensor_spec import TensorSpec, numpy_dtype
from scission.runtime.ort.trials import Trials, TrialsError

NAMES = st.sampled_from("abcde")
SAID = st.dictionaries(
    NAMES,
    st.one_of(
        st.tuples(st.just("values"), st.just((1, 2))),
        st.tuples(st.just("ranges"), st.just((0.0, 3.0))),
        st.tuples(st.just("likes"), st.sampled_from(LIKES)),
    ),
)
TYPES = ["uint8", "int8", "int32", "int64", "float16", "float32", "float64"]


def wishes(said):
    return Wishes(
        **{kind: {name: one for name, (word, one) in said.items() if word == kind} for kind in Wishes.__slots__}
    )


@given(SAID, SAID)
def test_what_is_said_goes_over_another_input_by_input(one, other):
    assert wishes(one).over(wishes(other)) == wishes({**other, **one})


@given(SAID, st.sets(NAMES))
def test_nothing_is_left_of_inputs_that_are_taken_away(said, names):
    found = wishes(said).without(names)
    assert found == wishes({name: one for name, one in said.items() if name not in names})
    assert all(found.only(name).named == {name} for name in found.named)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(TYPES),
    st.lists(st.integers(1, 4), max_size=3).map(tuple),
    st.floats(-1e5, 1e5),
    st.floats(0, 1e5),
    st.integers(0, 5),
)
def test_ranges_hold_what_they_say_both_ends_first(dtype, shape, low, width, trial):
    spec = [TensorSpec(name="x", dtype=dtype, shape=shape)]
    wished, kind = Wishes(ranges={"x": (low, low + width)}), numpy_dtype(dtype)
    limits = np.iinfo(kind) if kind.kind in "iu" else np.finfo(kind)
    empty = kind.kind in "iu" and math.ceil(low) > math.floor(low + width)
    if empty or low < int(limits.min) or low + width > int(limits.max):
        with pytest.raises(InputError, match="'x'"):
            wished.require(spec)
        return
    wished.require(spec)
    made = draw_feed(spec, np.random.default_rng(0), {}, trial=trial, wishes=wished)["x"]
    first, last = (math.ceil(low), math.floor(low + width)) if kind.kind in "iu" else (low, low + width)
    assert made.dtype == kind and made.shape == shape
    assert (made >= kind.type(first)).all() and (made <= kind.type(last)).all()
    assert trial != 0 or made.reshape(-1)[-1] == kind.type(last) or made.reshape(-1)[0] == kind.type(last)
    assert trial != 1 or kind.type(first) in made


@pytest.mark.parametrize("bounds", [(math.nan, 1), (2, 1), (0, math.inf), (-math.inf, 0), (-1e308, 1e308)])
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
def test_a_range_without_numbers_is_refused(bounds, dtype):
    spec = [TensorSpec(name="x", dtype=dtype, shape=("n",))]
    with pytest.raises(InputError, match="'x'"):
        Wishes(ranges={"x": bounds}).require(spec)


@pytest.mark.parametrize(
    "both",
    [
        {"values": {"x": 1}, "ranges": {"x": (0, 1)}},
        {"values": {"x": 1}, "likes": {"x": "ones"}},
        {"ranges": {"x": (0, 1)}, "likes": {"x": "ones"}},
    ],
)
def test_two_wishes_of_one_input_are_refused(both):
    with pytest.raises(TrialsError, match="'x' is given by both"):
        Trials(**both)
