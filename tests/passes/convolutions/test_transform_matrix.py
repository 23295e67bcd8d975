"""Fourier transforms along an axis as products, held against numpy's in double precision."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from convolved import model_of, rewritten, steps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from random_transforms import random_dft

import scission
from scission.ir.io.load import load
from scission.ir.reason import Cause
from scission.passes.convolutions.find import seen
from scission.passes.convolutions.refusals import why_no_transform


def dft_model(length: int, *, then=(), lead=("b",), parts: int = 1, **attributes):
    """Along the axis before the last, of signals with so many leading axes."""
    node = helper.make_node("DFT", ["x"], ["f" if then else "y"], "dft", axis=len(lead), **attributes)
    return model_of([node, *then], [*lead, length, parts], None, {})


def said_of(model, name):
    """The kind of reason why an operator is no product; None where none is said."""
    _, scope, constants, _ = seen(load(model).graph)
    why = next(why_no_transform(node, constants) for node in scope.graph if scope.addresses[node] == name)
    return None if why is None else why.cause


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 1 << 20), st.booleans())
def test_every_transform_is_what_numpy_computes(seed, optimised):
    model, x, exact = random_dft(seed)
    before = oracles.runs(model, {"x": x}, optimised=optimised)
    changed, forms = rewritten(model)
    assert forms or said_of(model, "dft") in (Cause.AMBIGUOUS, Cause.UNSUPPORTED)
    if before is None or not forms:  # ONNX Runtime refuses some that numpy has
        return
    assert forms == ["matrix"] and oracles.interface(changed) == oracles.interface(model)
    (got,) = oracles.run(changed, {"x": x}, optimised)
    assert got.shape == before[0].shape == exact.shape
    np.testing.assert_allclose(got, exact, atol=2e-6 * abs(exact).max(initial=1))


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize(("places", "length"), [(6, None), (6, 10), (6, 11), (2, 2), (2, 3), (7, 12), (33, 64)])
def test_half_of_the_frequencies_go_back_to_a_real_signal(opset, places, length):
    """Imaginary parts of the lowest and of the highest frequency count for nothing, as in numpy."""
    names = ["x"] if length is None else ["x", "n"]
    node = helper.make_node("DFT", names, ["y"], "dft", inverse=1, onesided=1)
    model = model_of([node], ["b", places, 2], None, {} if length is None else {"n": np.int64(length)}, opset)
    x = np.random.default_rng(0).standard_normal((3, places, 2)).astype(np.float32)
    changed, forms = rewritten(model)
    exact = np.fft.irfft(x[..., 0].astype(np.float64) + 1j * x[..., 1], length)[..., None]
    (got,) = oracles.run(changed, {"x": x})
    assert forms == ["matrix"] and got.shape == exact.shape
    np.testing.assert_allclose(got, exact, atol=2e-6 * abs(exact).max())


@pytest.mark.parametrize(("places", "length"), [(6, 9), (6, 12), (6, 13), (7, 11), (1, None)])
def test_half_of_the_frequencies_of_another_length_stay(places, length):
    names = ["x"] if length is None else ["x", "n"]
    node = helper.make_node("DFT", names, ["y"], "dft", inverse=1, onesided=1)
    model = model_of([node], ["b", places, 2], None, {} if length is None else {"n": np.int64(length)})
    assert steps_of(model) == []
    assert said_of(model, "dft") is (Cause.UNSUPPORTED if length is None else Cause.AMBIGUOUS)


@pytest.mark.parametrize(
    "model", [dft_model(5000), dft_model("n"), dft_model(8, parts=2, onesided=1)], ids=["long", "open", "complex"]
)
def test_what_is_too_long_or_not_known_stays(model):
    assert steps_of(model) == []


def test_one_that_is_no_power_of_two_pays_and_is_proved():
    model = dft_model(120, onesided=1, then=(helper.make_node("ReduceL2", ["f"], ["y"], axes=[-1]),))
    found = scission.optimize(model, batch=[64], bench=False)
    assert found.outcome == "split", found.reason
    assert [one.kind for one in found.plan.preparations][:1] == ["convolutions"]
    assert found.verdict is not None and found.verdict.equal and "DFT" not in oracles.operators(found.model)


def test_few_short_ones_are_left():
    assert scission.plan(dft_model(4), batch=[1]).preparations == ()


def test_the_product_is_taken_apart_further():
    found = scission.plan(dft_model(400, onesided=1), batch=[3000])
    assert [one.kind for one in found.preparations] == ["convolutions", "factors"]
    assert scission.plan(dft_model(400, onesided=1), batch=[3000], convolutions=False).preparations == ()
