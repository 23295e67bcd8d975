"""Parameters are counted once, however many operators read them and through whatever chains."""

import numpy as np
import onnx
from onnx import helper as h
from onnx import numpy_helper as nh

import scission


def branching(chains=True):
    """An If of which both branches multiply by one weight, each through a chain of its own where that is asked for."""

    def branch(name):
        weight = [h.make_node("Identity", ["W"], [f"{name}/W"])] if chains else []
        product = h.make_node("MatMul", ["x", f"{name}/W" if chains else "W"], [f"{name}/y"], name=f"{name}/mm")
        return h.make_graph([*weight, product], name, [], [h.make_tensor_value_info(f"{name}/y", 1, ["n", 8])])

    node = h.make_node("If", ["c"], ["y"], name="if", then_branch=branch("then"), else_branch=branch("else"))
    inputs = [h.make_tensor_value_info("x", 1, ["n", 8]), h.make_tensor_value_info("c", onnx.TensorProto.BOOL, [])]
    weight = nh.from_array(np.ones((8, 8), np.float32), "W")
    graph = h.make_graph([node], "g", inputs, [h.make_tensor_value_info("y", 1, ["n", 8])], [weight])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def test_a_weight_of_two_branches_counts_once():
    for chains in (True, False):
        plan = scission.plan(branching(chains))
        assert plan.parameters == 64 and [step.parameters for step in plan.steps] == [64, 64]
        assert [one.parameters for one in plan.left_alone] == [64, 0] and len(plan.repeated) == 1
        assert scission.Plan.loads(plan.dumps()) == plan


def test_shares_of_what_is_left_alone_add_up_to_no_more_than_all():
    from scission.models.planted.products import KINDS, build

    for kind in KINDS:
        model = build(np.random.default_rng(7), kind, dormant=(1, 2)).model
        plan = scission.plan(model, lowering="dense")
        assert sum(one.parameters for one in plan.left_alone) <= plan.parameters, kind
