"""Convolutions of one channel in double precision."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from convolved import model_of
from onnx import helper

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.rewrite.comparable.exact_frames import framing
from scission.passes.rewrite.comparable.widening import widened


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("attributes", [{}, {"pads": [3, 5]}, {"dilations": [2]}, {"auto_pad": "SAME_UPPER"}])
def test_convolutions_of_one_channel_are_rounded_once(attributes, biased):
    rng = np.random.default_rng(0)
    held = {"w": rng.standard_normal((7, 1, 100)).astype(np.float32), "b": rng.standard_normal(7).astype(np.float32)}
    node = helper.make_node("Conv", ["x", "w", *(["b"] if biased else [])], ["y"], "c", strides=[10], **attributes)
    model = model_of([node], ["n", 1, "t"], None, held)
    assert [one.name for one in framing(load(model).graph, {"c"})] == ["c"]
    wide = ir.to_proto(widened(load(model).graph, {"c"}))
    x = rng.standard_normal((2, 1, 900)).astype(np.float32)
    exact = _exact(x, held, attributes, biased)
    (found,), (before,) = oracles.run(wide, {"x": x}), oracles.run(model, {"x": x})
    assert found.shape == before.shape == exact.shape
    assert (abs(found - exact) <= abs(exact) * 2.0**-23).all()
    assert oracles.interface(wide) == oracles.interface(model)


def _exact(x, held, attributes, biased):
    """The sums in double precision, place by place."""
    step = attributes.get("dilations", [1])[0]
    reach = 99 * step + 1
    before, behind = attributes.get("pads", [0, 0])
    if "auto_pad" in attributes:
        lacking = (-(-x.shape[2] // 10) - 1) * 10 + reach - x.shape[2]
        before, behind = lacking // 2, lacking - lacking // 2
    padded = np.pad(x[:, 0].astype(np.float64), ((0, 0), (before, behind)))
    starts = range(0, padded.shape[1] - reach + 1, 10)
    frames = np.stack([padded[:, start : start + reach : step] for start in starts], 1)
    result = np.einsum("bfn,on->bof", frames, held["w"][:, 0].astype(np.float64))
    return result + held["b"].astype(np.float64)[:, None] * biased


def test_only_those_that_are_named_are_rounded_once():
    held = {"w": np.ones((2, 1, 8), np.float32)}
    model = load(model_of([helper.make_node("Conv", ["x", "w"], ["y"], "c")], ["n", 1, "t"], None, held)).graph
    assert not framing(model, {"d"})
    assert [node.op_type for node in widened(model, {"d"}).graph] == ["Conv"]
