"""Pieces that are gathered are one after another, in whatever number they come, and what does not go on is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.calibrate.sources.columns import PIECES, Gathered, Room, label_name
from scission.runtime.inputs.inputs import InputError
from scission.runtime.ort.memory import NoMemoryError


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12))
def test_pieces_are_one_after_another(sizes):
    gathered, whole = Gathered("d", Room(None)), np.arange(2 * sum(sizes)).reshape(-1, 2)
    for end, size in zip(np.cumsum(sizes), sizes, strict=True):
        gathered.add({"x": whole[end - size : end]}, f"line {end}")
    np.testing.assert_array_equal(gathered.columns(typed=True).arrays["x"], whole)


def test_a_great_many_samples_keep_their_order():
    gathered, count = Gathered("d", Room(None)), 3 * PIECES + 5
    for number in range(count):
        gathered.add({"x": np.array([number])}, f"sample {number}")
    assert gathered.columns(typed=False).arrays["x"].tolist() == [*range(count)]


@pytest.mark.parametrize(
    ("piece", "told"),
    [
        ({"x": np.zeros((1, 3))}, r"d: line 9: 'x' has shape \(3,\), and that of the first sample \(2,\)"),
        ({"y": np.zeros((1, 2))}, r"d: line 9 holds \['y'\], and the first sample \['x'\]"),
        ({"x": np.array([["a", "b"]])}, "d: line 9: 'x' is <U1, and the first sample float64"),
    ],
)
def test_what_does_not_go_on_is_refused(piece, told):
    gathered = Gathered("d", Room(None))
    gathered.add({"x": np.zeros((1, 2))}, "line 8")
    with pytest.raises(InputError, match=told):
        gathered.add(piece, "line 9")


def test_memory_is_bounded_before_it_is_taken():
    gathered = Gathered("d", Room(1000))
    gathered.add({"x": np.zeros((50, 2))}, "line 1")
    with pytest.raises(NoMemoryError, match=r"d holds .* or more and .* may be used"):
        gathered.add({"x": np.zeros((50, 2))}, "line 51")


def test_labels_without_a_name_take_no_name_of_an_input():
    assert (label_name(["x"]), label_name(["labels"]), label_name(["labels", "y"])) == ("labels", "y", "label")
    assert label_name(["labels", "y", "label", "target"]) == "the labels"
