import dataclasses
import itertools
import math

import numpy as np
import pytest
from block_partitions import drawn, inside_of, partition, planted
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scission.ir.evidence.null import Null
from scission.passes.anneal.blocks.certificate import ACCEPTED, RESIDUAL, believed, certify, refused
from scission.passes.anneal.blocks.folds import cross_fit
from scission.passes.anneal.blocks.outside import off_block, unplaced
from scission.passes.anneal.blocks.search import anneal_blocks
from scission.passes.cocluster.coclustering import cocluster
from scission.passes.cocluster.energies import energies, moments

CLEAR = 1e-3  # what a test of fit may say of p-values drawn with a fixed seed


def normal(sigma=1.0):
    return Null(family="normal", scale=sigma, source="test")


def verdict(weight, found, *, null=None, trusted=True, residual=None, allowed=RESIDUAL):
    none = np.zeros(weight.shape, bool)
    energy = energies(weight, null or normal())
    residual = none if residual is None else residual
    law = dataclasses.replace(null or normal(), estimated=not trusted)
    return certify(weight, energy, found, residual, null=law, allowed=allowed)


# The parts.


def slow_off_block(energy, found, excluded):
    """(Mean over the null's, statistic of homogeneity, degrees of freedom), entry by entry."""
    outside = ~inside_of(found) & ~excluded
    values = [energy[k, n].item() for k, n in np.argwhere(outside)]
    mean, variance = np.mean(values), np.var(values)
    statistic, features = 0.0, 0
    for matrix, keep in ((energy, outside), (energy.T, outside.T)):
        for line, kept in zip(matrix, keep, strict=True):
            if kept.any():
                statistic += (line[kept].mean() - mean) ** 2 / (variance / kept.sum())
                features += 1
    return mean / moments()[0], statistic, max(features - 2, 1)


@given(st.integers(0, 2**32 - 1))
def test_off_block_is_what_its_words_say(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(2, 15, 2))
    energy = energies(1.5 * rng.standard_normal(shape), normal())
    found, excluded = drawn(rng, shape, 3, -1), rng.random(shape) < 0.1
    level, ratio, homogeneity = off_block(energy, found, excluded, True)
    if not (~inside_of(found) & ~excluded).any():
        assert (level, ratio, homogeneity) == (1, 1, 1)
        return
    expected, statistic, freedom = slow_off_block(energy.astype(float), found, excluded)
    entries = (~inside_of(found) & ~excluded).sum()
    mean, variance = moments()
    assert ratio == pytest.approx(expected, rel=1e-6)
    assert level == pytest.approx(stats.norm.sf((expected - 1) * mean / math.sqrt(variance / entries)), abs=1e-6)
    if entries > 1:
        assert homogeneity == pytest.approx(stats.chi2.sf(statistic, freedom), abs=1e-6)
    assert off_block(energy, found, excluded, False)[0] == 1


def test_level_and_homogeneity_are_p_values_of_noise():
    rng = np.random.default_rng(5)
    found = []
    for _ in range(300):
        energy = energies(rng.standard_normal((80, 100)), normal())
        level, _, homogeneity = off_block(energy, drawn(rng, (80, 100)), np.zeros((80, 100), bool), True)
        found.append((level, homogeneity))
    levels, others = np.array(found).T
    assert stats.kstest(levels, "uniform").pvalue > CLEAR
    # Energies have heavy tails, so that the sum of squares is a little wider than chi-square.
    assert np.mean(others < 0.05) < 0.1 and 0.4 < np.mean(others) < 0.6


# The verdict.


def test_true_blocks_are_accepted_with_a_reason():
    certificate = verdict(*planted())
    assert certificate.accepted and certificate.blocks == 3
    assert certificate.reason == "3 blocks, and what lies outside is the null"
    assert certificate.split < 1e-12 and certificate.ratio == pytest.approx(1, abs=0.02)


def test_a_level_that_is_not_the_null_s_is_refused_where_the_null_is_trusted():
    weight, found = planted()
    small = verdict(weight, found, null=normal(0.9))
    assert not small.accepted
    assert "of the energy that the null allows" in small.reason and small.ratio == pytest.approx(1 / 0.81, rel=0.05)
    assert verdict(weight, found, null=normal(0.9), trusted=False).accepted
    assert verdict(weight, found, null=normal(1.1)).accepted, "less than the null is no sign of learning"


