"""Every product of frames that is looked at and not written as stages has a reason of the right kind."""

from __future__ import annotations

import numpy as np
import pytest
from factored import fourier
from framed import conv_model, signal_model, stft_model
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.graph.sizes import Setting
from scission.ir.io.load import load
from scission.ir.plan.factored_weight import FramedProduct
from scission.ir.plan.preparation import Refused
from scission.ir.reason import Cause
from scission.passes.frontends.find import find
from scission.passes.lowering.target import Target

WINDOW = np.hanning(401)[:-1]
NORMAL = np.random.default_rng(0).standard_normal((400, 402)).astype(np.float32)


def asked(model, samples=480000):
    sizes = lambda: (Setting(sizes={"b": 1, "n": samples}, batch=1),)  # noqa: E731
    return find(load(model).graph, Target(), sizes)


def convolution(weight, **attributes):
    """A convolution of frames that says more than where these begin."""
    node = helper.make_node("Conv", ["x", "W"], ["y"], "conv", strides=[160], **attributes)
    return signal_model([node], {"W": np.ascontiguousarray(weight.T)[:, None]}, x=("b", 1, "n"))


def computed():
    """A convolution whose weights are twice an input."""
    model = signal_model([helper.make_node("Conv", ["x", "W2"], ["y"], "conv")], {}, x=("b", 1, "n"))
    model.graph.node.insert(0, helper.make_node("Add", ["W", "W"], ["W2"], "double"))
    model.graph.input.append(helper.make_tensor_value_info("W", 1, [402, 1, 400]))
    return model


def in_branches(weight):
    """A convolution of frames of which either of two branches has its own."""
    held = helper.make_node(
        "Constant", [], ["W"], value=numpy_helper.from_array(np.ascontiguousarray(weight.T)[:, None])
    )
    made = helper.make_node("Conv", ["x", "W"], ["f"], "conv", strides=[160])
    branches = [
        helper.make_graph(
            [held, made, helper.make_node(word, ["f"], ["z"])], word, [], [helper.make_tensor_value_info("z", 1, None)]
        )
        for word in ("Relu", "Neg")
    ]
    chosen = helper.make_node("If", ["c"], ["y"], "if", then_branch=branches[0], else_branch=branches[1])
    model = signal_model([chosen], {}, x=("b", 1, "n"))
    model.graph.input.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    return model


def kernels(weight, **attributes):
    """A convolution of images one row high."""
    node = helper.make_node("Conv", ["x", "W"], ["y"], "conv", strides=[1, 160], **attributes)
    return signal_model([node], {"W": np.ascontiguousarray(weight.T)[:, None, None]}, x=("b", 1, 1, "n"))


def nearly():
    """What no product is, by more than rounding, and by less than what the search for one sees."""
    return fourier(400, window=WINDOW) + np.float32(4e-7) * np.sign(NORMAL)


@pytest.mark.parametrize(
    ("model", "samples", "cause"),
    [
        (conv_model(NORMAL, 160), 480000, Cause.RANK),
        (conv_model(fourier(400, window=WINDOW), 157), 480000, Cause.OVERLAP),
        (stft_model(WINDOW, 157), 480000, Cause.OVERLAP),
        (conv_model(fourier(48), 24), 100, Cause.NO_GAIN),
        (stft_model(np.hanning(32), 16), 480000, Cause.NO_GAIN),
        (conv_model(nearly(), 160), 480000, Cause.INEXACT),
        (conv_model(np.full_like(NORMAL, np.inf), 160), 480000, Cause.UNSUPPORTED),
        (convolution(NORMAL, dilations=[2]), 480000, Cause.UNSUPPORTED),
        (computed(), 480000, Cause.NOT_CONSTANT),
        (kernels(NORMAL[:, :36]), 480000, Cause.RANK),
        (kernels(fourier(400, window=WINDOW)), 480000, Cause.UNSUPPORTED),
        (kernels(np.full_like(NORMAL, np.nan)), 480000, Cause.UNSUPPORTED),
    ],
)
def test_what_is_left_has_a_reason_that_names_it(model, samples, cause):
    (one,) = asked(model, samples)
    assert isinstance(one, Refused) and one.kind == FramedProduct.kind and one.reason.cause is cause
    assert one.reason.text.startswith(f"{one.nodes[0]}: ") and one.nodes[0] in ("conv", "stft")


def test_those_in_bodies_are_named_each_with_its_reason():
    found = asked(in_branches(fourier(400, window=WINDOW)))
    assert {one.nodes for one in found} == {("if.then_branch/conv",), ("if.else_branch/conv",)}
    assert all(one.reason.cause is Cause.OUT_OF_REACH and one.gain is None for one in found)
    assert asked(in_branches(fourier(24))) == ()


def test_of_convolutions_that_read_no_signal_nothing_is_said():
    many = helper.make_node("Conv", ["x", "W"], ["y"], "conv")
    weight = np.ones((64, 3, 64), np.float32)
    assert asked(signal_model([many], {"W": weight}, x=("b", 3, "n"))) == ()
    assert asked(conv_model(np.ones((5, 16), np.float32), 1)) == ()
    assert asked(kernels(np.ones((256, 1), np.float32))) == ()


def test_a_convolution_is_explained_with_what_was_tried():
    model = conv_model(NORMAL, 160)
    (one,) = (one for one in scission.plan(model, batch=[1], sizes={"n": 4000}).refused if one.kind == "frames")
    found = scission.explain(model, "conv", batch=[1], sizes={"n": 4000})
    (tried,) = (trial for trial in found.trials if trial.what == "frames")
    assert tried.refused.text == one.reason.text and not tried.taken
    assert found.to_dict()["trials"][0]["cause"] == "rank"
