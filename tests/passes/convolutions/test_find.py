"""What can have another form, and what is predicted to gain by it."""

from __future__ import annotations

import numpy as np
import pytest
from convolved import model_of, transform
from onnx import helper

from scission.ir.graph.sizes import Setting
from scission.ir.io.load import load
from scission.ir.reason import Cause
from scission.passes.convolutions.find import find
from scission.passes.lowering.target import Target


def found(model, size=4000):
    settings = (Setting(sizes={"b": 1, "n": size}, batch=1),)
    return find(load(model).graph, Target(), lambda: settings)


@pytest.mark.parametrize(
    ("length", "zeros", "pays"), [(400, 0, True), (320, 0, True), (512, 112, True), (2048, 0, False)]
)
def test_a_transform_becomes_a_convolution_where_that_is_faster(length, zeros, pays):
    window = np.hanning(length - zeros + 2)[1:-1]
    steps = found(transform(np.pad(window, (zeros // 2, zeros - zeros // 2)), 160), 64_000)
    assert [getattr(step, "form", None) for step in steps] == ["fourier" if pays else None]
    assert [step.reason.cause for step in steps] == [Cause.CONVOLUTION if pays else Cause.NO_GAIN]


def test_a_convolution_that_needs_all_of_its_window_stays():
    weight = np.random.default_rng(0).standard_normal((4, 3, 3, 3)).astype(np.float32)
    model = model_of([helper.make_node("Conv", ["x", "w"], ["y"])], ["b", 3, 8, 8], None, {"w": weight})
    assert found(model) == ()


def test_a_bias_that_onnxruntime_moves_itself_is_left_to_it():
    weight, bias = np.ones((4, 3, 3, 3), np.float32), np.ones((1, 4, 1, 1), np.float32)
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"]), helper.make_node("Add", ["c", "b"], ["y"])]
    assert found(model_of(nodes, ["b", 3, 8, 8], None, {"w": weight, "b": bias})) == ()
