import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from races import told

from scission.runtime.measure.comparison import MARGIN, Speed
from scission.runtime.tune.winner import choose_winner

FORMS = ("a", "b", "c")


def beside_of(speeds, spread=1.005):
    """Comparisons of forms that are so many times faster than dense at each size."""
    whole = {**speeds, "dense": [1.0] * len(next(iter(speeds.values())))}

    def beside(one, other):
        return [told(mine / yours, spread) for mine, yours in zip(whole[one], whole[other], strict=True)]

    return beside


SPEEDS = st.fixed_dictionaries(
    dict.fromkeys(FORMS, st.lists(st.floats(0.3, 4).map(lambda x: round(x, 2)), min_size=2, max_size=2))
)


@given(SPEEDS, st.sampled_from((*FORMS, "dense")), st.floats(1.0, 2.0), st.booleans())
def test_whatever_wins_is_not_clearly_slower_than_dense_or_than_planned_everywhere(speeds, planned, spread, force):
    beside = beside_of(speeds, spread)
    won = choose_winner(FORMS, planned, "dense", beside, force=force).form
    if force:
        assert won != "dense"
    elif won != "dense":
        assert all(one.speed is not Speed.SLOWER for one in beside(won, "dense"))
    if won != planned and planned != "dense":  # at its slowest it is no slower than what it took the place of
        lost = any(one.speed is Speed.SLOWER for one in beside(planned, "dense"))
        slowest = {form: min(speeds[form]) if form != "dense" else 1.0 for form in (won, planned)}
        assert slowest[won] >= slowest[planned] / MARGIN or (lost and not force)


@given(SPEEDS, st.sampled_from((*FORMS, "dense")))
def test_where_nothing_is_known_it_stays_as_planned(speeds, planned):
    found = choose_winner(FORMS, planned, "dense", beside_of(speeds, 100.0))
    assert found.form == planned and not found.settled


@given(SPEEDS, st.permutations(FORMS))
def test_the_highest_of_the_lowest_speeds_wins_where_all_is_known(speeds, order):
    """The oracle takes the best by its lowest speed; ours has one that is as good within the margin of each step."""
    best = max([min(speeds[form]) for form in FORMS] + [1.0])
    found = choose_winner(order, "dense", "dense", beside_of(speeds, 1.0001))
    mine = min(speeds[found.form]) if found.form != "dense" else 1.0
    assert mine * MARGIN ** len(FORMS) >= best


@pytest.mark.parametrize("order", list(itertools.permutations(FORMS)))
def test_noise_never_chooses_two_ways_that_differ_beyond_it(order):
    rng = np.random.default_rng(0)
    truth = {"a": [2.0, 2.0], "b": [2.02, 1.99], "c": [1.2, 3.0]}
    seen = set()
    for _ in range(50):
        spread = math.exp(rng.uniform(0.001, 0.4))
        noisy = {form: [one * spread ** rng.uniform(-1, 1) for one in speeds] for form, speeds in truth.items()}
        seen.add(choose_winner(order, "a", "dense", beside_of(noisy, spread * spread)).form)
    assert seen == {"a"}


def test_what_nobody_could_run_stays_dense_or_as_forced():
    def beside(one, other):
        raise AssertionError("there is nothing to compare")

    assert choose_winner([], "a", "dense", beside).form == "dense"
    assert choose_winner([], "a", "dense", beside, force=True).form == "a"
