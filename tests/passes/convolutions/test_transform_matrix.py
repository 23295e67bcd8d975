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


def dft_model(length: int, *, then=(), lead=("b",), parts: int = 1, **attributes):
    """Along the axis before the last, of signals with so many leading axes."""
    node = helper.make_node("DFT", ["x"], ["f" if then else "y"], "dft", axis=len(lead), **attributes)
    return model_of([node, *then], [*lead, length, parts], None, {})


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 1 << 20), st.booleans())
def test_every_transform_is_what_numpy_computes(seed, optimised):
    model, x, exact = random_dft(seed)
    before = oracles.runs(model, {"x": x}, optimised=optimised)
    changed, forms = rewritten(model)
    if before is None or not forms:  # ONNX Runtime refuses some that numpy has
        return
    assert forms == ["matrix"] and oracles.interface(changed) == oracles.interface(model)
    (got,) = oracles.run(changed, {"x": x}, optimised)
    assert got.shape == before[0].shape == exact.shape
    np.testing.assert_allclose(got, exact, atol=2e-6 * abs(exact).max(initial=1))


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
