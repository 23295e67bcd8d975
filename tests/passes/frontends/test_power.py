"""The power of a transform, taken where it lies, and what is left as it is."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from factored import fourier
from framed import conv_model, in_stages, signal_model, stft_model
from onnx import helper


@pytest.mark.parametrize("op", ["ReduceSumSquare", "ReduceL2"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_power_is_taken_before_parts_come_together(op, keepdims):
    cut = {"first": np.int64([0]), "last": np.int64([-1]), "frames": np.int64([-3])}
    nodes = [
        helper.make_node("STFT", ["x", "hop", "window"], ["f"], "stft"),
        helper.make_node("Slice", ["f", *cut], ["s"], "cut"),
        helper.make_node(op, ["s"], ["y"], "power", axes=[-1], keepdims=keepdims),
    ]
    model = signal_model(nodes, {"hop": np.int64(16), "window": np.ones(64, np.float32), **cut})
    changed, count = in_stages(model)
    assert count == 1 and not oracles.operators(changed).keys() & {op, "STFT"}
    x = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


def test_a_part_that_is_read_besides_is_kept():
    then = (helper.make_node("ReduceSumSquare", ["f"], ["y"], axes=[-1]),)
    model = stft_model(np.ones(64), 16, then=then)
    model.graph.output.append(helper.make_tensor_value_info("f", 1, None))
    changed, count = in_stages(model)
    assert count == 1 and oracles.operators(changed)["ReduceSumSquare"] == 1
    x = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


@pytest.mark.parametrize(
    ("shape", "axis", "taken"), [((0, 2, 33, -1), 1, 1), ((0, 2, 33, -1), 2, 0), ((0, 33, 2, -1), 1, 0)]
)
def test_parts_of_a_convolution_are_known_by_their_shape(shape, axis, taken):
    then = (
        helper.make_node("Reshape", ["f", "shape"], ["r"]),
        helper.make_node("ReduceSumSquare", ["r"], ["y"], axes=[axis], keepdims=0),
    )
    model = conv_model(fourier(64), 16, then=then)
    model.graph.initializer.append(helper.make_tensor("shape", 7, [4], shape))
    changed, count = in_stages(model)
    assert count == 1 and oracles.operators(changed)["ReduceSumSquare"] == 1 - taken
    x = np.random.default_rng(0).standard_normal((2, 1, 300)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


def test_a_power_in_a_branch_is_left_there():
    inside = helper.make_graph(
        [helper.make_node("ReduceSumSquare", ["f"], ["a"], axes=[-1], keepdims=0)],
        "then",
        [],
        [helper.make_tensor_value_info("a", 1, None)],
    )
    otherwise = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["b"])], "else", [], [helper.make_tensor_value_info("b", 1, None)]
    )
    nodes = [
        helper.make_node("STFT", ["x", "hop", "window"], ["f"], "stft"),
        helper.make_node("If", ["yes"], ["y"], then_branch=inside, else_branch=otherwise),
    ]
    constants = {"hop": np.int64(16), "window": np.ones(64, np.float32), "yes": np.bool_(True)}
    model = signal_model(nodes, constants)
    changed, count = in_stages(model)
    assert count == 1 and oracles.operators(changed)["If"] == 1
    x = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))
