"""Places are taken and put as indices would take and put them one at a time."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission import SessionError
from scission.ir.parts.share import share_of, whole
from scission.runtime.serve.windows import window_of


def of(places, axis, size):
    return share_of("v", {axis: np.isin(np.arange(size), places)})


@settings(max_examples=80, deadline=None)
@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), seed=st.integers(0, 99))
def test_what_is_taken_and_put_back_is_where_it_was(data, shape, seed):
    axis = data.draw(st.integers(0, len(shape) - 1))
    places = sorted(data.draw(st.sets(st.integers(0, shape[axis] - 1), min_size=1)))
    window = window_of(of(places, axis, shape[axis]))
    array = np.random.default_rng(seed).standard_normal(shape)
    taken = window.taken({"v": array}, "p")
    there = {"v": np.zeros(shape)}
    window.put(taken, there, "p")
    for index in itertools.product(*map(range, shape)):
        assert there["v"][index] == (array[index] if index[axis] in places else 0)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=2, max_size=4).map(tuple), seed=st.integers(0, 99))
def test_some_rows_are_put_where_they_belong(data, shape, seed):
    axis = data.draw(st.integers(1, len(shape) - 1))
    places = sorted(data.draw(st.sets(st.integers(0, shape[axis] - 1), min_size=1)))
    rows = sorted(data.draw(st.sets(st.integers(0, shape[0] - 1), min_size=1)))
    share = whole("v") if data.draw(st.booleans()) else of(places, axis, shape[axis])
    array = np.random.default_rng(seed).standard_normal(shape)
    there = {"v": np.zeros(shape)}
    window = window_of(share)
    window.put(share.of(array)[rows], there, "p", np.array(rows))
    for index in itertools.product(*map(range, shape)):
        here = index[0] in rows and (share.is_whole or index[axis] in places)
        assert there["v"][index] == (array[index] if here else 0)


def test_one_row_is_put_in_all():
    there = {}
    window_of(of([0, 2], 1, 3)).put(np.array([[1.0, 2.0]]), there, "p", 4)
    window_of(of([1], 1, 3)).put(np.array([[5.0]]), there, "p", 4)
    assert there["v"].tolist() == [[1, 5, 2]] * 4


@pytest.mark.parametrize("made", [np.zeros((2, 3)), np.zeros(2), np.zeros((4, 2)), np.zeros((2, 2), np.float32)])
def test_what_does_not_fit_is_refused(made):
    there = {"v": np.zeros((2, 4))}
    with pytest.raises(SessionError, match="p: 'v'"):
        window_of(of([0, 2], 1, 4)).put(made, there, "p")


def test_what_is_missing_or_cut_twice_is_refused():
    twice = share_of("v", {0: np.array([True, False]), 1: np.array([True, False])})
    with pytest.raises(SessionError, match="no value for the input 'v'"):
        window_of(whole("v")).taken({}, "p")
    with pytest.raises(SessionError, match="several axes"):
        window_of(twice).put(np.zeros((1, 1)), {}, "p")
    array = np.arange(4.0).reshape(2, 2)
    assert window_of(twice).taken({"v": array}, "p").tolist() == [[0]]
