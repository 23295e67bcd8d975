from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.measure.clock import Clock
from scission.runtime.measure.rounds import MOST_READINGS, WARM_UP, schedule, take_rounds
from scission.runtime.measure.sequential import least_samples


class Track:
    """Models that take told seconds, and the clock on which they do."""

    def __init__(self, seconds, name="wall"):
        self.now, self.ran = 0.0, []
        self.clock = Clock(name=name, read=lambda: self.now, limit=lambda: self.now)
        self.calls = {model: self._call(model, taken) for model, taken in seconds.items()}

    def _call(self, model, taken):
        def call():
            self.ran.append(model)
            self.now += taken

        return call


def everybody(rounds, running):
    return running


def taken(track, seconds=1.0, repeats=None, steer=everybody):
    return take_rounds(track.calls, track.clock, seconds, repeats, steer, np.random.default_rng(0))


@pytest.mark.parametrize("count", range(1, 6))
def test_every_round_runs_each_model_once_in_an_order_of_its_own(count):
    track = Track(dict.fromkeys("abcde"[:count], 0.01))
    taken(track, repeats=60)
    after = track.ran[WARM_UP * count :]
    rounds = [tuple(after[start : start + count]) for start in range(0, len(after), count)]
    assert len(rounds) == 60 and all(sorted(one) == list("abcde"[:count]) for one in rounds)
    first = Counter(one[0] for one in rounds)
    assert set(first) == set("abcde"[:count]) and min(first.values()) > 60 / count / 3


def test_a_round_of_two_passes_goes_back_the_way_it_came():
    track = Track(dict.fromkeys("abc", 0.001))
    found = taken(track)
    after = track.ran[3 * WARM_UP :]
    rounds = [after[start : start + 6] for start in range(0, len(after), 6)]
    assert all(one == one[::-1] and len(set(one[:3])) == 3 for one in rounds)
    assert len(found.rounds["a"]) == len(rounds) >= 160 and len(found.readings["a"]) == 2 * len(rounds)


def test_of_a_round_the_fastest_reading_counts_and_all_are_kept():
    seconds = iter([1e-3] * 6 + [5e-3, 1e-3, 1e-3, 9e-3] * 10_000)
    now = [0.0]

    def call():
        now[0] += next(seconds)

    clock = Clock(name="wall", read=lambda: now[0], limit=lambda: now[0])
    found = take_rounds({"a": call, "b": call}, clock, 1.0, None, everybody, np.random.default_rng(0))
    assert set(np.round(found.rounds["a"], 6)) == {5e-3, 1e-3} == set(np.round(found.rounds["b"], 6)) - {9e-3}
    assert len(found.readings["a"]) == 2 * len(found.rounds["a"])


def test_no_model_always_follows_the_same_one():
    track = Track(dict.fromkeys("abcd", 0.01))
    taken(track, repeats=40)
    pairs = {(one, other) for one, other in pairwise(track.ran[4 * WARM_UP :]) if one != other}
    assert len(pairs) == 4 * 3


@given(st.dictionaries(st.sampled_from("abcd"), st.floats(1e-7, 100), min_size=1), st.floats(0.01, 100))
def test_a_schedule_keeps_to_the_time(seconds, limit):
    cost = 1e-6
    found = schedule(seconds, limit, cost)
    own = {name: max(one - cost, cost / 20) for name, one in seconds.items()}
    once = sum(found.runs[name] * one for name, one in own.items())
    assert 1 <= found.readings <= MOST_READINGS and (found.passes == 2 or found.readings == 1)
    assert found.passes == 1 or found.passes * once * found.readings * least_samples() <= limit * 1.01
    assert all(found.runs[name] * one >= 20 * cost * (1 - 1e-6) for name, one in own.items())


def test_what_the_clock_costs_is_no_part_of_a_reading():
    now = [0.0]

    def read():
        now[0] += 1e-5
        return now[0]

    def call():
        now[0] += 1e-6

    clock = Clock(name="cpu", read=read, limit=lambda: now[0])
    found = take_rounds({"a": call, "b": call}, clock, 1.0, None, everybody, np.random.default_rng(0))
    assert np.median(found.rounds["a"]) == pytest.approx(1e-6, rel=0.12)


def test_who_is_not_steered_on_has_fewer_rounds_and_one_alone_is_no_race():
    track = Track({"a": 0.1, "b": 0.1, "c": 0.1})
    found = taken(track, repeats=30, steer=lambda rounds, running: ["a", "b"])
    assert {name: len(one) for name, one in found.rounds.items()} == {"a": 30, "b": 30, "c": least_samples()}
    found = taken(track, repeats=30, steer=lambda rounds, running: ["a"])
    assert len(found.rounds["a"]) == least_samples()


def test_slow_models_run_as_often_as_an_interval_needs():
    track = Track({"a": 5.0, "b": 7.0})
    found = taken(track, seconds=1.0)
    assert len(found.rounds["a"]) == len(found.rounds["b"]) == least_samples()
    assert len(track.ran) == 2 * (1 + least_samples())


@pytest.mark.parametrize(("each", "rounds"), [(1.0, least_samples()), (40.0, 4), (1000.0, 1)])
def test_slow_models_are_left_after_a_while(each, rounds):
    """Once it is late, what was begun is the last."""
    track = Track({"a": each, "b": each})
    assert len(taken(track).rounds["a"]) == rounds
    assert len(taken(Track({"a": each, "b": each}), repeats=7).rounds["b"]) == 7