def test_a_scheme_is_not_kept_to_a_per_cent():
    weight, found = planted(1, 600, 3)
    almost = verdict(weight, found, null=normal(1 / 1.007))
    assert almost.level < ACCEPTED and almost.accepted


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("trusted", [True, False])
def test_an_outside_that_is_stronger_for_some_features_is_refused(axis, trusted):
    weight, found = planted(2)
    factors = np.where(np.arange(120) < 60, 0.8, 1.2)
    scaled = np.where(inside_of(found), weight, weight * (factors[:, None] if axis == 0 else factors))
    certificate = verdict(scaled, found, trusted=trusted)
    assert not certificate.accepted and "not equally strong for all features" in certificate.reason


COHERENT = {
    "constant mean": (lambda rng, n: np.full((n, n), 0.1), "a mean other than 0"),
    "signs of rank one": (lambda rng, n: 0.15 * np.outer(*rng.choice([-1, 1], (2, n))), "is coherent"),
    "permutation": (lambda rng, n: 9 * np.eye(n)[rng.permutation(n)], "follow no law of initialisation"),
}


@pytest.mark.parametrize(("make", "reason"), COHERENT.values(), ids=COHERENT)
@pytest.mark.parametrize("trusted", [True, False])
def test_structure_outside_the_blocks_that_energies_do_not_show_is_refused(make, reason, trusted):
    size = 120 if "law" in reason else 600
    weight, found = planted(8, size, 2)
    pattern = make(np.random.default_rng(9), size) / (2 if "law" in reason else 1)
    certificate = verdict(np.where(inside_of(found), weight, weight + pattern), found, trusted=trusted)
    assert not certificate.accepted and reason in certificate.reason


def test_a_constant_between_two_blocks_is_a_mean_though_others_make_up_for_it():
    weight, found = planted(10, 400, 4)
    tiles = np.array([[0, 1, -1, 0], [0, 0, 1, -1], [1, 0, 0, -1], [-1, 1, 0, 0]])
    shifted = weight + 0.06 * tiles[found.inputs][:, found.outputs]
    assert "a mean other than 0" in verdict(shifted, found).reason


def test_noise_of_any_law_of_initialisation_is_neither_coherent_nor_misshapen():
    for seed in range(40):
        rng, (_, found) = np.random.default_rng(seed), planted(seed, 60 + seed, 2)
        n = found.inputs.size
        cut = stats.truncnorm.rvs(-2, 2, size=(n, n), random_state=rng)
        for noise in (rng.standard_normal((n, n)), rng.uniform(-1.7, 1.7, (n, n)), cut):
            certificate = verdict(np.where(inside_of(found), 4 * rng.standard_normal((n, n)), noise), found)
            assert certificate.accepted, certificate.reason


def test_an_outside_far_below_a_trusted_null_is_refused():
    weight, found = planted(11)
    quiet = verdict(np.where(inside_of(found), weight, weight / 2), found)
    assert not quiet.accepted and "smaller than the null" in quiet.reason and "try without stating it" in quiet.reason
    assert verdict(np.where(inside_of(found), weight, weight / 2), found, trusted=False).accepted
    assert verdict(np.where(inside_of(found), weight, 0), found).accepted, "exact zeros are removed already"


def test_the_reason_claims_no_level_that_was_not_tested():
    assert verdict(*planted(), trusted=False).reason.endswith("homogeneous noise (its level was not tested)")


def test_too_many_residual_entries_are_refused_and_do_not_count_as_noise():
    weight, found = planted(3)
    residual = np.zeros(weight.shape, bool)
    residual[tuple(np.argwhere(~inside_of(found))[::30][:101].T)] = True
    weight[residual] = 100
    certificate = verdict(weight, found, residual=residual)
    assert not certificate.accepted and certificate.residual == 101
    assert certificate.reason.startswith("101 entries outside the blocks are too large for the null, more than 100")
    assert verdict(weight, found, residual=residual, allowed=101).accepted
    assert not verdict(weight, found, allowed=101).accepted, (
        "unless they are called residual entries they are part of the noise"
    )


def test_features_that_are_expected_in_a_wrong_block_are_refused():
    weight, true = planted(4)
    doubtful = partition(true.inputs, true.outputs, misplaced=0.02)
    certificate = verdict(weight, doubtful)
    assert not certificate.accepted and "2.0% of the features" in certificate.reason


def test_blocks_that_a_search_found_in_noise_are_refused_on_other_entries():
    noise = np.random.default_rng(6).standard_normal((120, 120))
    certificate = verdict(noise, drawn(np.random.default_rng(7), noise.shape))
    assert not certificate.accepted and "held out of the search" in certificate.reason


def test_all_reasons_are_given_at_once():
    weight, found = planted(5)
    residual = ~inside_of(found) & (np.random.default_rng(0).random(weight.shape) < 0.05)
    doubtful = partition(found.inputs, found.outputs, misplaced=0.5)
    certificate = verdict(weight, doubtful, null=normal(0.5), residual=residual)
    assert len(certificate.reason.split("; ")) == 3


