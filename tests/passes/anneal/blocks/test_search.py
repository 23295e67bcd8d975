import math
import warnings
from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from scission.ir.evidence.evidence import Evidence
from scission.ir.evidence.null import Null
from scission.passes.anneal.blocks.certificate import RESIDUAL
from scission.passes.anneal.blocks.search import anneal_blocks, smallest_block_signal

NORMAL = Null(family="normal", scale=1, source="test")
UNIFORM = Null(family="uniform", scale=1, source="test")
NULLS = [NORMAL, UNIFORM, None]


def planted(seed=0, shape=(160, 160), count=4, signal=4.0, draw=np.random.Generator.standard_normal):
    """(Weight of equal blocks in noise, the block of every row, of every column)."""
    rng = np.random.default_rng(seed)
    rows, columns = (rng.permutation(np.arange(size) % count) for size in shape)
    inside = rows[:, None] == columns
    return draw(rng, shape) + inside * signal * rng.standard_normal(shape), rows, columns


def flat(rng, shape):
    return rng.uniform(-1, 1, shape)


def agreement(decision, rows, columns):
    found = decision.partition
    return adjusted_rand_score(np.concatenate([rows, columns]), np.concatenate([found.inputs, found.outputs]))


def certificate(decision):
    assert decision.evidence.certificate is not None
    return decision.evidence.certificate


def is_refused(decision):
    nothing = decision.decomposition is None and decision.residual.shape == (0, 2) and decision.evidence.confirmed == 1
    return nothing and not certificate(decision).accepted and bool(certificate(decision).reason)


# Blocks.


@pytest.mark.parametrize(("null", "draw"), [(NORMAL, np.random.Generator.standard_normal), (UNIFORM, flat)])
@pytest.mark.parametrize("known", [True, False])
def test_planted_blocks_are_found_accepted_and_written_down(null, draw, known):
    weight, rows, columns = planted(draw=draw)
    decision = anneal_blocks(weight, null if known else None)
    assert agreement(decision, rows, columns) == 1
    blocks = decision.decomposition.blocks
    assert [block.inputs[0] for block in blocks] == sorted(block.inputs[0] for block in blocks)
    for block in blocks:
        assert len({*rows[block.inputs], *columns[block.outputs]}) == 1
    assert sum(block.inputs.size for block in blocks) == sum(block.outputs.size for block in blocks) == 160
    evidence = decision.evidence
    assert evidence.confirmed == decision.decomposition.mac_share == 0.25
    assert evidence.null.estimated is not known and bool(evidence.notes) is not known
    assert evidence.null.sigma == pytest.approx(null.sigma, rel=0.02)
    assert Evidence.from_dict(evidence.to_dict()) == evidence


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.sampled_from([NORMAL, None]), st.floats(-6, 6))
def test_the_order_of_features_the_unit_of_weights_and_the_seed_do_not_matter(seed, null, exponent):
    rng = np.random.default_rng(seed)
    weight, rows, columns = planted(seed % 1000)
    p, q, unit = rng.permutation(160), rng.permutation(160), 10**exponent
    first = anneal_blocks(weight, null)
    scaled = null and replace(null, scale=null.scale * unit)
    second = anneal_blocks(weight[p][:, q] * unit, scaled, seed=seed)
    assert agreement(first, rows, columns) == 1
    assert agreement(second, rows[p], columns[q]) == 1
    assert certificate(second).ratio == pytest.approx(certificate(first).ratio, rel=1e-3)
    assert {(p[k], q[n]) for k, n in second.residual} == {(k, n) for k, n in first.residual}


def test_the_same_seed_gives_the_same_decision():
    for signal in (0.0, 1.2, 4.0):
        weight, *_ = planted(signal=signal)
        first, second = anneal_blocks(weight, NORMAL, seed=3), anneal_blocks(weight, NORMAL, seed=3)
        assert first.evidence == second.evidence
        assert np.array_equal(first.partition.inputs, second.partition.inputs)
        assert first.decomposition == second.decomposition


@pytest.mark.parametrize("signal", [1.5, 2.0, 4.0])
def test_most_weak_blocks_are_found_from_the_signal_that_is_promised(signal):
    assert smallest_block_signal((160, 160), 4) < signal
    for null in (NORMAL, None):
        for seed in range(3):
            weight, rows, columns = planted(seed, signal=signal)
            decision = anneal_blocks(weight, null)
            assert decision.decomposition is not None and agreement(decision, rows, columns) > 0.97


