"""Stacks of like shape, rows first; that the lowering computes the right thing is what the common suite asks."""

import math

import numpy as np
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lowering_suite import check_kind

import scission
from scission.models.matrix import weight
from scission.models.planted.products import KINDS, build
from scission.passes.lowering.linear.stacked import STACKS, Stacked
from scission.passes.lowering.prices import prices_of

DORMANT = st.tuples(st.integers(0, 3), st.integers(0, 7))
CUDA = prices_of("cuda")


SUITED = (
    *("matmul-right", "gemm-c", "gemm-alpha", "gemm-beta", "fused-matmul", "einsum-bsk", "bias", "residual", "dormant"),
    *("opset", "fp", "function", "through-cast", "tied"),
)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith(SUITED)])
def test_it_keeps_to_what_every_lowering_does(kind):
    check_kind(Stacked(), kind)


def test_it_suits_most_kinds_with_features_on_the_last_axis():
    assert sum(check_kind(Stacked(), kind) for kind in ("matmul-right-2", "matmul-right-3", "gemm", "gemm-c-N")) >= 8


@given(oracles.block_sizes(largest=9), DORMANT, st.sampled_from([1, 8]), st.integers(0, 99))
def test_every_block_has_a_place_and_little_is_padded(sizes, dormant, tile, seed):
    _, truth = weight(np.random.default_rng(seed), sizes, dormant)
    own = sum(math.prod(-(-side // tile) * tile for side in block.shape) for block in truth.blocks)
    entries = Stacked().entries(truth, tile)
    assert entries >= own
    distinct = {tuple(-(-side // tile) * tile for side in block.shape) for block in truth.blocks}
    if len(distinct) <= STACKS and not truth.dormant_outputs.size:
        assert entries <= 1.25 * own


@given(oracles.block_sizes(largest=6), DORMANT, st.integers(0, 99), st.integers(0, 3))
def test_results_are_those_of_the_dense_product(sizes, dormant, seed, rows):
    rng = np.random.default_rng(seed)
    W, _ = weight(rng, sizes, dormant)
    nodes = [("MatMul", ["x", "W"], ["y"])]
    model = oracles.graph(nodes, {"x": ["m", W.shape[0]]}, {"y": ["m", W.shape[1]]}, {"W": W})
    plan = scission.plan(model, provider="cpu", threads=1, force=True, lowering="stacked")
    if all(step.lowering == "dense" for step in plan.steps):
        return
    x = rng.standard_normal((rows, W.shape[0]), np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(scission.apply(model, plan), {"x": x}))


@pytest.mark.parametrize(
    ("contiguous", "operators"),
    [
        (False, ["Gather", "Transpose", "Reshape", "MatMul", "Transpose", "Reshape", "Gather"]),
        (True, ["Reshape", "Transpose", "Reshape", "MatMul", "Transpose", "Reshape"]),
    ],
)
def test_one_gather_each_way(contiguous, operators):
    planted = build(np.random.default_rng(0), "gemm", sizes=((3, 4),) * 3, contiguous=contiguous)
    plan = oracles.unmerged(scission.plan(planted.model, provider="cpu", force=True), planted, "stacked")
    split = scission.apply(planted.model, plan)
    assert [node.op_type for node in split.graph.node] == operators


def test_large_and_small_blocks_are_stacked_apart():
    W, truth = weight(np.random.default_rng(3), ((32, 32),) * 2 + ((4, 4),) * 16)
    assert Stacked().entries(truth, 1) == 2 * 32 * 32 + 16 * 4 * 4
    nodes = [("MatMul", ["x", "W"], ["y"])]
    model = oracles.graph(nodes, {"x": ["m", W.shape[0]]}, {"y": ["m", W.shape[1]]}, {"W": W})
    plan = scission.plan(model, provider="cpu", threads=1, force=True, lowering="stacked")
    operators = [node.op_type for node in scission.apply(model, plan).graph.node]
    assert operators.count("MatMul") == 2 and operators.count("Concat") == 1
