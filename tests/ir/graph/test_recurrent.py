"""Recurrent operators: what is found, how it is split, and that nothing changes."""

import dataclasses

import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from planned_cells import OPERATORS, SEED, assert_same, plan, rewritten

import scission
from scission.ir.graph.recurrent import GATES
from scission.ir.provenance import ORIGIN, ROLE
from scission.ir.reason import Cause
from scission.models.planted.recurrent import PATHS, Cell, build_cell

ACTIVATIONS = {  # name: how many parameters
    **dict.fromkeys(("Tanh", "Sigmoid", "Relu", "Softsign"), 0),
    **dict.fromkeys(("LeakyRelu", "Elu", "ThresholdedRelu"), 1),
    **dict.fromkeys(("HardSigmoid", "ScaledTanh"), 2),
}


@st.composite
def cells(draw):
    op = draw(st.sampled_from(OPERATORS))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    count = 2 if direction == "bidirectional" else 1
    sizes = draw(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4)), min_size=2, max_size=4))
    if not sum(features for features, _ in sizes):
        sizes[0] = (1, sizes[0][1])
    attributes = {}
    if draw(st.booleans()):
        each = {"RNN": 1, "GRU": 2, "LSTM": 3}[op] * count
        names = draw(st.lists(st.sampled_from(sorted(ACTIVATIONS)), min_size=each, max_size=each))
        attributes["activations"] = names
        first, second = (sum(ACTIVATIONS[name] > least for name in names) for least in (0, 1))
        if draw(st.booleans()):
            first = max(first - 1, 0)  # the last one gets its default
        if first:
            attributes["activation_alpha"] = [round(0.1 + 0.05 * i, 2) for i in range(first)]
        if second:
            attributes["activation_beta"] = [round(0.3 + 0.02 * i, 2) for i in range(second)]
    if draw(st.booleans()):
        attributes["clip"] = 0.4
    if op == "GRU" and draw(st.booleans()):
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    if op == "LSTM" and draw(st.booleans()):
        attributes["input_forget"] = draw(st.integers(0, 1))
    how = st.sampled_from([None, "constant", "dynamic"])
    outputs = draw(st.lists(st.booleans(), min_size=3, max_size=3))
    used = outputs if any(outputs[: 3 if op == "LSTM" else 2]) else [True, *outputs[1:]]
    split = draw(st.sampled_from([(True, True), (True, False), (False, True)])) if count == 2 else (True,)
    place = draw(st.sampled_from(["main"] * 3 + ["if", "loop"]))
    return Cell(
        op=op,
        direction=direction,
        sizes=tuple(sizes),
        dormant=draw(st.sampled_from([(0, 0), (1, 0), (0, 2), (2, 1)])),
        contiguous=draw(st.booleans()),
        opset=draw(
            st.sampled_from([7] * (place != "loop") + [11, 13, 14, 17, 21, 22])
        ),  # a Loop carried something once
        bias=draw(how),
        lengths=draw(st.booleans()),
        initial_h=draw(how),
        initial_c=draw(how),
        peepholes=draw(how),
        outputs=tuple(used),
        split=split,
        attributes=attributes,
        place=place,
    )


@settings(max_examples=60)
@given(cells(), st.integers(0, 99))
def test_every_form_computes_what_it_did(cell, seed):
    planted = build_cell(np.random.default_rng(seed), cell)
    chosen, changed = rewritten(planted)
    assert {step.node for step in chosen.rewrites} == planted.truth.keys()
    assert_same(planted, changed, seed)
    merged = scission.apply(planted.model, plan(planted.model))
    assert_same(planted, merged, seed)
    onnx.checker.check_model(changed)
    assert max(oracles.node_names(changed).values()) <= max(oracles.node_names(planted.model).values())
    assert oracles.interface(planted.model) == oracles.interface(changed)


