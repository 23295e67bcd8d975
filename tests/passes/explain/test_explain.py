import json

import numpy as np
import oracles
import pytest
from explanation_examples import CPU, MODEL, D, W
from inspection_examples import three_of
from onnx import helper, numpy_helper

import scission
from scission.ir.findings.explanation import Explanation, UnknownNodeError
from scission.ir.graph.linear import scopes
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.ir.reason import Cause
from scission.models.networks import autoregressive
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import build
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.connectivity.percolation import half_giant
from scission.passes.explain.explain import explain_node
from scission.passes.planning.analysis import analyse
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings

OPSETS = [helper.make_opsetid("", 18), helper.make_opsetid("f", 1)]


def trial(found, what):
    return next(one for one in found.trials if one.what == what)


def test_what_was_tried_agrees_with_the_plan():
    plan = scission.plan(MODEL, **CPU)
    for step in plan.steps:
        found = scission.explain(MODEL, step.node, **CPU)
        assert found.inspection == next(row for row in scission.inspect(MODEL, **CPU) if row.node == step.node)
        taken = [one.what for one in found.trials if one.taken]
        assert taken == ([] if step.lowering == "dense" else [step.lowering])
        assert all(one.refused for one in found.trials if not one.taken and one.what not in ("components", "covers"))
        gains = [one.gain for one in found.trials if one.gain is not None]
        if step.gain is not None:
            assert max(gains) == step.gain


def test_what_is_known_of_weights_is_in_the_order_of_the_model():
    """Another order is tried for the hidden units here, and refused."""
    model = load(planted_ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model)
    known = {}
    assert not make_plan(model, observe=known.__setitem__).reorderings
    seen = survey(model.graph)
    for linear in seen.linears:
        fresh = analyse(linear.canonical(seen.constants)).components
        assert np.array_equal(fresh.inputs, known[linear.address].components.inputs)
        assert np.array_equal(fresh.outputs, known[linear.address].components.outputs)


def test_a_stream_that_the_plan_reorders_is_explained_in_its_new_order():
    model = load(autoregressive.build(np.random.default_rng(0), 64, 150)[0])
    settings = {"batch": [256], "force": True}
    plan = make_plan(model, PlanSettings(**settings))
    assert plan.reorderings
    seen = survey(model.graph)
    weights = [(one.canonical(seen.constants), one.address) for one in seen.linears]
    for step in plan.rewrites:
        found = explain_node(model, step.node, PlanSettings(**settings))
        assert [one.what for one in found.trials if one.taken] == [step.lowering]
        assert max(one.gain for one in found.trials if one.gain is not None) == step.gain
        weight = next(W for W, one in weights if one == step.node)
        for glue in found.glue:
            assert all(weight[k, n] == value for k, n, value in glue.entries)
        assert found.glue


def test_what_glues_blocks_together_is_named_exactly():
    found = scission.explain(MODEL, "/glued", **CPU)
    (few,) = [one for one in found.glue if one.how == "cut"]
    assert few.count == 2 and [entry[:2] for entry in few.entries] == [(0, 255), (255, 64)]
    assert found.percolation.threshold == half_giant(W).threshold and found.percolation.random == 1 / 256


def test_a_dense_weight_is_explained_by_size():
    found = scission.explain(MODEL, "/dense", **CPU)
    half = half_giant(D)
    assert [one.how for one in found.glue] == ["size"] and found.glue[0].entries[0][2] != 0
    assert (found.percolation.gone, found.percolation.threshold) == (1 - half.kept, half.threshold)
    assert trial(found, "components").refused.cause is Cause.CONNECTED
    assert "no group can" in trial(found, "covers").refused.text


@pytest.mark.parametrize(
    ("model", "node", "words"),
    [
        (MODEL, "/dynamic", "computed when the model runs"),
        (MODEL, "/relu", "no product of matrices"),
        (three_of(), "groups", "convolution in groups already"),
    ],
)
def test_what_is_no_linear_is_explained_by_its_reason(model, node, words):
    found = scission.explain(model, node, **CPU)
    assert found.inspection is None and words in found.skipped.reason.text and found.trials == ()


def test_an_unknown_node_is_answered_with_the_nearest():
    with pytest.raises(UnknownNodeError, match=r"there is no node '/glue'; the nearest are /glued"):
        scission.explain(MODEL, "/glue", **CPU)
    for wrong in (3, None):
        with pytest.raises(UnknownNodeError, match=f"named by a string, not by a {type(wrong).__name__}; .*inspect"):
            scission.explain(MODEL, wrong, **CPU)
    cell = build_cell(np.random.default_rng(0), Cell(direction="bidirectional")).model
    found = scission.explain(cell, "cell", **CPU)  # the node itself is no linear; each direction is one
    assert "cell[forward]" in found.skipped.reason.text


