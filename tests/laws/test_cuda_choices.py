"""What is chosen for CUDA, held to what was measured on a card; needs no GPU."""

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))

import cuda_replay
import ways

import scission

CASES = ways.by_case(ways.read())
CHOICES = cuda_replay.load_choices()


def test_the_kept_choices_are_near_the_fastest_way_and_never_slower_than_dense():
    assert CHOICES.keys() == CASES.keys() and len(CASES) == 95
    found = cuda_replay.replayed(CHOICES, CASES)
    assert sum(one.near for one in found) >= 0.95 * len(found)
    assert min(one.gain for one in found) >= cuda_replay.NO_SLOWER
    assert all(figure.met is not False for figure in cuda_replay.figures(found))


def test_a_way_that_was_not_measured_counts_as_missed():
    case = next(iter(CASES))
    (one,) = cuda_replay.replayed({case: "no such way"}, {case: CASES[case]})
    assert not one.near and one.gain == 0


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("rows", [1, 4096])
def test_the_planner_still_chooses_what_was_kept(shuffle, rows):
    case = next(c for c in CASES if (c.kind, c.size, c.dtype, c.rows) == ("single", 1024, "float16", rows))
    case = dataclasses.replace(case, shuffle=shuffle)
    plan = scission.plan(ways.single(case)[0], provider="cuda", batch=[rows])
    assert cuda_replay.way_of(plan, case) == CHOICES[case]
