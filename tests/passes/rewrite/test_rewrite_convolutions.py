"""A plan with other forms of convolutions carried out, and refused on a model that it was not made for."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from convolved import rewritten, steps_of, transform
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from random_convolutions import random_convolution, random_transform

import scission
from scission import PlanError
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Plan
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite
from scission.passes.rewrite.rewrite_convolutions import rewrite_convolutions

POWER = (
    helper.make_node("ReduceSumSquare", ["f"], ["p"], axes=[-1], keepdims=0),
    helper.make_node("Softplus", ["p"], ["s"]),  # the logarithm is bounded
    helper.make_node("Log", ["s"], ["y"], "log"),
)


def test_a_plan_is_carried_out_from_its_file():
    model = transform(np.hanning(402)[1:-1], 160, then=(POWER[0], helper.make_node("Sqrt", ["p"], ["y"])))
    plan = Plan.loads(make_plan(load(model), PlanSettings(batch=[4000], unprepared=frozenset({"frames"}))).dumps())
    assert [one.kind for one in plan.preparations] == ["convolutions"]
    changed = ir.to_proto(rewrite(load(model).graph, plan))
    assert "STFT" not in oracles.operators(changed) and oracles.interface(changed) == oracles.interface(model)


def test_they_can_be_left_as_they_are():
    model = transform(np.hanning(400), 160)
    assert scission.plan(model, batch=[1], convolutions=False).preparations == ()


def test_another_model_is_refused():
    steps = steps_of(transform(np.hanning(400), 160))
    with pytest.raises(PlanError, match="constants have changed"):
        rewrite_convolutions(load(transform(np.hanning(320), 160)).graph, steps)
    with pytest.raises(PlanError, match="not what the plan says"):
        rewrite_convolutions(load(rewritten(transform(np.hanning(400), 160))[0]).graph, steps)


def test_an_inexact_original_is_judged_by_the_exact_result():
    model = transform(np.hanning(402)[1:-1], 160, then=POWER)
    found = scission.optimize(model, batch=[1], sizes={"n": 4000}, bench=False, factors=False)
    assert found.outcome == "split", found.reason
    assert found.verdict is not None and found.verdict.equal
    assert "in double precision" in found.verdict.reason


def test_a_wrong_kernel_is_no_less_wrong_for_that():
    model = transform(np.hanning(402)[1:-1], 160, then=POWER)
    changed, _ = rewritten(model)
    (kernel,) = (one for one in changed.graph.initializer if len(one.dims) == 3)
    weights = np.frombuffer(kernel.raw_data, np.float32).copy()
    weights[:400] *= 1.0005
    kernel.raw_data = weights.tobytes()
    assert not scission.check(model, changed).equal


@settings(max_examples=40)
@given(st.integers(0, 1 << 20), st.booleans())
def test_random_convolutions_compute_the_same_in_another_form(seed, optimised):
    model, feeds = random_convolution(seed)
    before = oracles.runs(model, feeds, optimised=optimised)
    if before is None:  # the input is shorter than the window
        return
    changed, _ = rewritten(model)
    assert oracles.interface(changed) == oracles.interface(model)
    oracles.assert_close(before, oracles.run(changed, feeds, optimised))


@settings(max_examples=15)
@given(st.integers(0, 1 << 20), st.booleans())
def test_random_transforms_are_what_they_are_exactly(seed, optimised):
    model, signal, exact = random_transform(seed)
    changed, forms = rewritten(model)
    assert forms == ["fourier"]
    (found,) = oracles.run(changed, {"x": signal}, optimised)
    np.testing.assert_allclose(found, exact, rtol=0, atol=3e-6 * max(1, np.abs(exact).max()))
