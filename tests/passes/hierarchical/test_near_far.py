"""Near and far outputs, against what was planted entry by entry, and what is no such weight."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hierarchical import DAUBECHIES, HAAR, planted, random_weight, wavelet, ways
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.factor.certificate import RESIDUAL, certify
from scission.passes.hierarchical.near_far import NearFar, block_sizes, likely_sizes, near_far

EXTENTS = st.tuples(
    *(st.integers(4, 9), st.integers(8, 16), st.integers(1, 5), st.integers(1, 12), st.integers(1, 40), st.booleans()),
)


def entry(found: NearFar, k: int, n: int, *, absolute: bool = False) -> float:
    """One entry of the product: the sum over all paths from an input to an output."""
    read = np.abs if absolute else np.asarray
    block, place = divmod(k, found.size)
    at, result = 0 if found.shared else block, int(found.order[n])
    own, told = found.near.shape[2], found.far.shape[2]
    if result < found.blocks * own:
        return float(read(found.near[at, place, result % own])) if result // own == block else 0.0
    joint = found.joint[block * told : (block + 1) * told, result - found.blocks * own]
    return float(sum(read(found.far[at, place, one] * joint[one]) for one in range(told)))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 20), EXTENTS)
def test_what_is_planted_is_found(seed, extents):
    blocks, size, rank, near, far, shared = extents
    rank = min(rank, size // 3)
    weight = planted(np.random.default_rng(seed), blocks, size, rank, near, far, shared=shared)
    found = near_far(weight, size)
    if blocks * near < 0.25 * weight.shape[1]:
        assert found is None
        return
    assert found is not None and found.shared == shared
    assert (found.blocks, found.size, found.near.shape[2]) == (blocks, size, near)
    assert found.far.shape[2] == min(rank, blocks * far if shared else far) and found.joint.shape[1] == far
    assert np.allclose(found.product(), weight, atol=1e-6 * abs(weight).max())
    assert certify(weight, found).residual < RESIDUAL and found.macs < weight.size


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans())
def test_a_product_is_the_sum_over_all_paths(seed, shared):
    found = near_far(planted(np.random.default_rng(seed), 4, 9, 3, 2, 5, shared=shared), 9)
    places = [(k, n) for k in range(36) for n in range(13)]
    slow = np.array([entry(found, *one) for one in places]).reshape(36, 13)
    np.testing.assert_allclose(found.product(), slow, atol=1e-12)
    paths = np.array([entry(found, *one, absolute=True) for one in places]).reshape(36, 13)
    np.testing.assert_allclose(found.magnitude(), paths.sum(axis=0), rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 20))
def test_what_holds_computes_the_same_within_its_bound(seed):
    """In float32, as it is run, against float64; with fewer outputs, zeros and sizes that are far apart."""
    values = np.random.default_rng(seed)
    weight = random_weight(Random(seed), values)
    x = values.uniform(-1, 1, (50, len(weight))).astype(np.float32)
    exact = x.astype(np.float64) @ weight
    for found in ways(weight):
        near, far, joint = (one.astype(np.float32) for one in (found.near, found.far, found.joint))
        cut = x.reshape(50, found.blocks, 1, found.size)
        made = [(cut @ near).reshape(50, -1), (cut @ far).reshape(50, -1) @ joint]
        errors = abs(np.concatenate(made, axis=1)[:, found.order] - exact).max(axis=0)
        dense = len(weight) * 2.0**-24 * abs(weight.astype(np.float64)).sum(axis=0)
        heard = dense > 2.0**-40 * dense.max()
        assert made[1].dtype == np.float32 and (errors <= certify(weight, found).bound * dense)[heard].all()


@pytest.mark.parametrize(("low", "less"), [(HAAR, 9), (DAUBECHIES, 7)])
@pytest.mark.parametrize("drawn", [False, True])
def test_wavelets_have_one_matrix_for_all_blocks_whatever_the_order_of_outputs(low, less, drawn):
    weight = wavelet(1024, low)
    weight = weight[:, np.random.default_rng(0).permutation(1024)] if drawn else weight
    assert len(likely_sizes(weight)) > 1
    best = min(ways(weight), key=lambda one: one.macs)
    assert best.shared and weight.size / best.macs > less


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 20), st.sampled_from([(64, 64), (96, 48), (48, 200)]), st.integers(1, 8))
def test_dense_weights_and_those_of_low_rank_are_none(seed, shape, rank):
    rng = np.random.default_rng(seed)
    low = rng.standard_normal((shape[0], rank)) @ rng.standard_normal((rank, shape[1]))
    for weight in (rng.standard_normal(shape), low, rng.integers(1, 4, shape), np.zeros(shape)):
        single = weight.astype(np.float32)
        assert next(ways(single), None) is None and likely_sizes(single) == []


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 20), st.integers(2, 8))
def test_blocks_alone_are_none_and_what_lies_across_others_is_exact(seed, blocks):
    weight = np.kron(np.eye(blocks), np.random.default_rng(seed).standard_normal((16, 12))).astype(np.float32)
    assert near_far(weight, 16) is None
    for found in ways(weight):
        assert np.allclose(found.product(), weight, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 20), st.floats(1e-5, 10))
def test_one_entry_that_is_away_is_seen(seed, away):
    """Nothing else becomes of it than another weight, which has that entry."""
    rng = np.random.default_rng(seed)
    weight = wavelet(128)
    held = near_far(weight, 16)
    assert certify(weight, held).holds
    weight[rng.integers(128), rng.integers(128)] += np.float32(away)
    assert not certify(weight, held).holds
    for found in ways(weight):
        assert np.allclose(found.product(), weight, atol=1e-6)


def test_what_no_blocks_fit_is_none():
    weight = wavelet(64)
    assert near_far(weight, 5) is None and near_far(weight, 128) is None
    assert near_far(np.zeros((0, 64), np.float32), 8) is None and near_far(np.zeros((64, 0), np.float32), 8) is None
    assert block_sizes(31) == [] and likely_sizes(weight[:31]) == []
    assert block_sizes(32) == [8]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_never_certified(value):
    weight = wavelet(64)
    for at in ((3, 5), (63, 0)):
        other = weight.copy()
        other[at] = value
        with np.errstate(invalid="ignore"):
            assert list(ways(other)) == []


def test_one_block_that_has_nearly_all_outputs_costs_no_memory_of_as_many_for_each():
    """512 blocks of 3,480 results would be 54 GiB."""
    rng = np.random.default_rng(0)
    weight = np.zeros((4096, 4096), np.float32)
    weight[88:96, :3480] = rng.standard_normal((8, 3480))
    weight[:, 3480:] = rng.standard_normal((4096, 1)) * rng.standard_normal(616)
    assert 8 in likely_sizes(weight[:256]) and near_far(weight, 8) is None


def test_blocks_may_have_fewer_outputs_than_others():
    weight = planted(np.random.default_rng(0), 8, 16, 2, 6, 12, shared=False)
    live = abs(weight.reshape(8, 16, -1)).any(axis=1)
    first = np.flatnonzero(live[0] & (live.sum(axis=0) == 1))
    found = near_far(np.delete(weight, first[2:], axis=1), 16)
    assert found is not None and certify(np.delete(weight, first[2:], axis=1), found).holds
