import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.findings.level_sweep import OperatorLevel, summarise
from scission.runtime.calibrate.continuity import FLOOR, NAMED, TYPICAL, effect, jumps


def operator(node, kept=0.5, components=1, shape=(10, 10)):
    values = {"confirmed": 0.1, "giant": 1.0, "dormant": 0, "mac_share": 1.0}
    return OperatorLevel(node=node, shape=shape, kept=kept, components=components, **values)


def levels_of(metrics, operators=None, **fixed):
    """One level for each metric; operators: of each level."""
    found = operators or [[operator("a")] for _ in metrics]
    return [
        summarise(10.0**-place, each, metric=metric, deviation=fixed.get("deviation", 0.0))
        for place, (metric, each) in enumerate(zip(metrics, found, strict=True))
    ]


def places(levels, **options):
    at = {result.level: place for place, result in enumerate(levels)}
    found = jumps(levels, **options)
    assert all(at[jump.level_to] == at[jump.level_from] + 1 for jump in found)
    return [at[jump.level_to] for jump in found]


@given(st.floats(-1, 1), st.floats(-0.2, 0.2), st.integers(1, 12))
def test_a_ramp_has_no_jump(start, slope, count):
    ramp = [start + slope * place for place in range(count)]
    assert places(levels_of(ramp)) == [] and places(levels_of(ramp), span=None) == []


@given(st.integers(3, 12), st.data(), st.floats(0.02, 1), st.sampled_from([1, -1]))
def test_a_step_is_one_jump_where_it_is(count, data, height, sign):
    at = data.draw(st.integers(1, count - 1))
    step = [sign * height * (place >= at) for place in range(count)]
    assert places(levels_of(step)) == [at] and places(levels_of(step), span=None) == [at]
    (jump,) = jumps(levels_of(step))
    assert jump.change == pytest.approx(height) and jump.threshold == FLOOR


@given(st.lists(st.integers(-100, 100), min_size=3, max_size=9))
def test_jumps_are_what_the_definition_says(hundredths):
    metrics = [value / 128 for value in hundredths]  # exact in binary
    changes = [abs(b - a) for a, b in itertools.pairwise(metrics)]
    expected = []
    for place, change in enumerate(changes):
        others = sorted(changes[:place] + changes[place + 1 :])
        half = len(others) // 2
        median = others[half] if len(others) % 2 else (others[half - 1] + others[half]) / 2
        if change > TYPICAL * median and change > FLOOR:
            expected.append(place + 1)
    assert places(levels_of(metrics)) == expected


@given(st.lists(st.integers(-64, 64), min_size=2, max_size=9), st.sampled_from([-4, 0.125, 1024]))
def test_a_metric_without_a_fixed_span_has_the_same_jumps_in_any_unit(values, unit):
    assert places(levels_of([float(v) for v in values]), span=None) == places(
        levels_of([v * unit for v in values]), span=None
    )


def test_small_changes_are_no_jumps_however_even_the_others_are():
    assert places(levels_of([0.9, 0.9, 0.9, 0.9 - FLOOR * 0.9])) == []
    assert places(levels_of([0.9, 0.9, 0.9, 0.9 - FLOOR * 1.1])) == [3]
    assert places(levels_of([90, 90, 90, 90 - 0.5]), span=None) == []
    assert places(levels_of([90, 90, 90, 90 - 0.5]), span=1.0) == [3]


def test_nothing_is_typical_of_two_levels():
    assert places(levels_of([1.0, 0.0])) == [] and jumps(()) == () and places(levels_of([1.0])) == []


@pytest.mark.parametrize("lost", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_lost_is_a_jump_and_stays_none(lost):
    assert places(levels_of([0.5, lost])) == [1]
    assert places(levels_of([0.5, 0.5, lost, lost])) == [2]
    assert places(levels_of([0.5, lost, 0.5]), span=None) == [1, 2]


def test_without_a_metric_at_every_level_the_deviation_decides():
    levels = levels_of([1.0, 1.0, None, 1.0])
    levels[2] = dataclasses.replace(levels[2], deviation=0.5)
    levels[3] = dataclasses.replace(levels[3], deviation=0.5)
    assert places(levels) == [2] and places(levels, span=None) == [2]


def test_the_operators_that_changed_most_are_named():
    before = [operator("same"), operator("small", 0.9, shape=(2, 2)), operator("big", 0.9, shape=(50, 50))]
    before += [operator("wide", 0.6, shape=(40, 40)), operator("split", 0.5), operator("gone")]
    after = [operator("same"), operator("small", 0.1, shape=(2, 2)), operator("big", 0.8, shape=(50, 50))]
    after += [operator("wide", 0.5, shape=(40, 40)), operator("split", 0.5, components=4), operator("new")]
    (jump,) = jumps(levels_of([1, 1, 0, 0], [before, before, after, after]))
    assert jump.operators == ("big", "wide", "small") and len(jump.operators) == NAMED
    (jump,) = jumps(levels_of([1, 1, 0, 0], [before, before, after, after]), operator_effect=lambda a, b: 0.0)
    assert jump.operators == ("split",)
    assert effect(before[2], after[2]) == pytest.approx(250)
    (jump,) = jumps(levels_of([1, 1, 0, 0]))
    assert jump.operators == ()


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(1, 3)), min_size=1, max_size=6), st.randoms()
)
def test_the_order_of_the_operators_does_not_matter(changes, random):
    before = [operator(f"n{k}", a / 4, c) for k, (a, _, c) in enumerate(changes)]
    after = [operator(f"n{k}", b / 4, 1) for k, (_, b, _) in enumerate(changes)]
    found = jumps(levels_of([1, 1, 0, 0], [before, before, after, after]))
    random.shuffle(before)
    random.shuffle(after)
    assert jumps(levels_of([1, 1, 0, 0], [before, before, after, after])) == found and len(found) == 1
