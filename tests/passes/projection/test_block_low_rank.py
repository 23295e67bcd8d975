import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sampled_products import excess, moments, samples

from scission.ir.plan.decomposition import Block, Decomposition
from scission.passes.projection.block_low_rank import block_low_rank
from scission.passes.projection.reduced_rank import reduced_rank


def blocks(rng, K, N, count):
    inputs, outputs = (rng.permutation(np.arange(size) % count) for size in (K, N))
    return Decomposition(
        (K, N), tuple(Block(np.flatnonzero(inputs == i), np.flatnonzero(outputs == i)) for i in range(count))
    )


def mask(found):
    inside = np.zeros(found.shape, bool)
    for block in found.blocks:
        inside[np.ix_(block.inputs, block.outputs)] = True
    return inside


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20), st.integers(1, 3))
def test_no_sweep_loses_more_and_both_parts_are_the_best_beside_the_other_in_the_end(seed, rank):
    rng = np.random.default_rng(seed)
    K, N = rng.integers(6, 13, 2)
    parts = blocks(rng, K, N, int(rng.integers(2, 4)))
    x, weight = samples(rng, K), rng.standard_normal((K, N))
    found = moments(x, weight, x @ weight + 0.1 * rng.standard_normal((len(x), N)))
    made = block_low_rank(found, parts, rank, sweeps=200)
    assert (np.diff(made.losses) <= 0).all()
    assert made.losses[-1] == pytest.approx(found.loss(made.product))
    assert not made.masked[~mask(parts)].any()
    assert np.linalg.matrix_rank(made.thin.product) <= rank
    assert made.losses[-1] <= found.loss(reduced_rank(found, rank).product)
    assert made.losses[-1] <= block_low_rank(found, parts, 0).losses[-1] + 1e-9


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 20))
def test_blocks_alone_are_those_of_least_squares_one_output_at_a_time(seed):
    rng = np.random.default_rng(seed)
    K, N = rng.integers(4, 9, 2)
    parts = blocks(rng, K, N, 2)
    x, weight = samples(rng, K), rng.standard_normal((K, N))
    wanted = x @ weight + rng.standard_normal((len(x), N))
    made = block_low_rank(moments(x, weight, wanted), parts, 0)
    best = np.zeros((K, N))
    centred, results = x - x.mean(0), wanted - wanted.mean(0)
    for column, reads in enumerate(mask(parts).T):
        best[reads, column] = np.linalg.lstsq(centred[:, reads], results[:, column], rcond=None)[0]
    np.testing.assert_allclose(made.masked, best, atol=1e-6)
    assert made.losses == (pytest.approx(excess(x, wanted, best), rel=1e-6, abs=1e-8),)


def test_blocks_and_a_product_that_were_added_up_are_found_again():
    rng = np.random.default_rng(3)
    parts = blocks(rng, 48, 40, 4)
    weight = np.where(mask(parts), rng.standard_normal((48, 40)), 0)
    weight += rng.standard_normal((48, 2)) @ rng.standard_normal((2, 40))
    found = moments(samples(rng, 48), weight)
    made = block_low_rank(found, parts, 2, sweeps=500)
    assert made.losses[-1] < 1e-4 * found.energy
    assert block_low_rank(found, parts, 1).losses[-1] > 1e-2 * found.energy
