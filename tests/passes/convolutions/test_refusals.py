"""Every transform that is no product with a constant has a reason of the right kind."""

from __future__ import annotations

import numpy as np
import pytest
from framed import signal_model, stft_model
from onnx import TensorProto, helper

import scission
from scission.ir.reason import Cause

WINDOW = np.hanning(400)


def dft(extents, **attributes):
    return signal_model([helper.make_node("DFT", ["x"], ["y"], "dft", **attributes)], {}, x=extents)


def overridable():
    model = stft_model(WINDOW, 160)
    model.graph.input.append(helper.make_tensor_value_info("window", 1, [400]))
    return model


def mels():
    """The weights of mels between frequencies that are inputs."""
    operands = ["mels", "length", "rate", "low", "high"]
    made = helper.make_node("MelWeightMatrix", operands, ["W"], "mel")
    constants = {"mels": np.int64(80), "length": np.int64(400), "rate": np.int64(16000), "low": np.float32(0)}
    model = signal_model([made, helper.make_node("MatMul", ["x", "W"], ["y"], "product")], constants, x=("b", 201))
    model.graph.input.append(helper.make_tensor_value_info("high", 1, []))
    return model


@pytest.mark.parametrize(
    ("model", "node", "cause"),
    [
        (overridable(), "stft", Cause.NOT_CONSTANT),
        (stft_model(WINDOW, 160, onesided=0, x=("b", "n", 2)), "stft", Cause.UNSUPPORTED),
        (stft_model(np.zeros(400), 160), "stft", Cause.UNSUPPORTED),
        (dft(("b", "n", 1), axis=1), "dft", Cause.UNSUPPORTED),
        (dft(("b", 8192, 1), axis=1), "dft", Cause.UNSUPPORTED),
        (dft(("b", 8, 1), axis=1), "dft", Cause.NO_GAIN),
        (mels(), "mel", Cause.NOT_CONSTANT),
    ],
)
def test_what_stays_has_a_reason_in_the_plan_and_where_it_is_explained(model, node, cause):
    plan = scission.plan(model, batch=[1], sizes=None)
    one = next(one for one in plan.refused if one.kind == "convolutions")
    assert one.nodes == (node,) and one.reason.cause is cause
    found = scission.explain(model, node, batch=[1])
    assert found.skipped.reason == one.reason and found.skipped.reason.text == one.reason.text


def test_those_in_bodies_are_named_each_with_its_reason():
    inner = helper.make_graph(
        [helper.make_node("DFT", ["x"], ["z"], "dft", axis=1)], "g", [], [helper.make_tensor_value_info("z", 1, None)]
    )
    model = signal_model(
        [helper.make_node("If", ["c"], ["y"], "if", then_branch=inner, else_branch=inner)], {}, x=("b", 400, 1)
    )
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    found = [one for one in scission.plan(model, batch=[64]).refused if one.kind == "convolutions"]
    assert {one.nodes for one in found} == {("if.then_branch/dft",), ("if.else_branch/dft",)}
    assert all(one.reason.cause is Cause.OUT_OF_REACH for one in found)


def test_what_becomes_a_product_is_not_among_them():
    for model in (stft_model(WINDOW, 160), dft(("b", 400, 1), axis=1, onesided=1)):
        plan = scission.plan(model, batch=[64], sizes=None)
        assert plan.preparations and all(one.kind != "convolutions" for one in plan.refused)


def test_what_runtimes_read_differently_is_said_to_be_so():
    """Newer runtimes refuse it, so that nothing is planned; older ones run it."""
    model = dft(("b", 400, 2), axis=1, onesided=1)
    assert scission.explain(model, "dft", batch=[1]).skipped.reason.cause is Cause.AMBIGUOUS
