import contextlib
import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_parts import random_feed, random_parts, run_model

import scission
from scission import PartitionError, SessionError
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
    """Runs of a part that are counted, with the rows of each."""

    def __init__(self, runs):
        self.runs, self.name, self.rows = runs, runs.name, []
        self.reads, self.writes = runs.reads, runs.writes

    def run(self, fed, how):
        self.rows.append(len(next(iter(fed.values()))))
        return self.runs.run(fed, how)


def counted(parts):
    runs = tuple(map(Counted, parts.runs))
    return runs, dataclasses.replace(parts, runs=runs)


@pytest.fixture(scope="module")
def both(cut):
    """(the model, parts that are called only where they are activated, and whatever they read)"""
    model = onnx.load(cut[0])
    return model, scission.load_parts(cut[1], threads=1), scission.load_parts(cut[1], threads=1, off=None)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(1, 5), on=st.sets(st.integers(0, 2)))
def test_parts_that_are_off_make_what_they_would(both, seed, rows, on):
    model, parts, always = both
    feed = random_feed(np.random.default_rng(seed), model, rows)
    for index, part in enumerate(parts.manifest.parts):
        if index not in on:
            feed["x"][:, part.reads[0].places[1]] = 0
    assert parts.activated(feed) == tuple(f"part{index}" for index in sorted(on))
    assert always.activated(feed) == ("part0", "part1", "part2")
    assert np.allclose(parts.run(feed)["y"], always.run(feed)["y"], rtol=1e-5, atol=1e-6)


def test_only_what_is_on_is_called_and_for_the_rows_in_which_it_is(cut):
    runs, parts = counted(scission.load_parts(cut[1], threads=1, off={"x": 2.0}))
    x = np.full((5, 12), 2, np.float32)
    places = parts.manifest.parts[1].reads[0].places[1]
    x[1, places[0]] = x[3, places[1]] = 0
    first = parts.run({"x": x})
    assert [one.rows for one in runs] == [[1], [1, 2], [1]]  # what is off, once in one row
    first["y"][:] = 7  # is the caller's own
    second = parts.run({"x": x})
    assert [one.rows for one in runs] == [[1], [1, 2, 2], [1]] and (second["y"] != 7).all()
    x[:4, places] = 0
    parts.run({"x": x})
    parts.run({"x": x[:2]})
    assert [one.rows for one in runs] == [[1], [1, 2, 2, 5, 2], [1]]


def test_what_is_off_may_be_another_number_at_each_place(cut):
    off = np.arange(12, dtype=np.float32)
    runs, parts = counted(scission.load_parts(cut[1], threads=1, off={"x": off}))
    x = np.tile(off, (4, 1))
    x[2, parts.manifest.parts[0].reads[0].places[1][0]] += 1
    made = parts.run({"x": x})["y"]
    assert [one.rows for one in runs] == [[1, 1], [1], [1]]
    assert np.allclose(made, run_model(onnx.load(cut[0]), {"x": x})["y"], atol=1e-4)


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """Models of independent networks, and their parts."""
    found = []
    for seed in range(40):
        model, _ = random_parts(seed)
        with contextlib.suppress(PartitionError):
            folder = tmp_path_factory.mktemp("several") / "parts"
            scission.partition(model, folder, trials=scission.Trials(provider="cpu", threads=1))
            found.append((model, scission.load_parts(folder, threads=1)))
        if len(found) == 12:
            break
    assert len(found) == 12 and all(parts.manifest.rows for _, parts in found)
    return found


@settings(max_examples=80, deadline=None)
@given(
    which=st.integers(0, 11), seed=st.integers(0, 999), rows=st.integers(1, 6), share=st.sampled_from([0.0, 0.3, 0.8])
)
def test_rows_go_to_the_parts_that_they_activate_and_come_back_in_order(several, which, seed, rows, share):
    model, parts = several[which]
    rng = np.random.default_rng(seed)
    feed = random_feed(rng, model, rows)
    for part in parts.manifest.parts:
        dull = rng.random(rows) >= share
        for read in part.reads:
            feed[read.value][np.ix_(dull, *_all_but_the_first(read, feed[read.value].shape))] = 0
    made, expected = parts.run(feed), run_model(model, feed)
    for name, value in expected.items():
        assert made[name].shape == value.shape and made[name].dtype == value.dtype
        assert np.allclose(made[name], value, atol=1e-4 * max(1, np.abs(value).max(initial=0)))


def _all_but_the_first(share, shape):
    return [share.places.get(axis, np.arange(extent)) for axis, extent in enumerate(shape)][1:]


def test_no_rows_at_all(cut):
    made = scission.load_parts(cut[1], threads=1).run({"x": np.zeros((0, 12), np.float32)})
    assert made["y"].shape == (0, 12)


def test_threads_get_their_own_answers(cut):
    parts, model = scission.load_parts(cut[1], threads=1), onnx.load(cut[0])
    feeds = [random_feed(np.random.default_rng(seed), model, 2) for seed in range(8)]
    expected = [run_model(model, feed)["y"] for feed in feeds]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            made = list(pool.map(parts.run, feeds))
            assert all(np.allclose(one["y"], right, atol=1e-4) for one, right in zip(made, expected, strict=True))


def test_an_input_that_is_none_cannot_be_off(cut):
    with pytest.raises(SessionError, match="no input 'z'"):
        scission.load_parts(cut[1], off={"z": 0.0})