@settings(max_examples=50)
@given(cells(), st.integers(0, 99))
def test_the_plan_knows_the_true_components(cell, seed):
    planted = build_cell(np.random.default_rng(seed), cell)
    chosen = plan(planted.model)
    assert scission.Plan.loads(chosen.dumps()) == chosen
    assert planted.truth.keys() <= {step.node for step in chosen.steps}
    for step in chosen.steps:
        if step.node not in planted.truth:
            assert step.components == 1
            continue
        truth = planted.truth[step.node]
        I, H = truth.shape[0] - truth.shape[1], truth.shape[1]  # noqa: E741
        assert step.shape == truth.shape and step.components == len(truth.blocks)
        assert step.nonzeros == sum(i * o for i, o in (block.shape for block in truth.blocks))
        assert step.giant == max(block.inputs.size for block in truth.blocks) / (I + H)
        assert (step.dormant_inputs, step.dormant_outputs) == cell.dormant
        assert step.parameters == GATES[cell.op] * (I + H) * H
        assert step.states.components == step.states.sccs == len(truth.blocks) + cell.dormant[1]
        assert step.states.layers == 1
        assert not step.decomposition.dormant_outputs.size
        for block in truth.blocks:
            (home,) = [b for b in step.decomposition.blocks if np.isin(block.outputs, b.outputs).any()]
            assert np.isin(block.inputs, home.inputs).all() and np.isin(block.outputs, home.outputs).all()


@pytest.mark.parametrize("place", PATHS)
@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
@pytest.mark.parametrize("op", OPERATORS)
def test_every_place(op, direction, place):
    cell = Cell(op=op, direction=direction, place=place, lengths=True, initial_h="dynamic", dormant=(1, 1))
    planted = build_cell(np.random.default_rng(SEED), cell)
    chosen, changed = rewritten(planted)
    assert_same(planted, changed)
    found = {}
    for made in oracles.every_node(changed):
        props = {p.key: p.value for p in made.metadata_props}
        if props.get(ROLE, "").startswith("block.") and made.op_type == op:
            found.setdefault(props[ORIGIN], []).append(props[ROLE])
    assert found == {s.node: [f"block.{i}" for i in range(len(s.decomposition.blocks))] for s in chosen.rewrites}
    assert "W" not in oracles.stored(changed) and "R" not in oracles.stored(changed)
    read = {name for made in oracles.every_node(changed) for name in made.input}
    read |= {value.name for body in oracles.every_graph(changed) for value in getattr(body, "output", ()) if value}
    assert oracles.stored(changed) <= read
    verdict = scission.check(planted.model, changed)
    assert verdict.equal and verdict.probes == ()
    again = plan(changed)
    assert not again.rewrites and scission.apply(changed, again) is changed
    assert all(step.reason.cause is Cause.ALREADY_SPLIT for step in again.steps)


