import math

import numpy as np
import pytest
from block_partitions import drawn, inside_of, partition, planted
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scission.ir.evidence.null import Null
from scission.passes.anneal.blocks.certificate import ACCEPTED
from scission.passes.anneal.blocks.folds import (
    HELD,
    SAME,
    Fold,
    cross_fit,
    existence,
    fewest_entries,
    held_out,
    held_out_blocks,
    together,
)
from scission.passes.cocluster.coclustering import cocluster, same_block, strips, without
from scission.passes.cocluster.energies import CAP, energies

CLEAR = 1e-3  # what a test of fit may say of p-values drawn with a fixed seed
UNIT = Null(family="normal", scale=1, source="test")
SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
def test_same_block_is_one_block_and_strips_are_all_rows(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 30, 2))
    found = drawn(rng, shape, 3, -1)
    pieces = [same_block(found, rows) for rows in strips(np.zeros(shape))]
    assert np.array_equal(np.concatenate(pieces), inside_of(found))
    wide = np.broadcast_to(np.float32(0), (5, 1 << 20))
    assert [(rows.start, rows.stop) for rows in strips(wide)] == [(i, i + 1) for i in range(5)]


# All blocks together.


def test_held_out_p_values_are_uniform_whatever_partition_was_fixed_before():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(400):
        energy = energies(rng.standard_normal((40, 50)), UNIT)
        found.append(held_out(energy, rng.random(energy.shape) < 0.3, drawn(rng, energy.shape)))
    assert stats.kstest(found, "uniform").pvalue > CLEAR


def test_held_out_p_value_is_that_of_shuffling_the_entries():
    rng = np.random.default_rng(2)
    for signal in (0.0, 0.15, 0.3):
        weight, found = planted(3, 40, 2, signal)
        energy = energies(weight, UNIT)
        held = rng.random(energy.shape) < 0.4
        values, own = energy[held], inside_of(found)[held]
        shuffled = [rng.permutation(values)[own].mean() for _ in range(4000)]
        p = np.mean(np.array(shuffled) >= values[own].mean())
        assert held_out(energy, held, found) == pytest.approx(p, abs=0.03)


def test_held_out_entries_all_inside_or_all_outside_say_nothing():
    energy = energies(np.random.default_rng(0).standard_normal((6, 8)), UNIT)
    everything = np.ones(energy.shape, bool)
    found = partition(np.arange(6) % 2, np.arange(8) % 2)
    assert held_out(energy, inside_of(found), found) == 1
    assert held_out(energy, ~inside_of(found), found) == 1
    assert held_out(energy, ~everything, found) == 1
    assert held_out(energy, everything, cocluster(energy[:1], np.random.default_rng(0))) == 1
    assert held_out_blocks(energy, inside_of(found), found).tolist() == [1, 1]
    assert held_out_blocks(energy, ~inside_of(found), found).tolist() == [1, 1]


def test_cross_fitting_finds_nothing_in_noise_and_something_in_blocks():
    rng = np.random.default_rng(4)
    noise = [together(cross_fit(energies(rng.standard_normal((90, 90)), UNIT), seed)) for seed in range(40)]
    assert np.mean(np.array(noise) <= 0.05) <= 0.1
    assert min(noise) > ACCEPTED
    assert all(together(cross_fit(energies(planted(seed)[0], UNIT), seed)) < 1e-12 for seed in range(5))
    first, second = (cross_fit(energies(planted()[0], UNIT), 3) for _ in range(2))
    assert [fold.split for fold in first] == [fold.split for fold in second]
    assert all(np.array_equal(one.blocks, other.blocks) for one, other in zip(first, second, strict=True))


# Each block on its own.


def slow_blocks(energy, held, found):
    """The p-value of each block, from its entries one by one."""
    own = inside_of(found)
    outside = energy[held & ~own].astype(float)
    p = []
    for block in range(found.count):
        at = [(k, n) for k, n in np.argwhere(held & own) if found.inputs[k] == block]
        values = np.array([float(energy[k, n]) for k, n in at])
        if not values.size:
            p.append(1.0)
            continue
        exact = stats.chi2.sf(values.sum() / outside.mean(), values.size)
        error = math.sqrt(outside.var() * (1 / values.size + 1 / outside.size))
        p.append(min(1.0, found.count * max(exact, stats.norm.sf((values.mean() - outside.mean()) / error))))
    return p


