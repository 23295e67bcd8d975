"""Fourier transforms in double precision."""

from __future__ import annotations

import numpy as np
import oracles
from convolved import model_of, transform
from framed import signal_model
from onnx import helper, numpy_helper

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.rewrite.comparable.widening import transforms, widened


def test_what_is_widened_is_a_hundred_times_nearer():
    window = np.hanning(402)[1:-1].astype(np.float32)
    model = transform(window, 160)
    wide = ir.to_proto(widened(load(model).graph))
    x = np.random.default_rng(0).standard_normal((1, 4000)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(x[0].astype(np.float64), 400)[::160]
    exact = np.fft.rfft(frames * window.astype(np.float64))
    wanted = np.stack([exact.real, exact.imag], -1)[None]
    errors = [np.abs(oracles.run(one, {"x": x})[0] - wanted).max() for one in (model, wide)]
    assert errors[1] * 50 < errors[0]
    assert transforms(load(model).graph) == 1 and transforms(load(wide).graph) == 0
    assert oracles.interface(wide) == oracles.interface(model)


def test_what_reads_it_reads_the_rounded_result():
    model = transform(np.hanning(64), 16, then=[helper.make_node("Abs", ["f"], ["y"])])
    wide = ir.to_proto(widened(load(model).graph))
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 200)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(wide, feeds))


def test_nodes_that_read_nothing_are_no_transforms():
    one = helper.make_node("Constant", [], ["c"], value_float=1.0)
    then = [helper.make_node("Abs", ["f"], ["a"]), one, helper.make_node("Add", ["a", "c"], ["y"])]
    assert transforms(load(transform(np.hanning(64), 16, then=then)).graph) == 1


def test_transforms_along_an_axis_are_widened_as_well():
    x = np.random.default_rng(0).standard_normal((20, 400, 1)).astype(np.float32)
    model = model_of([helper.make_node("DFT", ["x"], ["y"], onesided=1)], [20, 400, 1], None, {})
    wide = ir.to_proto(widened(load(model).graph))
    exact = np.fft.rfft(x[..., 0].astype(np.float64))
    wanted = np.stack([exact.real, exact.imag], -1)
    errors = [np.abs(oracles.run(one, {"x": x})[0] - wanted).max() for one in (model, wide)]
    assert errors[1] * 20 < errors[0]
    assert transforms(load(model).graph) == 1 and transforms(load(wide).graph) == 0


def test_the_window_may_be_what_a_node_holds():
    """As exporters write it, without a type."""
    window = numpy_helper.from_array(np.hanning(64).astype(np.float32))
    nodes = [
        helper.make_node("Constant", [], ["window"], value=window),
        helper.make_node("STFT", ["x", "hop", "window"], ["y"], "stft"),
    ]
    model = signal_model(nodes, {"hop": np.int64(16)})
    wide = ir.to_proto(widened(load(model).graph))
    assert transforms(load(model).graph) == 1 and transforms(load(wide).graph) == 0
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 200)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(wide, feeds))
