import dataclasses

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_parts import random_feed

import scission
from scission import SessionError
from scission.runtime.serve.activation import SHAPES, OffResults, is_off


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int8", "int64", "bool"])
def test_an_array_is_off_where_every_bit_is_that_of_the_number(dtype):
    for value in (0.0, 1.0):
        array = np.full((2, 3), value, dtype)
        assert is_off(array, value) and is_off(array.T, value) and is_off(array[:, ::2], value)
        array[1, 2] = 1 - value
        assert not is_off(array, value)
    assert is_off(np.empty((0, 3), dtype), 0.0)


@pytest.mark.parametrize(
    ("array", "value"),
    [
        (np.array([0.0, -0.0]), 0.0),
        (np.array([np.nan]), 0.0),
        (np.array([0, 0], np.int8), 0.5),
        (np.array([0, 0], np.uint8), 256.0),
        (np.array([1e-9], np.float16), 1e-9),
        (np.array(["", ""], object), 0.0),
        (np.array([""]), 0.0),
        (np.zeros(2, np.complex128), 0.0),
        (np.zeros(2, np.complex64), 0.0),
        (np.array(["\0"]), 0.0),
        (np.zeros(2, "M8[s]"), 0.0),
    ],
)
def test_what_is_not_surely_off_is_on(array, value):
    assert not is_off(array, value)


def test_results_are_made_once_for_a_shape_and_only_the_last_are_kept():
    known, calls = OffResults(), []

    def ask(rows):
        return known.of({"x": np.zeros((rows, 2))}, lambda: calls.append(rows) or {"y": rows})

    assert [ask(1), ask(1), ask(2), ask(1)] == [{"y": 1}, {"y": 1}, {"y": 2}, {"y": 1}] and calls == [1, 2]
    for rows in range(3, 3 + SHAPES):
        ask(rows)
    assert len(known.kept) == SHAPES
    ask(1)
    assert calls.count(1) == 2


def test_results_for_another_type_are_others_and_large_ones_are_not_kept():
    known, calls = OffResults(), []

    def ask(dtype, size=1):
        return known.of({"x": np.zeros(2, dtype)}, lambda: calls.append(dtype) or {"y": np.zeros(size)})

    ask(np.float32), ask(np.float16), ask(np.float32)
    assert calls == [np.float32, np.float16]
    ask(np.int64, 1 << 20), ask(np.int64, 1 << 20)
    assert calls[2:] == [np.int64, np.int64]


class Counted:
    """A session that counts its calls."""

    def __init__(self, session):
        self.session, self.name, self.calls = session, session.name, 0

    def run(self, fed):
        self.calls += 1
        return self.session.run(fed)


@pytest.fixture(scope="module")
def both(cut):
    """(the model, parts that are called only where they are activated, and whatever they read)"""
    model = onnx.load(cut[0])
    return model, scission.load_parts(cut[1], threads=1), scission.load_parts(cut[1], threads=1, off=None)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(1, 5), on=st.sets(st.integers(0, 2)))
def test_parts_that_are_off_make_what_they_would_bit_by_bit(both, seed, rows, on):
    model, parts, always = both
    feed = random_feed(np.random.default_rng(seed), model, rows)
    for index, part in enumerate(parts.manifest.parts):
        if index not in on:
            feed["x"][:, part.reads[0].places[1]] = 0
    assert parts.activated(feed) == tuple(f"part{index}" for index in sorted(on))
    assert always.activated(feed) == ("part0", "part1", "part2")
    assert parts.run(feed)["y"].tobytes() == always.run(feed)["y"].tobytes()


def test_only_what_is_on_is_called(cut):
    parts = scission.load_parts(cut[1], threads=1, off={"x": 2.0})
    counted = tuple(map(Counted, parts.sessions))
    parts = dataclasses.replace(parts, sessions=counted)
    x = np.full((3, 12), 2, np.float32)
    x[1, parts.manifest.parts[1].reads[0].places[1][0]] = 0
    first = parts.run({"x": x})
    assert [one.calls for one in counted] == [1, 1, 1]
    first["y"][:] = 7  # is the caller's own
    second = parts.run({"x": x})
    assert [one.calls for one in counted] == [1, 2, 1] and (second["y"] != 7).all()


def test_an_input_that_is_none_cannot_be_off(cut):
    with pytest.raises(SessionError, match="no input 'z'"):
        scission.load_parts(cut[1], off={"z": 0.0})