@pytest.mark.parametrize("op", OPERATORS)
def test_blocks_that_follow_one_another_need_no_gather(op):
    planted = build_cell(np.random.default_rng(SEED), Cell(op=op, contiguous=True, sizes=((2, 3), (3, 3))))
    _, changed = rewritten(planted)
    counts = oracles.operators(changed)
    assert counts["Gather"] == 0 and counts["Split"] == 1 and counts[op] == 2
    assert_same(planted, changed)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("op", OPERATORS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_reference_evaluator_agrees(op, direction, dtype):
    """ONNX's own implementation knows neither lengths nor activation functions."""
    cell = Cell(op=op, direction=direction, dtype=dtype, initial_h="dynamic", opset=14, dormant=(1, 1))
    planted = build_cell(np.random.default_rng(SEED), cell)
    _, changed = rewritten(planted)
    data = planted.feeds(np.random.default_rng(1))
    before, after = (ReferenceEvaluator(proto).run(None, data) for proto in (planted.model, changed))
    oracles.assert_close(before, after)
    if dtype == np.float32:  # ONNX Runtime has no other kernel on the CPU
        oracles.assert_close(oracles.run(changed, data), after)


@pytest.mark.parametrize("op", OPERATORS)
def test_half_precision(op):
    planted = build_cell(np.random.default_rng(SEED), Cell(op=op, dtype=np.float16))
    _, changed = rewritten(planted)
    assert_same(planted, changed)


def test_minus_zero_is_no_edge_and_nan_is_one():
    planted = build_cell(np.random.default_rng(SEED), Cell(op="RNN", sizes=((2, 2), (2, 2)), bias=None))
    (truth,) = planted.truth.values()
    first, second = truth.blocks
    R = next(tensor for tensor in planted.model.graph.initializer if tensor.name == "R")
    for value, components in ((-0.0, 2), (np.nan, 1), (np.inf, 1), (1e-40, 1)):
        array = numpy_helper.to_array(R).copy()
        array[0, first.outputs[0], second.outputs[0]] = value
        R.CopyFrom(numpy_helper.from_array(array, "R"))
        assert [step.components for step in plan(planted.model).steps] == [components]


def test_an_edge_of_any_gate_joins():
    """Of either weight; a unit that only others read is joined to them."""
    for name, row, column in (("W", 7, 0), ("R", 10, 0)):
        planted = build_cell(np.random.default_rng(SEED), Cell(op="GRU", sizes=((1, 2), (1, 2)), contiguous=True))
        tensor = next(tensor for tensor in planted.model.graph.initializer if tensor.name == name)
        array = numpy_helper.to_array(tensor).copy()
        assert array[0, row, column] == 0 if row % 4 >= 2 else True
        array[0, row, column] = 1
        tensor.CopyFrom(numpy_helper.from_array(array, name))
        assert [step.components for step in plan(planted.model).steps] == [1]


def test_states_are_those_of_the_recurrent_weight_alone():
    R = np.zeros((1, 4, 4), np.float32)
    R[0, 1, 0] = R[0, 2, 1] = R[0, 1, 2] = 1  # 0 -> 1 <-> 2, and 3 alone
    W = np.ones((1, 4, 2), np.float32)
    nodes = [("RNN", ["x", "W", "R"], ["y"], {"hidden_size": 4})]
    proto = oracles.graph(nodes, {"x": ["s", "b", 2]}, {"y": ["s", 1, "b", 4]}, {"W": W, "R": R})
    (step,) = plan(proto).steps
    assert dataclasses.astuple(step.states) == (2, 3, 2, 0.75)
    assert step.components == 1 and step.reason.text.startswith("one component holds every state")


def test_a_weight_of_zeros_stays_as_it_is():
    zeros = {"W": np.zeros((1, 4, 2), np.float32), "R": np.zeros((1, 4, 4), np.float32)}
    nodes = [("RNN", ["x", "W", "R"], ["y"], {"hidden_size": 4})]
    proto = oracles.graph(nodes, {"x": ["s", "b", 2]}, {"y": ["s", 1, "b", 4]}, zeros)
    made = plan(proto)
    assert [step.reason.text for step in made.steps] == ["every entry is zero: there is nothing to multiply"]
    assert scission.apply(proto, made) is proto
    data = proto.SerializeToString()
    assert scission.optimize(data, trials=scission.Trials(provider="cpu")).model is data


def test_what_does_not_pay_stays_dense_and_says_why():
    planted = build_cell(np.random.default_rng(SEED), Cell())
    (step,) = plan(planted.model, force=False).steps
    assert step.lowering == "dense" and step.gain < 1
    assert (
        step.reason.text.startswith("3 blocks, but 0.")
        and "batch x positions 1 x 1, 4 x 4, 16 x 16" in step.reason.text
    )


def test_large_blocks_pay():
    planted = build_cell(np.random.default_rng(SEED), Cell(sizes=((64, 128),) * 8))
    (step,) = plan(planted.model, force=False).steps
    assert (
        step.lowering == "cells" and step.gain > 1.1 and step.reason.text.startswith("8 independent blocks of states")
    )
    result = scission.optimize(planted.model, bench=False, trials=scission.Trials(provider="cpu", threads=1))
    assert result.outcome == "split" and result.verdict.equal


def test_linears_around_recurrent_operators_are_split_too():
    rng = np.random.default_rng(SEED)
    planted = build_cell(rng, Cell(op="LSTM", outputs=(True, False, False), sizes=((3, 4), (2, 2))))
    square = np.kron(np.eye(2), np.ones((3, 3))).astype(np.float32)
    narrow = np.kron(np.eye(1), np.ones((5, 5))).astype(np.float32)
    narrow[:2, 2:] = narrow[2:, :2] = 0
    proto = planted.model.graph
    proto.node[0].input[0], proto.node[0].output[0] = "x0", "y0"
    before = helper.make_node("MatMul", ["X", "N"], ["x0"], "before")
    nodes = [before, *proto.node, helper.make_node("MatMul", ["y0", "S"], ["Y"], "after")]
    del proto.node[:]
    proto.node.extend(nodes)
    proto.initializer.extend(numpy_helper.from_array(a, n) for n, a in (("N", narrow), ("S", square)))
    chosen = plan(planted.model)
    assert [step.node for step in chosen.rewrites] == ["before", "after", "cell"]
    assert_same(planted, scission.apply(planted.model, chosen))