@given(SEEDS)
def test_the_p_value_of_a_block_is_what_its_words_say(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(8, 20, 2))
    found = drawn(rng, shape, int(rng.integers(2, 5)), -1)
    energy = energies(rng.standard_normal(shape) * np.where(inside_of(found), 2, 1), UNIT)
    held = rng.random(shape) < 0.4
    if (held & ~inside_of(found)).any():
        assert held_out_blocks(energy, held, found) == pytest.approx(slow_blocks(energy, held, found), rel=1e-6)


@pytest.mark.parametrize(
    "draw", [np.random.Generator.standard_normal, lambda rng, shape: 3 * rng.uniform(-1, 1, shape)]
)
def test_a_block_of_noise_is_confirmed_no_more_often_than_the_level_whatever_its_size(draw):
    rng = np.random.default_rng(5)
    rates = {0.05: 0, 0.01: 0}
    for _ in range(600):
        weight = draw(rng, (40, 50))
        inputs, outputs = np.full(40, -1), np.full(50, -1)
        inputs[:2], outputs[:3], inputs[2:4], outputs[3:4], inputs[4:20], outputs[4:30] = 0, 0, 1, 1, 2, 2
        found = held_out_blocks(energies(weight, UNIT), rng.random(weight.shape) < HELD, partition(inputs, outputs))
        for level in rates:
            rates[level] += bool(found.min() <= level)
    assert rates[0.05] <= 0.05 * 600 + 3 * math.sqrt(0.05 * 600)
    assert rates[0.01] <= 0.01 * 600 + 3 * math.sqrt(0.01 * 600)


def slow_existence(folds, found):
    """Blocks compared as sets of entries."""

    def entries(part, block):
        pairs = np.argwhere((part.inputs[:, None] == block) & (part.outputs[None, :] == block))
        return {(int(k), int(n)) for k, n in pairs}

    rows = []
    for fold in folds:
        p = [1.0] * found.count
        theirs = [entries(fold.partition, block) for block in range(fold.partition.count)]
        for block in range(found.count if fold.partition.count > 1 else 0):
            mine = entries(found, block)
            for other, p_other in zip(theirs, fold.blocks, strict=True):
                if len(mine & other) > SAME * len(mine | other):
                    p[block] = p_other
        rows.append(p)
    return [min(1.0, 2 * sorted(column)[len(folds) // 2]) for column in zip(*rows, strict=True)]


@given(SEEDS)
def test_a_block_exists_by_the_evidence_for_the_same_block_in_most_folds(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(6, 12, 2))
    found = drawn(rng, shape, 3, -1)
    folds = []
    for _ in range(3):
        other = partition(
            *(np.where(rng.random(labels.size) < 0.1, 0, labels) for labels in (found.inputs, found.outputs))
        )
        folds.append(Fold(partition=other, split=0.5, blocks=rng.random(other.count)))
    assert existence(folds, found) == pytest.approx(slow_existence(folds, found))


def test_real_blocks_exist_and_pieces_of_nothing_do_not():
    weight, true = planted(1, signal=2)
    folds = cross_fit(energies(weight, UNIT))
    assert (existence(folds, true) < ACCEPTED).all()
    inputs, outputs = true.inputs.copy(), true.outputs.copy()
    inputs[:2], outputs[:1] = true.count, true.count  # 2x1, cut out of whatever is there
    found = existence(folds, partition(inputs, outputs))
    assert (found[:-1] < ACCEPTED).all() and found[-1] == 1


def test_below_the_fewest_entries_no_energies_would_confirm_a_block_and_from_there_on_the_largest_do():
    for level in (1e-2, 1e-3, 1e-6):
        for blocks in (2, 8, 64):
            held = round(HELD * fewest_entries(level, blocks))
            assert 2 * blocks * stats.chi2.sf(CAP * held, held) <= level
            assert 2 * blocks * stats.chi2.sf(CAP * (held - 1), held - 1) > level or held == 1


@settings(max_examples=20)
@given(SEEDS)
def test_the_features_of_a_block_that_is_taken_apart_go_home(seed):
    weight, true = planted(seed % 1000, 90)
    rng = np.random.default_rng(seed)
    inputs, outputs = true.inputs.copy(), true.outputs.copy()
    inputs[rng.choice(90, 2, replace=False)] = outputs[rng.choice(90, 3, replace=False)] = true.count
    extra = np.arange(true.count + 1) == true.count
    left = without(energies(weight, UNIT), partition(inputs, outputs), extra)
    assert left.count == true.count
    assert np.array_equal(left.inputs, true.inputs) and np.array_equal(left.outputs, true.outputs)
