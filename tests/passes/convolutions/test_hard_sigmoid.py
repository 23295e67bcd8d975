"""Hard sigmoids that are written out: found where there is one, and computed as what they were."""

import numpy as np
import oracles
import pytest
from convolved import model_of, rewritten, steps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from random_hard_sigmoids import random_hard_sigmoid

from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.plan.rewritten_convolution import ConvolutionForm
from scission.passes.convolutions.find import find
from scission.passes.lowering.target import Target

# The ends of its slope, their neighbours, and what is no number.
PLACES = np.float32([np.inf, -np.inf, np.nan, 1e30, -1e30, -3, 3, -0.0, 2.9999998, -2.9999998, 3.0000002, -3.0000002])


@settings(max_examples=40)
@given(st.integers(0, 1 << 20), st.sampled_from([0, 1, 2]), st.booleans())
def test_random_ones_are_found_and_compute_the_same(seed, batch, optimised):
    model, is_one = random_hard_sigmoid(seed)
    changed, done = rewritten(model)
    assert bool(done) == is_one
    x = (3 * np.random.default_rng(seed).standard_normal((batch, 4, 6))).astype(np.float32)
    x.reshape(-1)[: PLACES.size] = PLACES[: x.size]
    before, after = (oracles.run(one, {"x": x}, optimised) for one in (model, changed))
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=2e-6)


def chain(squeezed: bool, added: float = 3, height: float = 6):
    """A convolution, a Squeeze or none, and a hard sigmoid without a product."""
    nodes = [helper.make_node("Conv", ["x", "W"], ["h"], "conv")]
    if squeezed:
        nodes.append(helper.make_node("Squeeze", ["h", "axes"], ["s"], "squeeze"))
    nodes += [
        helper.make_node("Add", ["s" if squeezed else "h", "three"], ["a"], "sum"),
        helper.make_node("Clip", ["a", "zero", "six"], ["c"], "clip"),
        helper.make_node("Div", ["c", "six"], ["y"], "scale"),
    ]
    W = np.random.default_rng(0).standard_normal((3, 2, 3, 1)).astype(np.float32)
    constants = {
        "W": W,
        "three": np.float32(added),
        "zero": np.float32(0),
        "six": np.float32(height),
        "axes": np.int64([3]),
    }
    return model_of(nodes, ["n", 2, 9, 1], None, constants)


@pytest.mark.parametrize("squeezed, forms", [(False, ["activation"]), (True, ["bias"])])
def test_what_comes_to_stand_inside_of_a_convolution_is_none(squeezed, forms):
    model = chain(squeezed)
    changed, done = rewritten(model)
    assert done == forms
    x = np.random.default_rng(1).standard_normal((2, 2, 9, 1)).astype(np.float32)
    for optimised in (False, True):
        before, after = (oracles.run(one, {"x": x}, optimised)[0] for one in (model, changed))
        np.testing.assert_allclose(after, before, rtol=1e-6, atol=2e-6)


def test_it_is_predicted_to_gain_by_what_goes():
    graph = load(chain(False)).graph
    (one,) = find(graph, Target(), lambda: settings_at(input_dims(graph)))
    assert one.form is ConvolutionForm.ACTIVATION and one.gain == pytest.approx(3)
    assert one.nodes == ("sum", "clip", "scale") and steps_of(chain(False))[0].nodes == one.nodes


@pytest.mark.parametrize(
    "added, height", [(3, 1e-3), (3, 1e-6), (1e6, 6), (-25, 6), (0, 1e-39), (0, 3e38), (1e38, 1e-3)]
)
def test_slopes_whose_place_or_height_costs_digits_stay_written_out(added, height):
    assert rewritten(chain(False, added, height))[1] == []


@pytest.mark.parametrize("added, height", [(3, 6), (-128, 255), (24, 6), (-4e-30, 1e-30), (0, 1e-37), (4e37, 8e37)])
@pytest.mark.parametrize("optimised", [False, True])
def test_along_the_slope_it_computes_the_same(added, height, optimised):
    nodes = chain(False, added, height).graph.node[1:]
    nodes[0].input[0] = "x"
    constants = {"three": np.float32(added), "zero": np.float32(0), "six": np.float32(height)}
    model = model_of(nodes, ["n", 999], None, constants)
    changed, done = rewritten(model)
    assert done == ["activation"]
    x = np.float32(-added) + np.linspace(-0.2, 1.2, 999, dtype=np.float32)[None] * np.float32(height)
    before, after = (oracles.run(one, {"x": x.astype(np.float32)}, optimised)[0] for one in (model, changed))
    np.testing.assert_allclose(after, before, rtol=0, atol=7 * 2.0**-23)


def test_a_product_of_another_domain_is_none():
    """A function of the model may have the name of an operator and compute something else."""
    nodes = [
        helper.make_node("Add", ["x", "three"], ["a"], "sum"),
        helper.make_node("Clip", ["a", "zero", "six"], ["c"], "clip"),
        helper.make_node("Mul", ["x", "c"], ["p"], "difference", domain="own"),
        helper.make_node("Div", ["p", "six"], ["y"], "scale"),
    ]
    model = model_of(nodes, ["n", 4], None, {"three": np.float32(3), "zero": np.float32(0), "six": np.float32(6)})
    opset = helper.make_opsetid("", 17)
    body = [helper.make_node("Sub", ["a", "b"], ["c"])]
    model.functions.append(helper.make_function("own", "Mul", ["a", "b"], ["c"], body, [opset]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    assert rewritten(model)[1] == []
