import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.experts.grouping import balanced_groups, coactivation


def loss(points, groups):
    return sum(((points[list(group)] - points[list(group)].mean(0)) ** 2).sum() for group in groups)


@given(st.integers(0, 1000), st.integers(1, 5), st.integers(1, 6))
def test_each_unit_is_in_one_group_of_the_one_size(seed, count, size):
    points = np.random.default_rng(seed).standard_normal((count * size, 3))
    groups = balanced_groups(points, count, np.random.default_rng(seed))
    assert groups.shape == (count, size) and sorted(groups.ravel().tolist()) == list(range(count * size))
    assert np.array_equal(groups, balanced_groups(points, count, np.random.default_rng(seed)))


@given(st.integers(0, 200))
def test_groups_far_apart_are_found_as_all_partitions_tried_would(seed):
    rng = np.random.default_rng(seed)
    points = np.array([[0.0, 0], [10, 0]])[rng.permutation([0, 0, 0, 1, 1, 1])] + rng.standard_normal((6, 2))
    every = [(half, sorted({*range(6)} - {*half})) for half in itertools.combinations(range(6), 3)]
    best = min(loss(points, groups) for groups in every)
    assert loss(points, balanced_groups(points, 2, rng)) == pytest.approx(best)


def test_units_that_are_active_together_are_near_one_another():
    rng = np.random.default_rng(0)
    owner = rng.permutation(np.repeat(np.arange(4), 5))
    active = rng.integers(4, size=300)[:, None] == owner
    groups = balanced_groups(coactivation(active), 4, rng)
    assert sorted(np.unique(owner[group]).size for group in groups) == [1] * 4


def test_what_does_not_divide_is_refused():
    with pytest.raises(ValueError, match="one size"):
        balanced_groups(np.zeros((5, 1)), 2, np.random.default_rng(0))
