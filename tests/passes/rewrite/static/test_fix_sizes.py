"""Sizes that are fixed by a plan: carried out, explained, compared at, and refused on another model."""

import dataclasses

import numpy as np
import oracles
import pytest

import scission
from scission.ir.io.load import load
from scission.ir.plan.preparation import FixedSizes
from scission.passes.rewrite.static.fix_sizes import fixed

TRIALS = scission.Trials(provider="cpu", threads=1, seconds=0.01)
HEADS = np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)


def attention(name="batch"):
    """x (batch, time, 8), whose features become two heads by a shape that is computed."""
    nodes = [
        ("MatMul", ["x", "W"], ["h"]),
        ("Shape", ["x"], ["shape"]),
        ("Slice", ["shape", "zero", "two", "zero"], ["lead"]),
        ("Concat", ["lead", "heads"], ["target"], {"axis": 0}),
        ("Reshape", ["h", "target"], ["y"]),
    ]
    held = {"W": HEADS, "zero": np.array([0]), "two": np.array([2]), "heads": np.array([2, 4])}
    return oracles.graph(nodes, {"x": [name, "time", 8]}, {"y": [name, "time", 2, 4]}, held)


def shapes(model):
    graph = load(model).graph.graph
    return [
        [dim if isinstance(dim, int) else dim.value for dim in one.shape] for one in (*graph.inputs, *graph.outputs)
    ]


def test_a_plan_records_what_is_fixed_and_apply_carries_it_out():
    plan = scission.plan(attention(), fix={"batch": 2, "time": 3}, provider="cpu")
    (one,) = plan.preparations
    assert isinstance(one, FixedSizes) and one.sizes == {"batch": 2, "time": 3}
    assert len(one.nodes) == 3
    again = scission.Plan.loads(plan.dumps())
    changed = scission.apply(attention(), again)
    assert shapes(changed) == [[2, 3, 8], [2, 3, 2, 4]]
    assert [node.op_type for node in changed.graph.node] == ["MatMul", "Reshape"]
    verdict = scission.check(attention(), changed, trials=TRIALS)
    assert verdict.equal and verdict.shown and "batch=2, time=3" in verdict.reason
    (bench,) = scission.bench(attention(), changed, trials=TRIALS)
    assert bench.rows == 2


def test_only_what_is_named_is_fixed():
    changed, nodes = fixed(load(attention()).graph, {"batch": 2})
    assert not nodes  # the other extent is computed as before
    assert [str(dim) for dim in changed.graph.outputs[0].shape] == ["2", "time", "2", "4"]


def test_models_that_contradict_the_sizes_asked_for_are_not_run():
    changed = scission.fix_shapes(attention(), {"batch": 2})
    with pytest.raises(scission.InputError, match="fixes 'batch' at 2, so it cannot be run at 3"):
        scission.check(attention(), changed, trials=dataclasses.replace(TRIALS, sizes={"batch": 3}))
    assert not scission.check(attention(), scission.fix_shapes(wrong(), {"batch": 2}), trials=TRIALS).equal


def wrong():
    model = attention()
    weight = next(one for one in model.graph.initializer if one.name == "W")
    weight.CopyFrom(oracles.onnx.numpy_helper.from_array(HEADS * np.float32(1.01), "W"))
    return model


def test_a_plan_for_another_model_is_refused():
    plan = scission.plan(attention(), fix={"batch": 2, "time": 3}, provider="cpu")
    with pytest.raises(scission.PlanError, match="no input has an open dimension 'batch'"):
        scission.apply(attention("rows"), plan)
    model = attention()
    model.graph.node[2].name = "other"
    with pytest.raises(scission.PlanError, match="not what is computed from sizes in the plan"):
        scission.apply(model, plan)


def test_what_is_folded_is_explained_so():
    nodes = [node.name for node in attention().graph.node if node.op_type == "Shape"]
    found = scission.explain(attention(), nodes[0], fix={"batch": 2, "time": 3}, provider="cpu")
    assert found.skipped.reason.cause is scission.Cause.AS_ASKED and isinstance(found.touched[0].by, FixedSizes)


@pytest.mark.parametrize("fix", [{"rows": 2}, {"batch": 0}, {"batch": "2"}, {"batch": True}, {"": 2}])
def test_wrong_names_and_sizes_are_one_error(fix):
    for call in (scission.plan, scission.inspect):
        with pytest.raises(scission.ScissionError):
            call(attention(), fix=fix, provider="cpu")


def test_two_sizes_for_one_name_are_refused():
    with pytest.raises(scission.OptionError, match="two sizes of 'batch'"):
        scission.plan(attention(), fix={"batch": 2}, sizes={"batch": 3}, provider="cpu")


def test_optimize_keeps_the_fixed_model_where_nothing_splits():
    found = scission.optimize(attention(), fix={"batch": 2, "time": 3}, provider="cpu", trials=TRIALS, bench=False)
    assert found.outcome == "split" and found.verdict.equal
    assert shapes(found.model) == [[2, 3, 8], [2, 3, 2, 4]]


def test_optimize_splits_beside_the_fixed_model():
    rng = np.random.default_rng(1)
    W = np.zeros((8, 8), np.float32)
    W[:4, :4], W[4:, 4:] = rng.standard_normal((2, 4, 4), np.float32)
    model = attention()
    next(one for one in model.graph.initializer if one.name == "W").CopyFrom(
        oracles.onnx.numpy_helper.from_array(W, "W")
    )
    found = scission.optimize(model, fix={"batch": 2, "time": 3}, provider="cpu", trials=TRIALS, force=True)
    assert found.outcome == "split" and len(found.plan.rewrites) == 1 and len(found.benches) == 1
    assert shapes(found.model) == [[2, 3, 8], [2, 3, 2, 4]] and len(found.verdict.probes) == 1


def test_a_dimension_made_of_others_follows_from_them():
    nodes = [("Concat", ["past", "x"], ["both"], {"axis": 1}), ("Mul", ["both", "two"], ["y"])]
    inputs = {"past": ["batch", "past", 2], "x": ["batch", "past + 1", 2]}
    model = oracles.graph(nodes, inputs, {"y": ["batch", "2*past + 1", 2]}, {"two": np.array([2], np.float32)})
    assert shapes(scission.fix_shapes(model, {"past": 3})) == [
        ["batch", 3, 2],
        ["batch", 4, 2],
        ["batch", 7, 2],
    ]


@pytest.mark.parametrize("sizes", [{"n": 2, "2*n": 5}, {"2*n": 5}, {"n": 2.0}, {"n": True}, {"n": "2"}])
def test_sizes_that_no_model_has_are_refused(sizes):
    model = oracles.graph([("Add", ["x", "one"], ["y"])], {"x": ["n", "2*n"]}, {"y": None}, {"one": np.float32(1)})
    with pytest.raises(scission.InputError):
        scission.fix_shapes(model, sizes)
    for accepted in ({"n": 2}, {"2*n": 4}, {"n": 2, "2*n": 4}, {"n": np.int64(2)}):
        assert shapes(scission.fix_shapes(model, accepted))[0] == [2, 4]


@pytest.mark.parametrize("said", ["{", "[]", "3", "null"])
def test_what_a_model_says_was_fixed_may_be_anything(said):
    model = attention()
    model.metadata_props.add(key="scission.fixed", value=said)
    assert shapes(scission.fix_shapes(model, {"batch": 2, "time": 3})) == [[2, 3, 8], [2, 3, 2, 4]]
