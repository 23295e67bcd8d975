"""A plan with weights as products carried out, and refused on a model that it was not made for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import oracles
import pytest
from factored import fourier, hadamard, kronecker, product_model, random_products, steps_of, written
from hierarchical import DAUBECHIES, hierarchical_steps, hierarchically_written, planted, random_weight, wavelet
from hypothesis import example, given, settings
from hypothesis import strategies as st
from in_body import in_body
from random_convolutions import Grown

import scission
from scission import PlanError
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import Plan
from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite
from scission.passes.rewrite.write_factors import write_factors, write_hierarchical


def test_a_plan_is_carried_out_from_its_file():
    model = product_model(fourier(400, window=np.hanning(400)))
    plan = Plan.loads(make_plan(load(model), PlanSettings(batch=[3000])).dumps())
    assert [one.kind for one in plan.preparations] == ["factors"]
    changed = ir.to_proto(rewrite(load(model).graph, plan))
    assert oracles.interface(changed) == oracles.interface(model)
    x = np.random.default_rng(0).standard_normal((50, 400)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}), 2e-6)


def test_what_is_written_is_proved_and_kept():
    model = product_model(hadamard(512))
    found = scission.optimize(model, batch=[1000], bench=False)
    assert found.outcome == "split", found.reason
    assert found.verdict is not None and found.verdict.equal
    assert scission.optimize(found.model, batch=[1000], bench=False).outcome != "split"


def test_they_can_be_left_as_they_are():
    assert scission.plan(product_model(hadamard(512)), batch=[1000], factors=False).preparations == ()


def test_another_model_is_refused():
    (step,) = steps_of(product_model(hadamard(64)))
    with pytest.raises(PlanError, match="not the one the plan was made for"):
        write_factors(load(product_model(-hadamard(64))).graph, [step])
    with pytest.raises(PlanError, match="not what the plan says"):
        write_factors(load(written(product_model(hadamard(64)))[0]).graph, [step])
    with pytest.raises(PlanError, match="no product of these stages"):
        write_factors(load(product_model(hadamard(64))).graph, [replace(step, splits=((3, 1),))])
    (step,) = steps_of(product_model(fourier(64)))
    with pytest.raises(PlanError, match="no product of these stages"):  # groups have matrices of their own
        write_factors(load(product_model(fourier(64))).graph, [replace(step, rows_first=2)])


@pytest.mark.parametrize("weight", [fourier(64), fourier(48, window=np.hanning(48)), kronecker(*[np.eye(4) + 1] * 3)])
@pytest.mark.parametrize("body", ["If", "Loop", "Scan"])
def test_products_in_bodies_are_written_too(weight, body):
    model = in_body(product_model(weight, rows=[6]), body)
    x = np.random.default_rng(0).standard_normal((6, weight.shape[0])).astype(np.float32)
    feeds = {model.graph.input[0].name: x}
    changed, count = written(model)
    assert count == 1
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans(), st.integers(0, 4))
@example(5000277, True, 2)  # no rows, two groups: what ONNX Runtime merged entirely divided by zero
def test_random_products_compute_the_same_as_stages(seed, optimised, rows_first):
    model, feeds = random_products(seed)
    before = oracles.runs(model, feeds, optimised=optimised)
    if before is None:  # an empty axis
        return
    changed, _ = written(model, rows_first=rows_first)
    assert oracles.interface(changed) == oracles.interface(model)
    oracles.assert_close(before, oracles.run(changed, feeds, optimised))


def test_a_plan_of_blocks_is_carried_out_from_its_file():
    model = product_model(wavelet(512, DAUBECHIES))
    plan = Plan.loads(make_plan(load(model), PlanSettings(batch=[3000])).dumps())
    assert [one.kind for one in plan.preparations] == ["hierarchical"]
    changed = ir.to_proto(rewrite(load(model).graph, plan))
    assert oracles.interface(changed) == oracles.interface(model)
    x = np.random.default_rng(0).standard_normal((50, 512)).astype(np.float32)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}), 2e-6)


def test_what_is_written_in_blocks_is_proved_and_kept():
    found = scission.optimize(product_model(wavelet(1024)), batch=[1000], bench=False)
    assert found.outcome == "split", found.reason
    assert found.verdict is not None and found.verdict.equal
    again = scission.plan(found.model, batch=[1000])
    assert not any(one.kind == "hierarchical" for one in again.preparations)


def test_blocks_of_another_model_are_refused():
    (step,) = hierarchical_steps(product_model(wavelet(256)))
    for other in (-wavelet(256), wavelet(256) + np.float32(1e-7) * np.eye(256, dtype=np.float32)):
        with pytest.raises(PlanError, match="not the one the plan was made for"):
            write_hierarchical(load(product_model(other)).graph, [step])
    with pytest.raises(PlanError, match="not what the plan says"):
        write_hierarchical(load(hierarchically_written(product_model(wavelet(256)))[0]).graph, [step])
    for size in (1, 7, 256, 4096):
        with pytest.raises(PlanError, match="not hierarchical in such blocks"):
            write_hierarchical(load(product_model(wavelet(256))).graph, [replace(step, block=size)])
    odd = wavelet(256)
    odd[0, 0] = np.nan
    with pytest.raises(PlanError, match="not hierarchical in such blocks"):
        write_hierarchical(load(product_model(odd)).graph, [replace(step, sha256=fingerprint(odd))])


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("body", ["If", "Loop", "Scan"])
def test_blocks_in_bodies_are_written_too(shared, body):
    weight = planted(np.random.default_rng(0), 9, 16, 2, 7, 9, shared=shared)
    model = in_body(product_model(weight, rows=[6]), body)
    x = np.random.default_rng(0).standard_normal((6, weight.shape[0])).astype(np.float32)
    feeds = {model.graph.input[0].name: x}
    changed, count = hierarchically_written(model)
    assert count == 1
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans())
def test_random_products_compute_the_same_in_blocks(seed, optimised):
    """MatMul and Gemm of every opset, with and without biases, turned, from the left, of no rows and many axes."""
    model, feeds = random_products(seed, random_weight)
    before = oracles.runs(model, feeds, optimised=optimised)
    if before is None:  # an empty axis
        return
    changed, _ = hierarchically_written(model)
    assert oracles.interface(changed) == oracles.interface(model)
    oracles.assert_close(before, oracles.run(changed, feeds, optimised))


@pytest.mark.parametrize("kind", [np.float16, np.float64])
def test_weights_of_other_precisions_stay(kind):
    made = Grown(0)
    made.opset = 17
    made.inputs["x"], made.feeds["x"] = [3, 64], np.zeros((3, 64), kind)
    value = made.op("MatMul", "x", made.constant(wavelet(64).astype(kind)))
    model = made.model(made.op("Cast", value, to=1))
    changed, count = hierarchically_written(model)
    assert count == 0 and [node.op_type for node in changed.graph.node] == ["MatMul", "Cast"]
    assert scission.plan(model, batch=[3000]).preparations == ()
