"""How much of a weight equal blocks could hold at best."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.anneal.blocks.partition_mass import kept_mass, masses, shuffled_mass


def best(energy):
    """The best two equal blocks by trying all, the larger half of rows and of columns in one block."""
    K, N = energy.shape
    found = 0.0
    for rows in combinations(range(K), (K + 1) // 2):
        for columns in combinations(range(N), (N + 1) // 2):
            left, right = np.isin(np.arange(K), rows), np.isin(np.arange(N), columns)
            found = max(found, energy[left[:, None] == right].sum())
    return found / energy.sum()


@settings(max_examples=30)
@given(st.integers(2, 7), st.integers(2, 7), st.integers(0, 1000))
def test_small_ones_come_near_the_best_and_never_above(K, N, seed):
    energy = np.random.default_rng(seed).exponential(size=(K, N))
    found, limit = kept_mass(energy), best(energy)
    assert found <= limit + 1e-6
    assert found >= 0.9 * limit


@pytest.mark.parametrize("blocks", [2, 3, 5])
def test_hidden_blocks_are_found_exactly(blocks):
    rng = np.random.default_rng(blocks)
    energy = np.kron(np.eye(blocks), np.ones((12, 20))) * rng.exponential(size=(12 * blocks, 20 * blocks))
    hidden = energy[rng.permutation(len(energy))][:, rng.permutation(energy.shape[1])]
    assert kept_mass(hidden, blocks) == pytest.approx(1)
    assert shuffled_mass(hidden, blocks) < 0.9
    assert kept_mass(hidden.T, blocks) == pytest.approx(1)


def test_noise_holds_no_more_than_its_own_shuffles_and_as_much_as_is_known():
    energy = np.random.default_rng(0).normal(size=(384, 384)) ** 2
    found = [(kept_mass(energy, blocks), shuffled_mass(energy, blocks)) for blocks in (2, 4, 8)]
    for (mass, shuffled), known in zip(found, (0.552, 0.317, 0.191), strict=True):
        assert mass == pytest.approx(known, abs=0.005)
        assert shuffled == pytest.approx(mass, abs=0.004)


def test_planted_blocks_stand_out_of_the_shuffled_entries():
    rng = np.random.default_rng(1)
    sd = np.where(np.kron(np.eye(2), np.ones((50, 40))) > 0, 1.5, 1.0)
    weight = (rng.normal(size=sd.shape) * sd)[rng.permutation(100)]
    mass, shuffled = masses(weight)
    assert mass == pytest.approx(1.5**2 / (1 + 1.5**2), abs=0.03)
    assert mass > shuffled + 0.05


def test_it_is_repeatable_and_of_no_scale():
    weight = np.random.default_rng(2).normal(size=(31, 45))
    assert masses(weight, 3) == masses(weight, 3)
    assert masses(weight * 1e-30, 3) == pytest.approx(masses(weight, 3), abs=1e-4)
    assert masses(weight * 1e200, 3) == pytest.approx(masses(weight, 3), abs=1e-4)


def test_of_a_large_weight_a_part_is_searched():
    weight = np.random.default_rng(3).normal(size=(200, 800))
    part = masses(weight, largest=50 * 200)
    assert part[0] == pytest.approx(part[1], abs=0.02)
    assert part[0] > masses(weight)[0]  # fewer entries, more to find in noise


def test_what_has_no_meaning_is_not_answered():
    assert masses(np.ones((1, 5))) is None
    assert masses(np.zeros((4, 5))) is None
    assert masses(np.array([[1, np.nan], [1, 1]])) is None
    assert masses(np.array([[1, np.inf], [1, 1]])) is None
    assert kept_mass(np.zeros((4, 4))) == 1
    assert kept_mass(np.ones((4, 4)), 1) == 1
    assert kept_mass(np.ones((4, 4))) == 0.5
    for energy, blocks, why in (
        (np.ones((2, 4)), 3, "no 3 equal blocks"),
        (np.full((4, 4), np.nan), 2, "finite"),
        (-np.ones((4, 4)), 2, "not negative"),
    ):
        with pytest.raises(ValueError, match=why):
            kept_mass(energy, blocks)