def test_fewer_than_two_blocks_have_nothing_to_certify():
    even = np.ones((60, 50), np.float32)
    none = np.zeros(even.shape, bool)
    quiet = certify(even, even, cocluster(even, np.random.default_rng(0)), none, null=normal())
    assert not quiet.accepted and quiet.reason.startswith("nothing stands out of the noise")
    assert quiet == refused(1, quiet.reason)
    dense = energies(3 * np.random.default_rng(0).standard_normal(even.shape), normal())
    loud = certify(dense, dense, cocluster(dense, np.random.default_rng(0)), none, null=normal())
    assert not loud.accepted and "all of it hangs together" in loud.reason


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_blocks_and_features_does_not_matter_to_what_lies_outside(seed):
    rng = np.random.default_rng(seed)
    weight, found = planted(seed % 100)
    energy, none = energies(weight, normal()), np.zeros(weight.shape, bool)
    p, q, names = rng.permutation(120), rng.permutation(120), rng.permutation(3)
    moved = partition(names[found.inputs][p], names[found.outputs][q])
    for one, other in itertools.pairwise(
        [off_block(energy, found, none, True), off_block(energy[p][:, q], moved, none, True)]
    ):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-9)


def strengths_of(kind, rng):
    index = np.arange(256)
    return {
        "equal": np.full(256, 2.0),
        "lognormal": 3 * np.exp(rng.normal(size=256) / 2 - 0.5),
        "uniform": rng.uniform(0.3, 3, 256),
        "every tenth weak": np.where(index % 10, 3.0, 0.8),
        "half of the blocks very weak": np.where(index % 2, 3.9, 0.4),
    }[kind]


@pytest.mark.parametrize("kind", ["equal", "lognormal", "uniform", "every tenth weak", "half of the blocks very weak"])
def test_what_is_accepted_loses_no_member_of_a_block(kind):
    accepted = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        labels = np.arange(256) % 4
        inside = labels[:, None] == labels
        signal = strengths_of(kind, rng)[:, None] * inside
        weight = rng.normal(size=(256, 256)) + signal * rng.normal(size=(256, 256))
        found = anneal_blocks(weight, Null(family="normal", scale=1, source="test"), seed=seed)
        if found.decomposition is not None:
            accepted += 1
            kept = np.zeros((256, 256), bool)
            for block in found.decomposition.blocks:
                kept[np.ix_(block.inputs, block.outputs)] = True
            assert ((signal > 0) & ~kept).sum() <= 0.02 * (signal > 0).sum()
    assert kind != "equal" or accepted == 4


def test_features_that_are_really_untouched_may_be_in_no_block():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(160, 160))
    for block in range(2):
        part = slice(block * 60, block * 60 + 60)
        weight[part, part] += 4 * rng.normal(size=(60, 60))
    found = anneal_blocks(weight, Null(family="normal", scale=1, source="test"))
    assert found.decomposition is not None
    energy = energies(weight, Null(family="normal", scale=1, source="test"))
    assert unplaced(energy, found.partition) > 1e-3


# Each block.


def with_piece(found, rows, columns):
    """A partition with some features cut out of its blocks as one more."""
    inputs, outputs = found.inputs.copy(), found.outputs.copy()
    inputs[:rows], outputs[:columns] = found.count, found.count
    return partition(inputs, outputs)


def test_a_piece_that_no_other_search_finds_is_refused_with_its_size_and_what_could_be_seen():
    weight, found = planted(12)
    certificate = verdict(weight, with_piece(found, 2, 1))
    assert not certificate.accepted and certificate.existence == 1
    assert "1 of 4 blocks is not confirmed" in certificate.reason and "the one of 2x1 has p = 1" in certificate.reason
    assert "below 10 entries it could not be" in certificate.reason
    assert verdict(weight, found).existence < ACCEPTED


def test_what_is_not_confirmed_goes_back_to_the_blocks_it_came_from():
    weight, found = planted(13)
    energy = energies(weight, normal())
    folds = cross_fit(energy)
    left, dropped = believed(energy, with_piece(found, 2, 3), folds)
    assert dropped == 1 and left.count == 3
    assert np.array_equal(left.inputs, found.inputs) and np.array_equal(left.outputs, found.outputs)
    same, none = believed(energy, found, folds)
    assert none == 0 and same is found


def test_where_fewer_than_two_blocks_are_confirmed_the_partition_stays_and_is_refused():
    noise = np.random.default_rng(14).standard_normal((120, 120))
    found = drawn(np.random.default_rng(15), noise.shape)
    energy = energies(noise, normal())
    assert believed(energy, found, cross_fit(energy)) == (found, 0)
    assert not verdict(noise, found).accepted