def test_a_name_in_a_subgraph_is_enough_where_it_is_the_only_one():
    model = build(np.random.default_rng(0), "if").model
    assert scission.explain(model, "then_linear", **CPU).node == "if.then_branch/then_linear"
    for branch in model.graph.node[-1].attribute:
        for one in branch.g.node:
            one.name = "same"
    with pytest.raises(UnknownNodeError, match=r"several nodes are called 'same'; name one of if.then_branch/"):
        scission.explain(model, "same", **CPU)


def test_a_product_in_a_function_says_so():
    model = build(np.random.default_rng(0), "function").model
    address = next(
        address
        for scope in scopes(load(model).graph)
        for node, address in scope.addresses.items()
        if scope.in_function and node.op_type == "MatMul"
    )
    assert "stands in a function" in scission.explain(model, address, **CPU).skipped.reason.text


def test_operators_that_are_split_together_name_each_other():
    model = planted_ffn.build(np.random.default_rng(0), d=256, hidden=1024, blocks=8).model
    plan = scission.plan(model, **CPU)
    (region,) = plan.regions
    found = trial(scission.explain(model, region.nodes[0], **CPU), "region")
    assert found.taken and region.nodes[1] in found.found and found.gain == region.gain


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_a_recurrent_direction_is_explained_by_its_states(op):
    found = scission.explain(build_cell(np.random.default_rng(0), Cell(op=op)).model, "cell", **CPU)
    assert [one.what for one in found.trials] == ["components", "cells"] and found.percolation.threshold == 0


def test_it_goes_through_json():
    for node in ("/glued", "/dense", "/relu"):
        found = scission.explain(MODEL, node, **CPU)
        data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
        assert data["node"] == node and len(data["trials"]) == len(found.trials)
        assert all(bool(one["refused"]) == (one["cause"] is not None) for one in data["trials"])
    empty = Explanation(model="m", node="n", scope="", operator="Relu")
    assert empty.to_dict()["glue"] == [] and empty.to_dict()["percolation"] is None


def in_functions(**extra):
    """A function that is handed its weight and stays a function, beside a product that may split."""
    inner = helper.make_function(
        "f", "Lin", ["a", "wt"], ["b"], [helper.make_node("Gemm", ["a", "wt"], ["b"], "inner", alpha=2.0)], OPSETS[:1]
    )
    rng = np.random.default_rng(0)
    dense = rng.standard_normal((32, 32)).astype(np.float32)
    other = extra.get("other", dense)
    nodes = [
        helper.make_node("Lin", ["x", "w"], ["h"], "call", domain="f"),
        helper.make_node("MatMul", ["h", "v"], ["y"], "outer"),
    ]
    ends = [[helper.make_tensor_value_info(name, 1, ["n", 32])] for name in "xy"]
    constants = [numpy_helper.from_array(dense, "w"), numpy_helper.from_array(other, "v")]
    graph = helper.make_graph(nodes, "g", *ends, constants)
    return helper.make_model(graph, opset_imports=OPSETS, ir_version=9, functions=[inner])


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize(
    "other", [None, np.kron(np.eye(4), np.ones((8, 8))).astype(np.float32)], ids=["dense", "blocks"]
)
def test_a_product_in_a_function_that_stays_one_has_a_row_and_is_explained(force, other):
    model = in_functions(**({} if other is None else {"other": other}))
    plan = scission.plan(model, force=force, **CPU)
    rows = {row.node: row for row in scission.inspect(model, **CPU)}
    assert rows.keys() == {"inner", "outer"} == {step.node for step in plan.steps}
    assert plan.inline == () and rows["inner"].operator == "Gemm"
    found = scission.explain(model, "inner", **CPU)
    assert found.inspection == rows["inner"] and found.percolation is not None
    call = scission.explain(model, "call", **CPU)
    assert call.skipped is not None and call.skipped.reason.text.endswith("taken by themselves: inner")
    changed = scission.apply(model, plan)
    x = {"x": np.random.default_rng(1).standard_normal((3, 32)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, x), oracles.run(changed, x))


def test_channels_that_a_convolution_computes_though_they_are_dead_are_told_alike_everywhere():
    W = np.random.default_rng(0).standard_normal((64, 64, 1, 1)).astype(np.float32)
    W[:16], W[:, :8] = 0, 0
    nodes = [("Conv", ["x", "W"], ["y"], {"name": "c"})]
    model = oracles.graph(nodes, {"x": ["n", 64, 4, 4]}, {"y": ["n", 64, 4, 4]}, {"W": W})
    (step,), (row,) = scission.plan(model, threads=1).steps, scission.inspect(model)
    assert (step.dormant_inputs, step.dormant_outputs) == (row.dormant_inputs, row.dormant_outputs) == (8, 16)
    told = "16 of the outputs have no edge, but they are computed all the same"
    assert told in step.reason.text and told in row.reason.text
    found = {one.what: one.found for one in scission.explain(model, row.node).trials}
    assert "65.6% of the multiply-adds, 87.5% as Conv can be split here" in found["components"]
    assert found["grouped"] == "1 block, 87.5% of the multiply-adds" and row.blocks == 0.65625