def test_blocks_that_are_too_weak_are_not_guessed():
    signal = 0.6 * smallest_block_signal((160, 160), 4)
    assert all(is_refused(anneal_blocks(planted(seed, signal=signal)[0], NORMAL)) for seed in range(10))


def test_features_that_were_never_trained_are_in_no_block():
    weight, rows, columns = planted()
    rng = np.random.default_rng(0)
    rows[:20], columns[:30] = -1, -1
    weight[:20], weight[:, :30] = rng.standard_normal((20, 160)), rng.standard_normal((160, 30))
    decision = anneal_blocks(weight, NORMAL)
    assert np.array_equal(decision.decomposition.dormant_inputs, np.arange(20))
    assert np.array_equal(decision.decomposition.dormant_outputs, np.arange(30))
    assert np.array_equal(decision.partition.inputs < 0, rows < 0)


@given(st.sampled_from([2, 3, 4, 8]), st.integers(6, 11), st.integers(6, 11))
def test_the_smallest_signal_falls_with_the_size_and_grows_with_the_number_of_blocks(count, k, n):
    small, wide = smallest_block_signal((2**k, 2**n), count), smallest_block_signal((2 ** (k + 1), 2 ** (n + 1)), count)
    finer = smallest_block_signal((2**k, 2**n), 2 * count)
    assert wide < small <= finer or (small == math.inf and finer == math.inf)
    assert smallest_block_signal((2**n, 2**k), count) == pytest.approx(small, rel=1e-6)
    assert smallest_block_signal((1, 1), 2) == math.inf


# Residual entries.


@pytest.mark.parametrize("null", [NORMAL, None])
def test_residual_entries_are_found_one_by_one_and_kept(null):
    weight, rows, columns = planted(1)
    rng = np.random.default_rng(1)
    apart = np.argwhere(rows[:, None] != columns)
    chosen = apart[np.sort(rng.choice(len(apart), 20, replace=False))]
    weight[tuple(chosen.T)] = 9 * rng.choice([-1, 1], 20)
    weight[tuple(chosen[0])], weight[tuple(chosen[1])] = np.nan, -np.inf
    decision = anneal_blocks(weight, null)
    assert agreement(decision, rows, columns) == 1
    assert np.array_equal(decision.residual, chosen)
    assert certificate(decision).residual == 20


