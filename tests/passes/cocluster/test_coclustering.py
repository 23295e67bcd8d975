import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from scission.ir.evidence.null import Null
from scission.passes.cocluster.coclustering import Partition, cocluster, masses, membership
from scission.passes.cocluster.energies import energies

UNIT = Null(family="normal", scale=1, source="test")
SIDES = st.integers(24, 64)  # entries that tell where a feature belongs, so that none can be doubtful


def planted(rng, sizes, signal, dormant=(0, 0)):
    """(Weight, block of every row, of every column), in random order; N(0, 1) everywhere, more inside the blocks."""
    labels = [
        rng.permutation(np.repeat(np.arange(-1, len(sizes)), [free, *side]))
        for side, free in zip(zip(*sizes, strict=True), dormant, strict=True)
    ]
    rows, columns = labels
    inside = (rows[:, None] == columns) & (rows[:, None] >= 0)
    return rng.standard_normal(inside.shape) * np.where(inside, math.hypot(1, signal), 1), rows, columns


def search(weight, seed=0, known=None):
    energy = energies(weight, UNIT)
    return cocluster(energy if known is None else energy * known, np.random.default_rng(seed), known)


def agreement(found: Partition, rows, columns) -> float:
    """Adjusted Rand index over all features; one that is in no block is one of its own."""
    both = [np.concatenate(pair) for pair in ((rows, columns), (found.inputs, found.outputs))]
    return adjusted_rand_score(*(np.where(one < 0, -1 - np.arange(one.size), one) for one in both))


@settings(max_examples=30)
@given(st.lists(st.tuples(SIDES, SIDES), min_size=2, max_size=5), st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_strong_blocks_of_any_sizes_are_found_exactly(sizes, dormant):
    weight, rows, columns = planted(np.random.default_rng(len(sizes)), sizes, 8, dormant)
    found = search(weight)
    assert found.count == len(sizes)
    assert agreement(found, rows, columns) == 1
    assert found.misplaced < 0.01
    for b in range(found.count):
        values = energies(weight, UNIT)[np.ix_(found.inputs == b, found.outputs == b)]
        assert found.inside[b] == pytest.approx(values.mean(dtype=float), rel=1e-4)


@pytest.mark.parametrize("sizes", [((40, 40), (200, 200)), ((40, 200), (200, 40)), ((20, 20), (40, 40), (160, 160))])
@pytest.mark.parametrize("signal", [2, 4])
def test_a_small_block_is_not_lost_beside_a_large_one(sizes, signal):
    for seed in range(4):
        weight, rows, columns = planted(np.random.default_rng(seed), sizes, signal, (20, 20))
        assert agreement(search(weight), rows, columns) >= 0.99


def test_more_than_twice_as_many_blocks_as_singular_vectors_were_first_looked_at():
    weight, rows, columns = planted(np.random.default_rng(0), [(16, 16)] * 50, 8)
    found = search(weight)
    assert found.count == 50 and agreement(found, rows, columns) == 1


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10)
def test_the_order_of_features_and_the_seed_of_the_search_do_not_matter(seed):
    rng = np.random.default_rng(seed)
    weight, rows, columns = planted(rng, [(30, 50), (40, 20), (20, 60)], 5, (5, 5))
    p, q = rng.permutation(rows.size), rng.permutation(columns.size)
    first, second = search(weight), search(weight[p][:, q], seed)
    moved = Partition(**{name: getattr(second, name) for name in Partition.__slots__} | {"inputs": np.empty_like(rows)})
    moved.inputs[p] = second.inputs
    outputs = np.empty_like(columns)
    outputs[q] = second.outputs
    one, other = np.concatenate([first.inputs, first.outputs]), np.concatenate([moved.inputs, outputs])
    assert adjusted_rand_score(one, other) == 1
    assert np.array_equal(one < 0, other < 0)
    turned = search(weight.T)
    assert adjusted_rand_score(one, np.concatenate([turned.outputs, turned.inputs])) == 1


def test_the_same_seed_gives_the_same_partition_even_of_noise():
    weight = np.random.default_rng(3).standard_normal((150, 90))
    first, second = search(weight, 7), search(weight, 7)
    assert all(np.array_equal(getattr(first, name), getattr(second, name)) for name in Partition.__slots__)


