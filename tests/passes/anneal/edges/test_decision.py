import numpy as np
import pytest
import torch

from scission.passes.anneal.edges.decision import (
    AnnealError,
    band_notes,
    beside,
    check_level,
    confirmed_share,
    intersection,
    percolation_notes,
)
from scission.passes.anneal.edges.random_walk import Band

MASKS = np.array([[True, True], [False, True]]), np.array([[True, False], [True, True]])


@pytest.mark.parametrize("level", [0, 1, -0.1, float("nan")])
def test_levels_that_are_none(level):
    with pytest.raises(AnnealError, match="between 0 and 1"):
        check_level(level, "none")


def test_an_unknown_correction():
    check_level(0.5, "bonferroni")
    with pytest.raises(AnnealError, match="unknown correction 'holm'"):
        check_level(0.5, "holm")


def test_noise_percolates_from_one_over_the_root_of_the_entries_on():
    assert percolation_notes("none", 0.0099, 10_000, (100, 100)) == ()
    (note,) = percolation_notes("none", 0.01, 10_000, (100, 100))
    assert "100 false edges are expected, and from 100 on they join everything" in note
    assert "share of false edges" in percolation_notes("benjamini-hochberg", 1e-9, 10_000, (100, 100))[0]


def test_masks_meet_where_the_first_lies():
    one, other = MASKS
    expected = one & other
    assert (intersection(one, other) == expected).all()
    assert (intersection(torch.from_numpy(one), other).numpy() == expected).all()
    assert isinstance(beside(torch.from_numpy(one), other), torch.Tensor) and beside(one, other) is other
    assert confirmed_share(one) == confirmed_share(torch.from_numpy(one)) == 0.75


def test_a_band_that_never_held_is_noted():
    band = {"width": 0.0, "suppressed": 0, "random": 0, "preferred": 1}
    assert band_notes(Band(held=True, windows=3, **band)) == ()
    assert "never held" in band_notes(Band(held=False, windows=3, **band))[0]
    assert "too few entries" in band_notes(Band(held=False, windows=0, **band))[0]
