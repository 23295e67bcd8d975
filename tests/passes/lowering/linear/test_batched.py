"""Blocks stacked to one shape; that the lowering computes the right thing is in test_linear.py."""

import dataclasses
from fractions import Fraction

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scission
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Decomposition
from scission.models.matrix import weight
from scission.models.planted.products import build
from scission.passes.lowering.linear.padded import pad, padded_shape
from scission.passes.lowering.target import Target

DORMANT = st.tuples(st.integers(0, 3), st.integers(0, 7))


def by_hand(W, decomposition, tile):
    """The largest sides, counted up to a multiple, with room for all outputs."""
    B = len(decomposition.blocks)
    k, n = (max(block.shape[side] for block in decomposition.blocks) for side in (0, 1))
    while k % tile:
        k += 1
    while n % tile or B * n < W.shape[1]:
        n += 1
    return B, k, n


@given(oracles.block_sizes(), DORMANT, st.sampled_from([1, 2, 8]), st.integers(0, 99))
def test_a_stack_holds_every_entry_and_every_output_once(sizes, dormant, tile, seed):
    W, truth = weight(np.random.default_rng(seed), sizes, dormant)
    stack = pad(truth, tile)
    assert stack.shape == padded_shape(truth, tile) == by_hand(W, truth, tile)
    B, _, n = stack.shape
    stacked, places = stack.weight(W), stack.places()
    whole = np.zeros((W.shape[0], B * n), np.float64)
    for block in range(B):
        for reading, source in enumerate(stack.inputs[block]):  # what an input gives to all of its readings adds up
            whole[source, block * n : (block + 1) * n] += stacked[block, reading]
    np.testing.assert_array_equal(whole[:, places], W)
    assert len(set(places.tolist())) == W.shape[1]
    unread = np.setdiff1d(np.arange(B * n), places)
    assert not whole[:, unread].any()
    vector = np.arange(1, W.shape[1] + 1)
    np.testing.assert_array_equal(stack.spread(vector)[places], vector)
    assert not stack.spread(vector)[unread].any()


@given(oracles.block_sizes(largest=7), st.sampled_from([1, 8, 64]))
def test_the_readings_of_an_input_add_up_to_one_in_powers_of_two(sizes, tile):
    _, truth = weight(np.random.default_rng(0), sizes)
    stack = pad(truth, tile)
    for inputs, shares, block in zip(stack.inputs, stack.shares, truth.blocks, strict=True):
        assert set(inputs.tolist()) == set(block.inputs.tolist())
        for one in block.inputs:
            parts = [Fraction(share) for share in shares[inputs == one]]
            assert sum(parts) == 1
            assert max(parts) <= 2 * min(parts) and all(p.numerator == 1 for p in parts)
            assert all(p.denominator & (p.denominator - 1) == 0 for p in parts)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_what_cannot_be_halved_stays_whole(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    W = np.zeros((5, 4), dtype)
    W[:4, :3], W[4, 3] = 1, 3 * tiny
    (found,) = scission.plan(model_of(W), provider="cpu", force=True).steps
    truth = Decomposition(W.shape, (found.decomposition.blocks[0], found.decomposition.blocks[-1]))
    stack = pad(truth)
    index = next(i for i, block in enumerate(truth.blocks) if block.inputs.tolist() == [4])
    column = stack.outputs[index].tolist().index(3)
    assert stack.weight(W)[index, :, column].tolist() == [3 * tiny, 0, 0, 0]


def model_of(W, rows="m"):
    nodes = [("MatMul", ["x", "W"], ["y"])]
    return oracles.graph(nodes, {"x": [rows, W.shape[0]]}, {"y": [rows, W.shape[1]]}, {"W": W})


def test_tensor_cores_want_multiples_of_eight():
    assert [
        Target(provider="cuda").tile(t) for t in (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.FLOAT)
    ] == [8, 8, 1]
    assert Target().tile(ir.DataType.FLOAT16) == 1


@pytest.mark.parametrize(
    ("kind", "contiguous", "operators"),
    [
        ("gemm", False, ["Transpose", "Gather", "Reshape", "MatMul", "Reshape", "Gather", "Transpose"]),
        ("matmul-left-2", False, ["Gather", "Reshape", "MatMul", "Reshape", "Gather"]),
        ("matmul-left-2", True, ["Reshape", "MatMul", "Reshape"]),
        ("gemm-c-N", True, ["Transpose", "Reshape", "MatMul", "Reshape", "Add", "Transpose"]),
        ("gemm-alpha", True, ["Transpose", "Reshape", "MatMul", "Reshape", "Mul", "Add", "Transpose"]),
    ],
)
def test_one_product_for_all_blocks(kind, contiguous, operators):
    planted = build(np.random.default_rng(0), kind, sizes=((3, 4),) * 3, contiguous=contiguous)
    plan = oracles.unmerged(scission.plan(planted.model, provider="cpu", force=True), planted, "batched")
    split = scission.apply(planted.model, plan)
    assert [node.op_type for node in split.graph.node] == operators


def test_padding_that_saves_nothing_is_refused():
    W, truth = weight(np.random.default_rng(0), ((7, 7), (1, 1)))
    model = model_of(W)
    plan = oracles.edited(scission.plan(model, provider="cpu", force=True), "batched", lambda _: truth.blocks)
    with pytest.raises(scission.PlanError, match=r"n0: 2 blocks padded to 7x7 need no fewer multiply-adds.*'scatter'"):
        scission.apply(model, plan)


@settings(max_examples=20)
@given(oracles.block_sizes(most=6, largest=12), DORMANT, st.integers(0, 99))
def test_a_plan_for_cuda_is_padded_to_tiles_and_right_on_a_cpu_too(sizes, dormant, seed):
    W, truth = weight(np.random.default_rng(seed), [*sizes, (8, 8), (8, 8), (8, 8)], dormant, np.float16)
    model = model_of(W)
    made = scission.plan(model, provider="cpu", force=True)
    plan = dataclasses.replace(oracles.edited(made, "batched", lambda _: truth.blocks), provider="cuda")
    try:
        split = scission.apply(model, plan)
    except scission.PlanError as error:
        assert "padded to" in str(error)
        return
    (stacked,) = (tensor for tensor in split.graph.initializer if tensor.name.endswith("blocks/weight"))
    assert stacked.dims[1] % 8 == 0 and stacked.dims[2] % 8 == 0
    x = {"x": np.random.default_rng(seed).standard_normal((3, W.shape[0])).astype(np.float16)}
    oracles.assert_close(oracles.run(model, x), oracles.run(split, x))
