"""The exact shape of blocks by the operator itself; that it computes the right thing is in test_linear.py."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from random_stacks import ENTRIES, planted, random_stack

import scission
from scission.ir.plan.plan import Block
from scission.models.planted.products import build

CPU = {"provider": "cpu", "threads": 1}


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


@settings(max_examples=40)
@given(st.integers(0, 1 << 20), st.booleans())
def test_random_stacks_compute_the_same_block_by_block(seed, optimised):
    model, feeds, apart = random_stack(seed)
    before = oracles.runs(model, feeds, optimised=optimised)
    if before is None:
        return
    plan = scission.plan(model, force=True, **CPU)
    assert bool(plan.rewrites) <= apart
    after = oracles.run(scission.apply(model, plan), feeds, optimised)
    oracles.assert_close(before, after)


def experts(width=24, parts=4, rows=1, readers=1):
    """Tokens (t, rows, K), each multiplied with the matrix of the expert that is picked for it."""
    rng = np.random.default_rng(0)
    W = np.stack([planted(rng, [(width, width)] * parts, 0) for _ in range(ENTRIES)])
    nodes = [helper.make_node("Gather", ["W", "i"], ["w"], "pick", axis=0)]
    nodes += [helper.make_node("MatMul", ["x", "w"], [f"y{one}"], f"experts{one}") for one in range(readers)]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["t", rows, width * parts])
    index = helper.make_tensor_value_info("i", TensorProto.INT64, ["t"])
    told = [helper.make_tensor_value_info(f"y{one}", TensorProto.FLOAT, None) for one in range(readers)]
    graph = helper.make_graph(nodes, "g", [x, index], told, [numpy_helper.from_array(W, "W")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_experts_are_picked_block_by_block_and_the_whole_stack_goes():
    model = experts()
    plan = scission.plan(model, force=True, **CPU)
    assert [step.node for step in plan.rewrites] == ["experts0"] and not plan.skipped
    changed = scission.apply(model, plan)
    blocks = len(plan.rewrites[0].decomposition.blocks)
    stacks = [one for one in changed.graph.initializer if len(one.dims) == 3]
    assert oracles.operators(changed)["Gather"] >= blocks == len(stacks)
    assert {one.dims[0] for one in stacks} == {ENTRIES} and "W" not in {one.name for one in stacks}


def test_copies_of_what_is_picked_are_priced():
    gains = [scission.plan(experts(rows=rows), batch=[16], **CPU).steps[0].gain for rows in (1, 64)]
    assert gains[0] is not None and gains[1] is not None and gains[0] > gains[1]


@pytest.mark.parametrize("readers", [1, 2])
def test_matrices_that_several_read_are_left(readers):
    plan = scission.plan(experts(readers=readers), force=True, **CPU)
    assert len(plan.steps) == (readers == 1)
    assert [skip.op for skip in plan.skipped] == (["Gather"] if readers > 1 else [])
