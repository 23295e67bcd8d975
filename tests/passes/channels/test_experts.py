"""Hidden units of experts that do nothing in any of them go out of the weights of all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import run
from random_experts import MS, experts
from reference import model as model_of
from reference import node
from without_channels import found_in, without

from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import PlanError
from scission.ir.plan.removed_channels import CutAxis, RemovedChannels
from scission.passes.rewrite.remove_channels import remove_channels

COUNT, WIDTH, HIDDEN = 3, 4, 40
rng = np.random.default_rng(0)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1 << 30))
def test_random_experts_without_units_that_do_nothing_compute_the_same(seed):
    proto, feeds = experts(seed)
    changed = without(proto)
    for optimised in (False, True):
        (before,), (after,) = (run(one, feeds, optimised) for one in (proto, changed))
        finite = np.isfinite(before)  # some weights are no numbers
        assert np.array_equal(finite, np.isfinite(after))
        size = np.abs(before)[finite].max(initial=1)
        assert np.allclose(before[finite], after[finite], rtol=0, atol=2e-5 * size)


def planted(function="relu", idle=(), unread=(), hidden=HIDDEN, width=WIDTH, **more):
    """Experts of which units are zero, or nobody reads them."""
    rows = 2 if function == "swiglu" else 1
    up = rng.standard_normal((COUNT, hidden, rows, width)).astype(np.float32)
    bias = rng.standard_normal((COUNT, hidden, rows)).astype(np.float32)
    down = rng.standard_normal((COUNT, width, hidden)).astype(np.float32)
    up[:, list(idle)], bias[:, list(idle)], down[:, :, list(unread)] = 0, 0, 0
    weights = {"up": up.reshape(COUNT, -1, width), "bias": bias.reshape(COUNT, -1), "down": down}
    attributes = {"swiglu_fusion": 1} if rows == 2 else {}
    names = "x r up bias down -"
    moe = node("MoE", names, "y", "moe", MS, k=2, activation_type=function, **attributes, **more)
    inputs = {"x": ["n", width], "r": ["n", COUNT]}
    return model_of([moe], inputs, {"y": ["n", width]}, weights, opset=17, ir_version=9, domains=[MS])


def sizes(proto):
    held = {tensor.name: list(tensor.dims) for tensor in proto.graph.initializer}
    (moe,) = proto.graph.node
    return [held[moe.input[place]] for place in (2, 3, 4)]


@pytest.mark.parametrize("function", ["relu", "gelu", "silu", "identity", "swiglu"])
def test_units_that_are_planted_go_and_a_multiple_of_sixteen_stays(function):
    proto = planted(function, idle=range(3, 12), unread=range(10, 20))
    changed = without(proto)
    rows = 2 if function == "swiglu" else 1
    assert sizes(changed) == [[COUNT, 32 * rows, WIDTH], [COUNT, 32 * rows], [COUNT, WIDTH, 32]]
    feeds = {"x": rng.standard_normal((5, WIDTH)).astype(np.float32)}
    feeds["r"] = rng.standard_normal((5, COUNT)).astype(np.float32)
    assert np.allclose(run(proto, feeds)[0], run(changed, feeds)[0], atol=1e-5)


def test_a_unit_that_one_expert_reads_stays():
    proto = planted(unread=range(16))
    down = next(one for one in proto.graph.initializer if one.name == "down")
    held = np.frombuffer(down.raw_data, np.float32).reshape(COUNT, WIDTH, HIDDEN).copy()
    held[1, 2, :16] = 1
    down.raw_data = held.tobytes()
    assert found_in(proto)[1] == ()


@pytest.mark.parametrize(
    "proto",
    [
        planted(unread=range(30), hidden=HIDDEN, width=HIDDEN),  # which side is which cannot be told
        planted("sigmoid", unread=range(30)),
    ],
)
def test_what_cannot_be_told_stays(proto):
    assert found_in(proto)[1] == ()


def older(width, hidden):
    """Experts with weights as releases before 1.22 had them, some features of which are neither read nor made."""
    weights = {"up": np.ones((COUNT, width, hidden)), "down": np.ones((COUNT, hidden, width))}
    weights["up"][:, 1:], weights["down"][:, :, 1:] = 0, 0
    held = {name: weight.astype(np.float32) for name, weight in weights.items()}
    moe = node("MoE", "x r up - down -", "y", "moe", MS, k=1, activation_type="relu")
    inputs = {"x": ["n", width], "r": ["n", COUNT]}
    return model_of([moe], inputs, {"y": ["n", width]}, held, opset=17, ir_version=9, domains=[MS])


@pytest.mark.parametrize(("width", "hidden"), [(4, 8), (8, 4), (6, 40)])
def test_weights_the_older_way_round_stay(width, hidden):
    proto = older(width, hidden)
    feeds = {"x": np.ones((2, width), np.float32), "r": np.eye(2, COUNT, dtype=np.float32)}
    assert np.isfinite(run(proto, feeds)[0]).all()  # ONNX Runtime takes them
    assert found_in(proto)[1] == ()


def test_where_nobody_tells_how_wide_values_are_experts_stay():
    told, untold = planted(unread=range(24)), planted(unread=range(24))
    for value in (untold.graph.input[0], untold.graph.output[0]):
        value.type.tensor_type.shape.dim[1].dim_param = "width"
    assert found_in(told)[1] != () and found_in(untold)[1] == ()


def test_a_plan_tells_the_units_by_an_operand_and_is_held_against_the_model():
    graph, (found,) = found_in(planted(unread=range(24)))
    (axis,) = found.axes
    assert (axis.node, axis.inside, axis.size, axis.removed.tolist()) == ("moe", True, HIDDEN, [*range(24)])
    assert RemovedChannels.from_dict(found.to_dict()) == found
    assert CutAxis.from_dict(axis.to_dict()).inside
    fewer = found.to_dict()
    fewer["axes"][0]["removed"] = "0-15"
    left = ir.to_proto(remove_channels(graph, (RemovedChannels.from_dict(fewer),)))
    assert sizes(left)[2] == [COUNT, WIDTH, HIDDEN - 16]
    with pytest.raises(PlanError, match="do something"):
        wrong = fewer | {"axes": [fewer["axes"][0] | {"removed": "0-30"}]}
        remove_channels(graph, (RemovedChannels.from_dict(wrong),))
    with pytest.raises(PlanError, match="make a new plan"):
        wrong = fewer | {"axes": [fewer["axes"][0] | {"slot": 9}]}
        remove_channels(graph, (RemovedChannels.from_dict(wrong),))
