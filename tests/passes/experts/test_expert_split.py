import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.experts.expert_split import ExpertError, ExpertSplit, largest


def split(**other):
    given_ = {
        "up": "u",
        "down": "v",
        "sha256": ("", ""),
        "shared": np.array([4]),
        "groups": np.array([[0, 2], [1, 3]]),
        "router": np.array([[1.0, -1.0]]),
        "offset": np.zeros(2),
        "active": 1,
    }
    return ExpertSplit(**(given_ | other))


def test_a_sample_runs_shared_units_and_those_of_its_experts():
    assert split().running(np.array([[1.0], [-1.0]])).tolist() == [
        [True, False, True, False, True],
        [False, True, False, True, True],
    ]
    assert split().unit_share == 3 / 5 and split(active=2).running(np.ones((1, 1))).all()


@given(st.integers(0, 100), st.integers(1, 5))
def test_the_largest_are_those_of_a_sort_with_the_first_of_equals(seed, count):
    scores = np.random.default_rng(seed).integers(0, 3, (4, 5))
    for row, found in zip(scores, largest(scores, count), strict=True):
        slow = sorted(range(5), key=lambda place: (-row[place], place))[:count]
        assert np.flatnonzero(found).tolist() == sorted(slow)


@pytest.mark.parametrize(
    "wrong",
    [
        {"groups": np.array([[0, 2], [1, 2]])},
        {"shared": np.array([5])},
        {"active": 0},
        {"active": 3},
        {"router": np.zeros((1, 3))},
        {"offset": np.zeros(3)},
        {"weight": np.zeros((4, 1))},
    ],
)
def test_what_does_not_belong_together_is_refused(wrong):
    with pytest.raises(ExpertError):
        split(**wrong)
