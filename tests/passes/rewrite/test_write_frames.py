"""A plan with transforms of frames as stages carried out, and refused on a model that it was not made for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest
from factored import fourier
from framed import (
    bank,
    conv_model,
    frame_steps,
    in_stages,
    mel_of,
    power_of,
    random_frames,
    signal_model,
    stft_model,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

import scission
from scission import PlanError
from scission.ir.graph.operators import POWERS
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Plan
from scission.passes.rewrite.comparable.widening import transforms, widened
from scission.passes.rewrite.rewrite import rewrite
from scission.passes.rewrite.write_frames import write_frames

WINDOW = np.hanning(401)[:-1].astype(np.float32)
SIZES = {"b": 1, "n": 16000}
POWER = (
    helper.make_node("ReduceSumSquare", ["f"], ["p"], axes=[-1], keepdims=0),
    helper.make_node("Sqrt", ["p"], ["y"]),
)


def test_a_plan_is_carried_out_from_its_file():
    model = conv_model(fourier(400, window=WINDOW), 160)
    plan = Plan.loads(scission.plan(model, sizes=SIZES).dumps())
    assert [one.kind for one in plan.preparations] == ["frames"]
    changed = ir.to_proto(rewrite(load(model).graph, plan))
    assert oracles.interface(changed) == oracles.interface(model)
    x = np.random.default_rng(0).standard_normal((2, 1, 5000)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}), 2e-6)


def test_what_is_written_is_proved_and_kept():
    found = scission.optimize(stft_model(WINDOW, 160, then=POWER), sizes=SIZES, bench=False)
    assert found.outcome == "split", found.reason
    assert [one.kind for one in found.plan.preparations] == ["frames"]
    assert found.verdict is not None and found.verdict.equal
    assert "STFT" not in oracles.operators(found.model)


def test_they_can_be_left_as_they_are():
    model = stft_model(WINDOW, 160)
    assert scission.plan(model, sizes=SIZES, convolutions=False).preparations == ()
    kinds = [one.kind for one in scission.plan(model, sizes=SIZES, factors=False).preparations]
    assert kinds == ["convolutions"]


def test_another_model_is_refused():
    model = stft_model(WINDOW, 160)
    (step,) = frame_steps(model)
    with pytest.raises(PlanError, match="constants have changed"):
        write_frames(load(stft_model(WINDOW * 2, 160)).graph, [step])
    with pytest.raises(PlanError, match="not what the plan says"):
        write_frames(load(in_stages(model)[0]).graph, [step])
    with pytest.raises(PlanError, match="no product of such pieces"):
        write_frames(load(model).graph, [replace(step, places=7)])


def test_another_product_behind_a_power_is_refused():
    mel = bank(201, 20, np.random.default_rng(0))
    one, other = (
        conv_model(fourier(400, window=WINDOW), 160, then=[*power_of(201, "p"), *mel_of(weight)])
        for weight in (mel, 2 * mel)
    )
    (step,) = frame_steps(one)
    with pytest.raises(PlanError, match="constants have changed"):
        write_frames(load(other).graph, [step])
    for bands in ((), (19,), (20, 1)):
        with pytest.raises(PlanError, match="its bands are not those"):
            write_frames(load(one).graph, [replace(step, bands=bands)])
    alone = conv_model(fourier(400, window=WINDOW), 160)
    (step,) = frame_steps(alone)
    with pytest.raises(PlanError, match="its bands are not those"):
        write_frames(load(alone).graph, [replace(step, bands=(1,))])


def chained(weight, hop, later):
    """Frames of one mel of frames, without a channel of their own."""
    first = [*power_of(weight.shape[1] // 2, "p"), *mel_of(np.ones((weight.shape[1] // 2, 1), "f"), frames_first=False)]
    first[-1].output[0] = "m"
    held = helper.make_node(
        "Constant", [], ["V"], value=numpy_helper.from_array(np.ascontiguousarray(weight.T)[:, None])
    )
    return conv_model(
        weight, hop, then=[*first, held, helper.make_node("Conv", ["m", "V"], ["y"], "later", strides=[later])]
    )


def test_frames_of_what_was_made_of_frames_are_read_where_that_is_now():
    model = chained(fourier(400, window=WINDOW), 40, 20)
    found = scission.optimize(model, sizes={"b": 1, "n": 800000}, bench=False)
    assert [one.nodes[0] for one in found.plan.preparations] == ["conv", "later"], found.reason
    x = np.random.default_rng(0).standard_normal((1, 1, 40000)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(found.model, {"x": x}), 4e-6)


def test_a_window_that_a_node_holds_is_proved_as_any_other():
    """As exporters write it, without a type: ONNX Runtime's own error is larger than the tolerance."""
    held = helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(WINDOW))
    node = helper.make_node("STFT", ["x", "hop", "w"], ["y"], "stft")
    model = signal_model([held, node], {"hop": np.int64(160)})
    found = scission.optimize(model, sizes=SIZES, bench=False)
    assert found.outcome == "split", found.reason


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans())
def test_random_frames_compute_the_same_as_stages(seed, optimised):
    model, feeds = random_frames(seed)
    changed, count = in_stages(model, seed)
    known = load(model)
    exact = ir.to_proto(widened(known.graph)) if count and transforms(known.graph) else model
    before = oracles.runs(exact, feeds, optimised=optimised)
    if before is None:  # a signal that is too short
        return
    if oracles.operators(model).keys() & POWERS and not all(array.size for array in before):
        return  # ONNX Runtime reduces no axis of an empty tensor, against what ONNX says
    assert oracles.interface(changed) == oracles.interface(model)
    oracles.assert_close(before, oracles.run(changed, feeds, optimised))
