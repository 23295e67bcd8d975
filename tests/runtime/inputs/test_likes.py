"""What is drawn for a word is like what the word says, in every shape and type and in every trial."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.runtime.inputs.likes import LIKES, Seen, liked

SHAPES = st.lists(st.integers(0, 5), max_size=4).map(tuple)
TYPES = st.sampled_from(["bool", "uint8", "int8", "int32", "int64", "float16", "float32", "float64"])
TABLES = st.integers(1, 100)


@st.composite
def drawn(draw):
    """A value as it was drawn for a table of so many rows, and that number."""
    shape, dtype, rows, seed = draw(SHAPES), draw(TYPES), draw(TABLES), draw(st.integers(0, 99))
    return np.random.default_rng(seed).integers(0, rows, shape).astype(dtype), rows


@settings(max_examples=300, deadline=None)
@given(drawn(), st.sampled_from(LIKES), st.integers(0, 6), st.integers(1, 40))
def test_shape_and_type_stay_and_so_do_tables(value, like, trial, top):
    array, rows = value
    seen = Seen(trial=trial, top=top, bound=(0, rows), picture=(6, 9))
    made = liked(array, like, np.random.default_rng(trial), seen)
    assert made.shape == array.shape and made.dtype == array.dtype
    if like in ("tokens", "positions") and array.dtype != bool:
        assert ((made >= 0) & (made < rows)).all()
    if like in ("mask", "ones", "zeros"):
        assert np.isin(made, (0, 1)).all()
    if like in ("image", "audio") and made.dtype.kind == "f":
        assert (made >= (0 if like == "image" else -1)).all() and (made <= 1).all()
    if like == "extents" and array.dtype != bool:
        assert np.isin(made, (6, 9)).all()
    if like == "lengths" and made.size and array.dtype != bool:
        assert made.min() >= 1 and made.max() == made.reshape(-1)[0] == top


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 4), st.integers(1, 30), st.integers(0, 9), st.integers(1, 60))
def test_positions_follow_one_another_first_from_the_beginning_then_up_to_the_end(batch, count, trial, rows):
    array = np.zeros((batch, count), np.int64)
    made = liked(array, "positions", np.random.default_rng(trial), Seen(trial=trial, bound=(0, rows)))
    steps = np.diff(made)
    assert (steps == 1).all() if count <= rows else np.isin(steps, (0, 1)).all()
    assert trial != 0 or (made[:, 0] == 0).all()
    assert trial != 1 or (made[:, -1] == rows - 1).all()


def test_a_mask_shows_all_then_hides_single_entries_and_ends():
    rng, array = np.random.default_rng(0), np.zeros((4, 20), np.int64)
    masks = [liked(array, "mask", rng, Seen(trial=trial)) for trial in range(4)]
    assert masks[0].all()
    assert all(not one.all() and (one[:, 0] == 1).all() for one in masks[1:])
    assert (np.diff(masks[3]) <= 0).all()  # what is hidden is at the end


@pytest.mark.parametrize(("dtype", "low", "high"), [("uint8", 250, 255), ("float32", 0.9, 1)])
def test_a_picture_has_bright_pixels(dtype, low, high):
    made = liked(np.zeros((1, 3, 32, 32), dtype), "image", np.random.default_rng(0), Seen(trial=0))
    assert low <= made.max() <= high and made.min() <= 0.1 * high
