"""A plan with merged branches carried out, and refused on a model that it was not made for."""

from dataclasses import replace

import numpy as np
import oracles
import pytest
from onnx import helper, numpy_helper

import scission
from scission import PlanError
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Plan
from scission.models.planted.branches import Repeated, repeated
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite

WHAT = Repeated(lanes=12, inputs=8, widths=(8, 8), equal=True, source="places", end="stack", axis=1)
OWN = replace(WHAT, equal=False, end="sum")


def model_of(what=WHAT, seed=0):
    return repeated(np.random.default_rng(seed), what).model


def planned(model):
    plan = make_plan(load(model), PlanSettings(batch=[1, 4]))
    assert [one.kind for one in plan.preparations] == ["branches"]
    return plan


@pytest.mark.parametrize("what", [WHAT, OWN], ids=["equal", "own"])
def test_a_plan_is_carried_out_from_its_file(what):
    model = model_of(what)
    plan = Plan.loads(planned(model).dumps())
    changed = ir.to_proto(rewrite(load(model).graph, plan))
    feeds = {"x": np.random.default_rng(1).standard_normal((3, 12, 8)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))
    assert len(changed.graph.node) < len(model.graph.node) / 4
    assert len(changed.graph.initializer) < len(model.graph.initializer)


def test_a_plan_without_them_leaves_the_original():
    model = load(model_of())
    plan = make_plan(model, PlanSettings(batch=[1, 4], unprepared=frozenset({"branches"})))
    changed = rewrite(model.graph, plan)
    assert not plan.preparations and [node.name for node in changed.graph] == [node.name for node in model.graph.graph]


def test_branches_can_be_left_apart():
    assert scission.plan(model_of(), batch=[1], branches=False).preparations == ()
    assert scission.plan(model_of(), batch=[1]).preparations


def test_other_weights_are_refused():
    model, other = model_of(), model_of(seed=1)
    with pytest.raises(PlanError, match="weights of its branches have changed"):
        rewrite(load(other).graph, planned(model))


def test_a_model_without_these_branches_is_refused():
    plan, model = planned(model_of()), model_of()
    gone = next(node for node in model.graph.node if node.name == "branch3_0")
    gone.name = "other"
    with pytest.raises(PlanError, match="no such operator"):
        rewrite(load(model).graph, plan)
    gone.name, gone.op_type = "branch3_0", "Add"
    with pytest.raises(PlanError, match="not alike"):
        rewrite(load(model).graph, plan)


def test_what_is_merged_may_still_be_split():
    W = np.kron(np.eye(4, dtype=np.float32), np.ones((32, 32), np.float32))
    model = model_of(replace(WHAT, inputs=128, widths=(128,), end="stack"))
    for tensor in model.graph.initializer:
        if list(tensor.dims) == [128, 128]:
            tensor.CopyFrom(numpy_helper.from_array(W, tensor.name))
    plan = make_plan(load(model), PlanSettings(batch=[64], force=True))
    assert plan.preparations and len(plan.rewrites) == 1
    changed = ir.to_proto(rewrite(load(model).graph, plan))
    feeds = {"x": np.random.default_rng(1).standard_normal((3, 12, 128)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))


def test_weights_of_their_own_that_fall_apart_are_left_to_be_split():
    model = model_of(replace(OWN, inputs=8, widths=(8,)))
    for scale, tensor in enumerate(model.graph.initializer, 1):
        if list(tensor.dims) == [8, 8]:
            tensor.CopyFrom(numpy_helper.from_array(scale * np.eye(8, dtype=np.float32), tensor.name))
    assert make_plan(load(model), PlanSettings(batch=[1])).preparations == ()


def test_a_value_that_a_subgraph_reads_stays():
    model = model_of()
    inner = model.graph.node[[node.name for node in model.graph.node].index("branch5_0")].output[0]
    body = helper.make_graph(
        [helper.make_node("Neg", [inner], ["negative"])], "b", [], [helper.make_tensor_value_info("negative", 1, None)]
    )
    other = helper.make_graph(
        [helper.make_node("Abs", [inner], ["positive"])], "c", [], [helper.make_tensor_value_info("positive", 1, None)]
    )
    model.graph.input.append(helper.make_tensor_value_info("which", 9, []))
    model.graph.node.append(helper.make_node("If", ["which"], ["z"], then_branch=body, else_branch=other))
    model.graph.output.append(helper.make_tensor_value_info("z", 1, ["n", 8]))
    changed = ir.to_proto(rewrite(load(model).graph, planned(model)))
    x = np.random.default_rng(1).standard_normal((3, 12, 8)).astype(np.float32)
    feeds = {"x": x, "which": np.array(True)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))


@pytest.mark.parametrize("end", ["outputs", "concat"])
def test_old_models_list_new_constants_as_inputs(end):
    model = model_of(replace(OWN, end=end, opset=11))
    model.ir_version = 3
    model.graph.input.extend(
        helper.make_tensor_value_info(one.name, one.data_type, list(one.dims)) for one in model.graph.initializer
    )
    changed = ir.to_proto(rewrite(load(model).graph, planned(model)))
    feeds = {"x": np.random.default_rng(1).standard_normal((3, 12, 8)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))