def test_more_residual_entries_than_are_allowed_are_refused():
    weight, rows, columns = planted(2)
    apart = np.argwhere(rows[:, None] != columns)
    weight[tuple(apart[:: len(apart) // 12][:12].T)] = 20
    assert len(anneal_blocks(weight, NORMAL, allowed=12).residual) == 12
    few = anneal_blocks(weight, NORMAL, allowed=11)
    assert is_refused(few) and "12 entries outside the blocks are too large" in certificate(few).reason
    assert RESIDUAL >= 20


# No blocks.


HARDER = {
    "noise": lambda rng, s: rng.standard_normal(s),
    "one dense block": lambda rng, s: 3 * rng.standard_normal(s),
    "uniform": flat,
    "rows of different scale": lambda rng, s: rng.standard_normal(s) * np.exp(rng.standard_normal((s[0], 1)) / 2),
    "rank-one scales": lambda rng, s: (
        rng.standard_normal(s) * np.exp(rng.standard_normal((s[0], 1)) / 2) * np.exp(rng.standard_normal(s[1]) / 2)
    ),
    "heavy tails": lambda rng, s: rng.standard_t(3, s),
    "low rank": lambda rng, s: (
        rng.standard_normal(s) + 0.3 * rng.standard_normal((s[0], 8)) @ rng.standard_normal((8, s[1]))
    ),
    "one dense sub-block": lambda rng, s: (
        rng.standard_normal(s) + np.pad(3 * rng.standard_normal((50, 50)), [(0, size - 50) for size in s])
    ),
    "block triangular": lambda rng, s: (
        rng.standard_normal(s) * (1 + 2 * np.kron(np.tril(np.ones((4, 4))), np.ones((s[0] // 4, s[1] // 4))))
    ),
    "overlapping blocks": lambda rng, s: (
        rng.standard_normal(s) * (1 + 2 * np.kron(np.eye(4) + np.eye(4, k=1), np.ones((s[0] // 4, s[1] // 4))))
    ),
}


@pytest.mark.parametrize("make", HARDER.values(), ids=HARDER)
@pytest.mark.parametrize("null", [NORMAL, None], ids=["known", "estimated"])
def test_what_has_no_blocks_gets_none(make, null):
    for seed in range(6):
        weight = make(np.random.default_rng([seed, 1]), (160, 160))
        assert is_refused(anneal_blocks(weight, null, seed=seed))


def test_blocks_in_noise_that_is_larger_than_the_null_are_refused():
    weight, *_ = planted()
    assert "energy that the null allows" in certificate(anneal_blocks(weight, replace(NORMAL, scale=0.9))).reason
    assert is_refused(anneal_blocks(weight, replace(NORMAL, scale=0.9)))
    estimated = replace(NORMAL, scale=0.9, estimated=True)
    assert anneal_blocks(weight, estimated).decomposition is not None, "what was estimated is estimated again"


# Any weight.


def odd(where, rest=0.0):
    weight = np.full((40, 40), rest) if np.isscalar(rest) else rest
    weight[3, 7] = where
    return weight


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


DEGENERATE = {
    "no rows": np.zeros((0, 5)),
    "no columns": np.zeros((5, 0)),
    "nothing": np.zeros((0, 0)),
    "one entry": np.ones((1, 1)),
    "one row": noise(1, 50),
    "one column": noise(50, 1),
    "two rows": noise(2, 300),
    "fewer rows than singular vectors": noise(3, 5),
    "constant": np.full((40, 40), 1.1),
    "zero": np.zeros((40, 40)),
    "negative zero": -np.zeros((40, 40)),
    "NaN": np.full((40, 40), np.nan),
    "infinite": np.full((40, 40), -np.inf),
    "one entry among zeros": odd(1e30),
    "one NaN among zeros": odd(np.nan),
    "one huge entry": odd(1e300, noise(40, 40)),
    "one row of NaN": np.where(np.arange(40)[:, None] == 3, np.nan, noise(40, 40)),
    "a tenth NaN": np.where(noise(40, 40, seed=1) > 1.28, np.nan, noise(40, 40)),
    "half zero": np.where(np.arange(40)[:, None] < 20, 0, noise(40, 40)),
    "sparse": np.where(noise(40, 40, seed=1) > 1.6, noise(40, 40), 0),
    "identity": np.eye(40),
    "large float32": (1e37 * noise(40, 40)).astype(np.float32),
    "small float32": (1e-42 * noise(40, 40)).astype(np.float32),
    "subnormal": 1e-310 * noise(40, 40),
    "large float16": (1e4 * noise(40, 40)).astype(np.float16),
    "int64": np.random.default_rng(0).integers(-3, 4, (40, 40)),
    "int8": np.random.default_rng(0).integers(-128, 128, (40, 40), np.int8),
    "uint8": np.random.default_rng(0).integers(0, 256, (40, 40), np.uint8),
    "bool": noise(40, 40) > 0,
}


@pytest.mark.parametrize("weight", DEGENERATE.values(), ids=DEGENERATE)
@pytest.mark.parametrize("null", NULLS, ids=["normal", "uniform", "estimated"])
def test_a_weight_in_which_there_can_be_no_blocks_gets_none_and_no_warning(weight, null):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decision = anneal_blocks(weight, null)
    assert is_refused(decision)
    assert (decision.partition.inputs.size, decision.partition.outputs.size) == weight.shape
    assert Evidence.from_dict(decision.evidence.to_dict()) == decision.evidence


def test_a_weight_from_which_no_null_can_be_estimated_says_so():
    decision = anneal_blocks(np.zeros((30, 40)))
    assert certificate(decision).reason.startswith("no null can be estimated from 0 entries")
    assert decision.evidence.null is None


@pytest.mark.parametrize("null", NULLS, ids=["normal", "uniform", "estimated"])
def test_blocks_with_exact_zeros_outside_are_kept(null):
    inside = np.kron(np.eye(4), np.ones((20, 20)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decision = anneal_blocks(inside * noise(80, 80), null)
    assert [block.inputs.tolist() for block in decision.decomposition.blocks] == np.arange(80).reshape(4, 20).tolist()


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float64, ">f4", ">f8"])
@pytest.mark.parametrize("null", NULLS, ids=["normal", "uniform", "estimated"])
def test_the_type_and_the_layout_of_the_weight_do_not_matter(dtype, null):
    draw = flat if null is UNIFORM else np.random.Generator.standard_normal
    weight, rows, columns = planted(5, draw=draw)
    for array in (weight.astype(dtype), np.asfortranarray(weight.astype(dtype)), weight.astype(dtype)[::-1][::-1]):
        decision = anneal_blocks(array, null)
        assert decision.decomposition is not None and agreement(decision, rows, columns) == 1


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_a_uniform_weight_that_a_half_type_rounded_past_its_support_is_not_residual(dtype):
    weight, *_ = planted(6, (512, 512), draw=flat)
    rounded = weight.astype(dtype)
    assert (np.abs(rounded[np.abs(weight) < 1].astype(float)) >= 1).any()
    decision = anneal_blocks(rounded, UNIFORM)
    assert decision.decomposition is not None and not decision.residual.size


# Blocks that do not exist, beside real ones near what can be seen at all.


@pytest.mark.parametrize(
    ("shape", "count", "signal", "law", "known", "seed"),
    [  # searches that found 1x1 to 4x2 entries of a larger block, or of none, as blocks of their own
        ((256, 256), 4, 0.75, "uniform", True, 1),
        ((256, 256), 4, 0.75, "uniform", True, 4),
        ((128, 128), 4, 1.0, "uniform", True, 3),
        ((128, 128), 2, 1.0, "uniform", False, 1),
        ((192, 256), 3, 1.0, "uniform", False, 2),
        ((256, 256), 4, 1.0, "normal", False, 1),
    ],
)
def test_a_handful_of_entries_is_no_block_beside_real_ones(shape, count, signal, law, known, seed):
    rng = np.random.default_rng([seed, *shape, count, round(100 * signal), law == "uniform"])
    rows, columns = (rng.permutation(np.arange(size) % count) for size in shape)
    if law == "normal":
        noise = rng.standard_normal(shape, np.float32)
    else:
        noise = np.float32(math.sqrt(3)) * (2 * rng.random(shape, np.float32) - 1)
    weight = noise + (rows[:, None] == columns) * np.float32(signal) * rng.standard_normal(shape, np.float32)
    scale = 1 if law == "normal" else math.sqrt(3)
    decision = anneal_blocks(weight, Null(family=law, scale=scale, source="test") if known else None)
    if decision.decomposition is None:
        return  # too weak to be sure of any is right as well
    assert certificate(decision).existence < 1e-3
    for block in decision.decomposition.blocks:
        votes = [np.bincount(rows[block.inputs], minlength=count), np.bincount(columns[block.outputs], minlength=count)]
        true = int((votes[0] * votes[1]).argmax())
        both = int(votes[0][true] * votes[1][true])
        either = block.inputs.size * block.outputs.size + int((rows == true).sum() * (columns == true).sum()) - both
        assert both > either / 2


def test_the_signal_that_is_promised_is_that_of_the_null_in_use():
    """What leaves a bounded support is seen much earlier."""
    for shape, count in (((160, 160), 2), ((384, 384), 4)):
        assert smallest_block_signal(shape, count, "uniform") < 0.8 * smallest_block_signal(shape, count)
    for null, draw in ((NORMAL, np.random.Generator.standard_normal), (UNIFORM, flat)):
        signal = smallest_block_signal((160, 160), 4, null.family)
        for factor, found in ((1.3, True), (0.6, False)):
            noise = [planted(seed, signal=factor * signal * null.sigma, draw=draw)[0] for seed in range(3)]
            assert all((anneal_blocks(weight, null).decomposition is not None) == found for weight in noise)
    decision = anneal_blocks(planted(draw=flat)[0], UNIFORM)
    assert f"2 equal blocks from a signal of {smallest_block_signal((160, 160), 2, 'uniform'):.2f}" in (
        decision.evidence.power
    )
