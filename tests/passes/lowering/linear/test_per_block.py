"""The exact shape of blocks by the operator itself; that it computes the right thing is in test_linear.py."""

import numpy as np
import oracles
import pytest

import scission
from scission.ir.plan.plan import Block
from scission.models.planted.products import build


def operators_of(kind, lowering="split", contiguous=True, **options):
    planted = build(np.random.default_rng(0), kind, contiguous=contiguous, **options)
    plan = scission.plan(planted.model, provider="cpu", force=True)
    split = scission.apply(planted.model, oracles.unmerged(plan, planted, lowering))
    return [node.op_type for node in split.graph.node], split


@pytest.mark.parametrize(
    ("kind", "operator"),
    [("matmul-right-3", "MatMul"), ("gemm-c-N", "Gemm"), ("einsum-bsk,nk->bsn", "Einsum"), ("conv-2d", "Conv")],
)
def test_split_is_the_operator_once_a_block_between_split_and_concat(kind, operator):
    assert operators_of(kind)[0] == ["Split", operator, operator, operator, "Concat"]


def test_attributes_stay_with_the_operator():
    _, split = operators_of("conv-2d-strides")
    original = build(np.random.default_rng(0), "conv-2d-strides", contiguous=True).model.graph.node[0]
    for node in split.graph.node:
        if node.op_type == "Conv":
            assert {a.name: a for a in node.attribute} == {a.name: a for a in original.attribute}


def test_scattered_channels_of_a_convolution_are_gathered_as_planes():
    operators, split = operators_of("conv-2d", "scatter", contiguous=False)
    assert operators == ["Gather", "Gather", "Gather", "Conv", "Conv", "Conv", "Concat", "Gather"]
    assert {a.i for n in split.graph.node if n.op_type == "Gather" for a in n.attribute} == {1}


def test_a_bias_is_folded_into_blocks_of_two_dimensions_and_stays_behind_others():
    weight = np.kron(np.eye(2), np.ones((2, 3))).astype(np.float32)
    nodes = [("MatMul", ["x", "w"], ["t"]), ("Add", ["t", "b"], ["y"])]
    for lead, expected in (
        (["m"], ["Split", "Gemm", "Gemm", "Concat"]),
        (["m", "n"], ["Split", "MatMul", "MatMul", "Concat", "Add"]),
    ):
        constants = {"w": weight, "b": np.arange(6, dtype=np.float32)}
        model = oracles.graph(nodes, {"x": [*lead, 4]}, {"y": [*lead, 6]}, constants)
        (step,) = scission.plan(model, provider="cpu", force=True).steps
        blocks = [Block([0, 1], [0, 1, 2]), Block([2, 3], [3, 4, 5])]
        plan = oracles.edited(scission.plan(model, provider="cpu", force=True), "split", lambda _, b=blocks: b)
        assert step.sha256
        assert [node.op_type for node in scission.apply(model, plan).graph.node] == expected


def test_one_contiguous_block_needs_no_split():
    operators, _ = operators_of("conv-2d", "scatter", sizes=((4, 3),), dormant=(2, 0))
    assert operators == ["Slice", "Conv"]