@pytest.mark.parametrize(
    "energy",
    [
        *(np.zeros((0, 7)), np.zeros((7, 0)), np.ones((1, 1)), np.arange(9.0)[None], np.arange(9.0)[:, None]),
        *(np.zeros((20, 30)), np.full((20, 30), 12.0), np.full((2, 2), 0.1), np.eye(2), 12 * np.eye(3)),
        np.where(np.arange(600).reshape(20, 30) == 77, 12.0, 0.0),
    ],
    ids=lambda energy: f"{energy.shape}-{energy.max(initial=0):g}",
)
def test_what_has_no_two_blocks_is_one(energy):
    found = cocluster(energy.astype(np.float32), np.random.default_rng(0))
    assert found.count == 1
    assert (found.inputs.size, found.outputs.size) == energy.shape
    assert not found.inputs.any() and not found.outputs.any()


def test_one_dense_block_is_one():
    for seed in range(5):
        assert search(3 * np.random.default_rng(seed).standard_normal((120, 200))).count == 1


def test_blocks_with_nothing_outside_are_found():
    blocks = np.kron(np.eye(4), np.ones((16, 24)))
    found = search(blocks * np.random.default_rng(0).standard_normal(blocks.shape))
    assert agreement(found, np.arange(64) // 16, np.arange(96) // 24) == 1


def test_blocks_with_energy_between_them_are_put_together():
    weight, rows, columns = planted(np.random.default_rng(1), [(40, 40), (40, 40), (40, 40)], 6)
    joined = (rows[:, None] == 0) & (columns == 1)
    found = search(np.where(joined, 3 * weight, weight))
    assert found.count == 2
    expected = [np.where(labels == 1, 0, labels) for labels in (rows, columns)]
    assert agreement(found, *expected) == 1


def test_knowing_everything_is_having_no_mask():
    weight, *_ = planted(np.random.default_rng(2), [(30, 40), (40, 30)], 3)
    with_mask, without = search(weight, known=np.ones(weight.shape, np.float32)), search(weight)
    assert np.array_equal(with_mask.inputs, without.inputs) and np.array_equal(with_mask.outputs, without.outputs)
    assert with_mask.gain == pytest.approx(without.gain, rel=1e-6)


def test_what_is_held_out_is_not_looked_at_and_not_needed():
    rng = np.random.default_rng(4)
    weight, rows, columns = planted(rng, [(60, 40), (40, 60)], 4)
    known = (rng.random(weight.shape) < 0.6).astype(np.float32)
    found = search(weight, known=known)
    assert agreement(found, rows, columns) == 1
    other = search(np.where(known > 0, weight, 100.0), known=known)
    assert np.array_equal(found.inputs, other.inputs) and found.inside == other.inside


@given(st.integers(1, 6), st.integers(0, 2**32 - 1), st.booleans())
def test_masses_are_sums_over_pairs_of_blocks(count, seed, masked):
    rng = np.random.default_rng(seed)
    rows, columns = rng.integers(-1, count, 9), rng.integers(-1, count, 13)
    known = (rng.random((9, 13)) < 0.5).astype(np.float32) if masked else None
    energy = rng.chisquare(1, (9, 13)).astype(np.float32) * (1 if known is None else known)
    sums, sizes = masses(energy, rows, columns, count, known)
    for a in range(count):
        for b in range(count):
            inside = np.ix_(rows == a, columns == b)
            assert sums[a, b] == pytest.approx(energy[inside].sum(dtype=float), rel=1e-5, abs=1e-6)
            assert sizes[a, b] == (energy[inside].size if known is None else known[inside].sum())
    assert membership(rows, count).tolist() == [[float(label == b) for b in range(count)] for label in rows]


def test_the_doubt_about_features_is_how_many_are_wrong():
    doubts, wrongs = [], []
    for seed in range(12):
        weight, rows, columns = planted(np.random.default_rng(seed), [(24, 64)] * 4, 1.2)
        found = search(weight)
        true, labels = np.concatenate([rows, columns]), np.concatenate([found.inputs, found.outputs])
        table = np.zeros((4, found.count + 1))
        np.add.at(table, (true, labels), 1)
        wrongs.append(1 - table[linear_sum_assignment(-table)].sum() / true.size)
        doubts.append(found.misplaced)
    assert 0.5 < np.mean(doubts) / np.mean(wrongs) < 2


def test_the_energy_of_noise_alone_is_the_edge():
    edges = [search(np.random.default_rng(seed).standard_normal((200, 300))).edge for seed in range(10)]
    assert all(0.95 < edge < 1.02 for edge in edges)
