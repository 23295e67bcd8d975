"""The exact shape of the `permute` lowering; that it computes the right thing is in test_linear.py."""

import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.ir.plan.plan import Block, Decomposition
from scission.models.matrix import weight
from scission.models.planted.products import build
from scission.passes.lowering.linear.permute import arranged

ENTER = ["Slice", "Shape", "Expand", "GatherElements", "Split"]
LEAVE = ["Concat", "Expand", "GatherElements"]


def operators_of(kind, **options):
    """Operators of the rewritten model in order, and the model."""
    planted = build(np.random.default_rng(0), kind, **options)
    plan = scission.plan(planted.model, provider="cpu", force=True)
    split = scission.apply(planted.model, oracles.unmerged(plan, planted, "permute"))
    return [node.op_type for node in split.graph.node], split


@pytest.mark.parametrize(
    ("kind", "operator"),
    [
        ("matmul-right-2", "MatMul"),
        ("matmul-right-unknown", "MatMul"),
        ("gemm-c-N", "Gemm"),
        ("einsum-mk,kn", "Einsum"),
    ],
)
def test_the_operator_once_a_block_between_two_permutations(kind, operator):
    assert operators_of(kind)[0] == [*ENTER, *[operator] * 3, *LEAVE]


def test_one_row_needs_no_indices_for_every_element():
    assert operators_of("matmul-right-1")[0] == ["Gather", "Split", *["MatMul"] * 3, "Concat", "Gather"]


def test_what_is_in_order_is_not_permuted():
    assert operators_of("matmul-right-2", contiguous=True)[0] == ["Split", *["MatMul"] * 3, "Concat"]


@pytest.mark.parametrize("kind", ["matmul-right-2", "gemm-c-N"])
def test_dormant_outputs_are_a_constant_row_which_holds_the_bias(kind):
    operators, split = operators_of(kind, dormant=(0, 3))
    assert operators.count("Expand") == 3 and operators.count("Shape") == 1
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in split.graph.initializer}
    (channel,) = (array for name, array in constants.items() if name.endswith("zero/channel"))
    assert channel.shape == (3,) and channel.any() == (kind == "gemm-c-N")


def test_one_end_in_order_stays_as_it_is():
    """Blocks are taken in the order of the end that needs no permutation then."""
    W, truth = weight(np.random.default_rng(0), ((4, 3), (2, 5), (3, 3)), contiguous=True)
    order = np.random.default_rng(1).permutation(9)
    shuffled = [Block(np.flatnonzero(np.isin(order, block.inputs)), block.outputs) for block in truth.blocks]
    nodes = [("MatMul", ["x", "W"], ["y"])]
    model = oracles.graph(nodes, {"x": ["m", 9]}, {"y": ["m", 11]}, {"W": W[order]})
    for blocks in (shuffled, shuffled[::-1]):
        plan = oracles.edited(scission.plan(model, provider="cpu", force=True), "permute", lambda _, b=blocks: b)
        split = scission.apply(model, plan)
        assert [node.op_type for node in split.graph.node] == [*ENTER, *["MatMul"] * 3, "Concat"]
        x = {"x": np.random.default_rng(2).standard_normal((5, 9)).astype(np.float32)}
        oracles.assert_close(oracles.run(model, x), oracles.run(split, x))


@given(oracles.block_sizes(), st.booleans(), st.integers(0, 99))
def test_arranging_keeps_the_blocks_and_their_numbers(sizes, contiguous, seed):
    _, truth = weight(np.random.default_rng(seed), sizes, contiguous=contiguous)
    order = np.random.default_rng(seed).permutation(len(sizes))
    mixed = Decomposition(truth.shape, tuple(truth.blocks[i] for i in order))
    parts = arranged(mixed)
    assert sorted(number for number, _ in parts) == list(range(len(sizes)))
    assert all(mixed.blocks[number] == block for number, block in parts)
    if contiguous:
        assert np.concatenate([block.inputs for _, block in parts]).tolist() == list(range(truth.shape[0]))
