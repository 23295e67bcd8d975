import ml_dtypes
import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.plan.plan import Block, Decomposition
from scission.models.matrix import weight
from scission.passes.connectivity.bipartite import components
from scission.passes.decompose.blocks import closed, decompose, group, is_contiguous

SEEDS = st.integers(0, 999)
DORMANT = st.tuples(st.integers(0, 3), st.integers(0, 3))


def bits(array):
    return np.ascontiguousarray(array).view(np.uint8).tobytes()


@given(oracles.relations())
def test_blocks_partition_what_is_not_dormant(mask):
    found = decompose(components(mask))
    assert found.shape == mask.shape
    for side, axis, dormant in (("inputs", 1, found.dormant_inputs), ("outputs", 0, found.dormant_outputs)):
        owned = [index for block in found.blocks for index in getattr(block, side)]
        assert sorted(owned) == np.flatnonzero(mask.any(axis=axis)).tolist()
        assert dormant.tolist() == np.flatnonzero(~mask.any(axis=axis)).tolist()
    assert [b.inputs[0] for b in found.blocks] == sorted(b.inputs[0] for b in found.blocks)


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@given(mask=oracles.relations(), seed=SEEDS)
def test_cutting_and_reassembling_gives_the_weight_back_bit_for_bit(dtype, mask, seed):
    rng = np.random.default_rng(seed)
    values = rng.choice([1.5, -2.25, np.nan, -np.nan, np.inf, -np.inf, 1e-6], mask.shape)
    W = np.where(mask, values, 0.0).astype(dtype)
    W[~mask] = 0
    assert bits(oracles.reassembled(W, decompose(components(W)))) == bits(W)


@given(oracles.block_sizes(most=9), DORMANT, st.booleans(), SEEDS, st.integers(1, 12))
def test_groups_lose_no_edge_and_no_feature(sizes, dormant, contiguous, seed, count):
    W, truth = weight(np.random.default_rng(seed), sizes, dormant, contiguous=contiguous)
    found = decompose(components(W))
    grouped = group(found, count)
    assert len(grouped.blocks) <= count
    assert len(grouped.blocks) == len(found.blocks) or len(found.blocks) > count
    assert oracles.covers(W, grouped) and bits(oracles.reassembled(W, grouped)) == bits(W)
    for dormants in ("dormant_inputs", "dormant_outputs"):
        assert np.array_equal(getattr(grouped, dormants), getattr(truth, dormants))
    for block in found.blocks:  # whole blocks only
        homes = {i for i, g in enumerate(grouped.blocks) if np.intersect1d(block.outputs, g.outputs).size}
        (home,) = homes
        assert np.isin(block.inputs, grouped.blocks[home].inputs).all()
    assert is_contiguous(grouped) or not is_contiguous(found)


@pytest.mark.parametrize("contiguous", [False, True])
def test_equal_blocks_make_equal_groups(contiguous):
    W, _ = weight(np.random.default_rng(0), [(3, 2)] * 16, contiguous=contiguous)
    for count in (1, 2, 4, 8, 16, 99):
        grouped = group(decompose(components(W)), count)
        assert {b.shape for b in grouped.blocks} == {(48 // min(count, 16), 32 // min(count, 16))}


def test_the_largest_block_does_not_drag_the_others_along():
    W, _ = weight(np.random.default_rng(0), [(40, 40), *[(4, 4)] * 10])
    assert sorted(b.shape for b in group(decompose(components(W)), 2).blocks) == [(40, 40), (40, 40)]


@pytest.mark.parametrize("count", [0, -1])
def test_no_groups_at_all_are_refused(count):
    with pytest.raises(ValueError, match="cannot merge"):
        group(Decomposition((1, 1), (oracles.whole(1, 1),)), count)


@given(oracles.relations())
def test_closed_blocks_own_every_output_and_the_same_edges(A):
    found = decompose(components(A))
    if found.blocks:
        whole = closed(found)
        assert not whole.dormant_outputs.size and not (A & ~whole.inside()).any()
        assert [block.inputs.tolist() for block in whole.blocks] == [block.inputs.tolist() for block in found.blocks]


@pytest.mark.parametrize(
    ("shape", "blocks", "contiguous"),
    [
        ((4, 4), [([0, 1], [0]), ([2, 3], [1, 2, 3])], True),
        ((4, 4), [([0, 1, 2, 3], [0, 1, 2, 3])], True),
        ((4, 4), [], False),
        ((4, 4), [([2, 3], [0, 1]), ([0, 1], [2, 3])], False),  # inputs in another order
        ((4, 4), [([0, 1], [2, 3]), ([2, 3], [0, 1])], False),  # outputs in another order
        ((5, 4), [([0, 1], [0, 1]), ([2, 3], [2, 3])], False),  # a dormant input
        ((4, 5), [([0, 1], [0, 1]), ([2, 3], [2, 3])], False),  # a dormant output
        ((4, 4), [([0, 2], [0, 1]), ([1, 3], [2, 3])], False),  # interleaved
        ((4, 4), [([0, 1, 2], [0, 1]), ([2, 3], [2, 3])], False),  # an input read twice
    ],
)
def test_contiguous(shape, blocks, contiguous):
    parts = tuple(Block(inputs, outputs) for inputs, outputs in blocks)
    assert is_contiguous(Decomposition(shape, parts)) is contiguous
