import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.measure.comparison import MARGIN, Comparison, Speed, compare_times

SECONDS = st.floats(1e-6, 100)


def between(low, high, pairs=50):
    return Comparison(ratio=math.sqrt(max(low, 1e-3) * min(high, 1e3)), low=low, high=high, pairs=pairs)


@pytest.mark.parametrize(
    ("low", "high", "speed"),
    [
        (1.5, 2.0, Speed.FASTER),
        (1.031, 9.0, Speed.FASTER),
        (0.5, 0.9, Speed.SLOWER),
        (0.99, 1.01, Speed.EQUAL),
        (1.0, 1.0, Speed.EQUAL),
        (1.01, 1.035, Speed.EQUAL),  # near the edge, and known as well as it ever will be
        (0.955, 0.975, Speed.EQUAL),
        (0.63, 1.80, Speed.UNMEASURABLE),
        (1.01, 1.9, Speed.UNMEASURABLE),
        (0.5, 0.98, Speed.UNMEASURABLE),
        (0.0, math.inf, Speed.UNMEASURABLE),
    ],
)
def test_what_an_interval_shows(low, high, speed):
    assert between(low, high).speed is speed and between(low, high).decided is (speed is not Speed.UNMEASURABLE)


@given(st.lists(SECONDS, min_size=1, max_size=60), st.lists(SECONDS, min_size=1, max_size=60))
def test_pairs_and_the_other_way_round(first, second):
    found, back = compare_times(first, second), compare_times(second, first)
    count = min(len(first), len(second))
    ratios = [one / other for one, other in zip(first, second, strict=False)]
    assert found.pairs == count and found.low <= found.ratio <= found.high
    assert min(ratios) * (1 - 1e-9) <= found.ratio <= max(ratios) * (1 + 1e-9)
    opposite = {Speed.FASTER: Speed.SLOWER, Speed.SLOWER: Speed.FASTER}
    for other in (back, found.reversed):
        assert other.ratio == pytest.approx(1 / found.ratio)
        assert other.speed is opposite.get(found.speed, found.speed)


def test_no_digits_are_told_that_noise_could_have_made():
    assert between(1.24, 19.53).figure == "over 1.24x" and between(0.05, 0.8).figure == "under 0.80x"
    assert between(0.63, 1.8).figure == between(0.0, math.inf).figure == "unclear"
    assert Comparison(ratio=2.25, low=2.0, high=2.4, pairs=20).figure == "2.25x"


def test_few_pairs_show_nothing_however_far_apart():
    found = compare_times([100.0] * 11, [1.0] * 11)
    assert found.speed is Speed.UNMEASURABLE and found.range == "unknown" and found.ratio == pytest.approx(100)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["high"] is None
    assert compare_times([100.0] * 12, [1.0] * 12).speed is Speed.FASTER
    with pytest.raises(ValueError, match="no pair"):
        compare_times([], [1.0])


def neighbour(rng, work, pairs, busy):
    """Seconds of two models of `work` seconds on one core that another program takes in slices of 3 ms.

    busy: the share of time it does so, in stretches of many pairs; the order of the two is drawn for each pair.
    """
    slice_, now = 3e-3, 0.0
    taken = []
    stretch = np.repeat(rng.random(pairs // 20 + 1) < busy, 20)
    for pair in range(pairs):
        order = rng.permutation(2)
        seconds = [0.0, 0.0]
        for model in order:
            own = work[model] * (1 + 0.02 * abs(rng.standard_normal()))
            stolen = slice_ * rng.poisson(own / slice_) if stretch[pair] else 0.0
            seconds[model] = own + stolen
            now += own + stolen
        taken.append(seconds)
    return np.array(taken).T


@pytest.mark.parametrize("busy", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("scale", [1e-5, 1e-3, 1e-2])
def test_beside_a_neighbour_no_verdict_contradicts_the_truth(busy, scale):
    """Equal models and one of 10 % more work, at every length of the measurement."""
    rng = np.random.default_rng(0)
    for work, wrong in (((1.0, 1.0), {Speed.FASTER, Speed.SLOWER}), ((1.1, 1.0), {Speed.SLOWER})):
        for _ in range(5):
            one, other = neighbour(rng, np.array(work) * scale, 300, busy)
            seen = {compare_times(one[:pairs], other[:pairs]).speed for pairs in range(12, 300, 12)}
            assert not seen & wrong


@pytest.mark.parametrize("busy", [0.0, 0.5])
def test_a_tenth_is_seen_in_reasonable_time_where_the_clock_is_not_drowned(busy):
    rng = np.random.default_rng(1)
    one, other = neighbour(rng, np.array([1.1, 1.0]) * 1e-4, 300, busy)
    assert compare_times(one, other).speed is Speed.FASTER
    assert compare_times(one[:60], other[:60]).ratio == pytest.approx(1.1, rel=0.03)


def test_the_margin_is_the_same_on_both_sides():
    assert between(1.0, MARGIN).speed is between(1 / MARGIN, 1.0).speed is Speed.EQUAL
