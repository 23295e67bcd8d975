import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled_products import moments, samples

from scission.passes.factor.nearest import MonarchSplit, monarch_splits
from scission.passes.projection.monarch import monarch, slice_losses


def planted(rng, split, rank):
    """A weight of slices of this rank, entry by entry."""
    first = rng.standard_normal((split.b, split.C, split.a, rank))
    last = rng.standard_normal((split.b, split.C, rank, split.d))
    weight = np.zeros((split.a * split.b, split.C * split.d))
    for i, j, c, e in itertools.product(range(split.a), range(split.b), range(split.C), range(split.d)):
        output = e * split.C + c if split.strided else c * split.d + e
        weight[i * split.b + j, output] = first[j, c, i] @ last[j, c, :, e]
    return weight


def splits(rng):
    a, b, C, d = (int(one) for one in rng.integers(2, 5, 4))
    return MonarchSplit(a, b, C, d, bool(rng.integers(2)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20))
def test_a_product_of_such_stages_is_exact_and_its_stages_make_it(seed):
    rng = np.random.default_rng(seed)
    split = splits(rng)
    rank = int(rng.integers(1, min(split.a, split.d) + 1))
    weight = planted(rng, split, rank)
    found = moments(samples(rng, len(weight)), weight)
    made = monarch(found, split, rank)
    np.testing.assert_allclose(made.product, weight, atol=1e-6)
    np.testing.assert_allclose(made.factors.product(), made.product, atol=1e-9)
    assert made.factors.macs == split.factors(rank).macs


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20))
def test_no_sweep_loses_more_and_what_is_told_is_the_loss(seed):
    rng = np.random.default_rng(seed)
    split = splits(rng)
    K, N = split.a * split.b, split.C * split.d
    x, weight = samples(rng, K), rng.standard_normal((K, N))
    found = moments(x, weight, x @ weight + rng.standard_normal((len(x), N)))
    made = monarch(found, split, 1, sweeps=30)
    assert (np.diff(made.losses) <= 1e-9 * made.losses[0]).all()
    assert made.losses[-1] == pytest.approx(found.loss(made.product))
    assert made.losses[-1] <= made.losses[0]


def test_of_inputs_that_are_not_correlated_slices_are_nearest_one_by_one():
    rng = np.random.default_rng(0)
    x = np.kron(np.array([[1.0], [-1.0]]), np.diag(rng.uniform(0.5, 2, 24)))  # covariances are diagonal, means 0
    weight = rng.standard_normal((24, 24))
    found = moments(x, weight)
    for split in monarch_splits(24, 24):
        made = monarch(found, split, 2, sweeps=20)
        assert made.losses[0] == pytest.approx(slice_losses(found, split)[2])
        assert made.losses[-1] == pytest.approx(made.losses[0], rel=1e-6)
        root = np.sqrt(np.diag(found.gram))
        least = 0.0
        for inputs, outputs in itertools.product(split.inputs, split.outputs):
            values = np.linalg.svd(root[inputs, None] * weight[np.ix_(inputs, outputs)], compute_uv=False)
            least += np.square(values[2:]).sum()
        assert made.losses[0] == pytest.approx(least)


def test_correlated_inputs_make_sweeps_worth_it():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 36)) + 0.3 * rng.standard_normal((200, 36))
    found = moments(x, rng.standard_normal((36, 36)))
    made = monarch(found, MonarchSplit(6, 6, 6, 6, False), 1, sweeps=50)
    assert made.losses[-1] < 0.5 * made.losses[0]


def test_ranks_that_slices_cannot_have_are_refused():
    found = moments(samples(np.random.default_rng(0), 4), np.ones((4, 4)))
    with pytest.raises(ValueError, match="of rank 2 at the most, not 3"):
        monarch(found, MonarchSplit(2, 2, 2, 2, False), 3)
