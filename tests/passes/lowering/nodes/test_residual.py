"""The exact shape of residual entries and of blocks that are added up; that they are right is in test_linear.py."""

import dataclasses

import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scission
from scission.ir.plan.plan import Block, Decomposition, PlanError
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import build
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.lowering.nodes.residual import levels


def operators_of(kind, cover, lowering="scatter", opset=21, edit=lambda model: model, **options):
    """Operators of the rewritten model in order, and the model."""
    planted = build(np.random.default_rng(0), kind, **options)
    planted.model.opset_import[0].version = opset
    plan = oracles.unmerged(scission.plan(planted.model, force=True, regions=False), planted, lowering, cover)
    split = scission.apply(planted.model, plan)
    return [node.op_type for node in split.graph.node], split


RESIDUAL = ["Gather", "Mul", "ScatterND"]


def test_residual_entries_are_gathered_scaled_and_added():
    def cover(truth):
        first, *others = truth.blocks
        residual = tuple((int(first.inputs[-1]), int(n)) for n in first.outputs)
        return Decomposition(truth.shape, (Block(first.inputs[:-1], first.outputs), *others), residual=residual)

    operators, split = operators_of("matmul-right-2", cover)
    assert operators[-5:] == ["Gather", *RESIDUAL, "Transpose"] and operators.count("Gemm") == 3
    (add,) = (node for node in split.graph.node if node.op_type == "ScatterND")
    assert onnx.helper.get_node_attr_value(add, "reduction") == b"add"


@pytest.mark.parametrize(("opset", "dtype"), [(15, np.float32), (21, np.float16)])
def test_where_scatternd_cannot_add_rows_are_read_and_put_back(opset, dtype):
    operators, _ = operators_of("matmul-right-2", oracles.with_residual, opset=opset, dtype=dtype)
    assert [one for one in operators if one != "Reshape"][-6:-1] == ["Gather", "Mul", "Gather", "Add", "ScatterND"]


def test_several_residual_entries_of_one_output_are_added_in_steps():
    def cover(truth):
        return Decomposition(
            truth.shape,
            truth.blocks[1:],
            residual=tuple((int(k), int(n)) for k in truth.blocks[0].inputs for n in truth.blocks[0].outputs),
        )

    operators, _ = operators_of("matmul-right-2", cover)
    deep = build(np.random.default_rng(0), "matmul-right-2").truth["linear"].blocks[0].inputs.size
    assert operators.count("Mul") == deep > 1 and operators.count("ScatterND") == deep + 1


def test_blocks_that_share_outputs_are_added_to_the_zero_channel_which_holds_the_bias():
    operators, split = operators_of("gemm-c-N", oracles.split_k)
    assert operators[-11:] == ["Shape", "Gather", "Concat", "Expand", *["ScatterND"] * 6, "Transpose"]
    assert operators.count("Gemm") == 6
    (channel,) = (t for t in split.graph.initializer if t.name.endswith("zero/channel"))
    assert onnx.numpy_helper.to_array(channel).all()


@pytest.mark.parametrize("cover", [oracles.split_k, oracles.with_residual])
def test_what_has_no_features_first_layout_is_refused_by_name(cover):
    with pytest.raises(PlanError, match=r"linear: .* are added up in features-first layout"):
        operators_of("conv-2d", cover)


@pytest.mark.parametrize(
    ("cover", "lowering"),
    [(oracles.split_k, "permute"), (oracles.split_k, "batched"), (oracles.with_residual, "permute")],
)
def test_a_lowering_that_cannot_add_is_refused(cover, lowering):
    with pytest.raises(PlanError, match=f"'{lowering}' .*; use 'scatter'"):
        operators_of("matmul-right-2", cover, lowering)


def test_an_edited_plan_that_drops_a_residual_entry_or_a_block_is_refused():
    planted = build(np.random.default_rng(0), "matmul-right-2")
    plan = scission.plan(planted.model, force=True)
    for made, dropped in (
        (oracles.with_residual, lambda d: Decomposition(d.shape, d.blocks, residual=d.residual[1:])),
        (oracles.split_k, lambda d: Decomposition(d.shape, d.blocks[1:], split_k=True)),
    ):
        edited = oracles.unmerged(
            plan, planted, "scatter", lambda truth, made=made, dropped=dropped: dropped(made(truth))
        )
        with pytest.raises(PlanError, match="reads an input outside its block"):
            scission.apply(planted.model, edited)


@given(st.sets(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=20))
def test_steps_hold_every_residual_entry_once_and_no_output_twice(entries):
    found = levels(Decomposition((6, 6), (), residual=tuple(sorted(entries))))
    assert sorted(tuple(one) for step in found for one in step.tolist()) == sorted(entries)
    assert all(len(set(step[:, 1].tolist())) == len(step) for step in found)
    most = max(np.bincount([n for _, n in entries], minlength=1)) if entries else 0
    assert len(found) == most


def test_a_plan_with_residual_entries_is_made_carried_out_and_read_back():
    rng = np.random.default_rng(0)
    W = np.kron(np.eye(4), rng.standard_normal((300, 300))).astype(np.float32)
    glue = {(int(k), int(n)) for k, n in zip(rng.integers(0, 300, 400), rng.integers(300, 1200, 400), strict=True)}
    for entry in glue:
        W[entry] = 1
    model = oracles.graph([("MatMul", "wx", "y")], {"x": [1200, "m"]}, {"y": [1200, "m"]}, {"w": W.T.copy()})
    plan = scission.plan(model, batch=[256], threads=1)
    (step,) = plan.steps
    assert set(step.decomposition.residual) <= glue and "entries apart" in str(step.reason)
    assert scission.Plan.loads(plan.dumps()) == plan
    verdict = scission.check(model, scission.apply(model, plan))
    assert verdict.equal and all(probe.within for probe in verdict.probes)


def edited(plan, nodes, **fields):
    """The plan with other fields in the decompositions of some steps."""
    steps = [
        dataclasses.replace(step, decomposition=dataclasses.replace(step.decomposition, **fields))
        if step.node in nodes
        else step
        for step in plan.steps
    ]
    return dataclasses.replace(plan, steps=tuple(steps))


@pytest.mark.parametrize("make", [lambda: ffn_plan(), lambda: lstm_plan()])
def test_what_several_operators_compute_together_has_no_residual_entries_and_no_sums(make):
    model, plan = make()
    assert {step.lowering for step in plan.steps} <= {"region", "cells"}
    node = plan.steps[0].node
    block = plan.steps[0].decomposition.blocks[0]
    free = np.setdiff1d(np.arange(plan.steps[0].shape[0]), block.inputs)
    for fields in ({"residual": ((int(free[0]), int(block.outputs[0])),)}, {"split_k": True}):
        with pytest.raises(PlanError, match=f"{node}: .* has no place for"):
            scission.apply(model, edited(plan, [node], **fields))


def ffn_plan():
    model = planted_ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model
    return model, scission.plan(model, force=True)


def lstm_plan():
    model = build_cell(np.random.default_rng(0), Cell()).model
    return model, scission.plan(model, force=True)
