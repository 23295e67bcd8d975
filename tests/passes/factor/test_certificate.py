"""What is said of factors before anything is run, against what rounding does when it is."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest
from factored import cosine, fourier, hadamard, kronecker, planted, unlike
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.factor.certificate import certify
from scission.passes.factor.factorise import factorise
from scission.passes.factor.stages import Factors, Stage


def in_single(factors, x):
    """All stages in float32, as they are run."""
    rounded = [replace(one, weight=one.weight.astype(np.float32)) for one in factors.stages]
    scale = None if factors.scale is None else factors.scale.astype(np.float32)
    return replace(factors, stages=tuple(rounded), scale=scale).apply(x)


@pytest.mark.parametrize("weight", [fourier(128), fourier(96, window=np.hanning(96)), cosine(64), hadamard(64)])
def test_errors_stay_below_what_is_certified(weight):
    _, factors = factorise(weight, lambda one: one.macs)
    found = certify(weight, factors)
    assert found.holds
    x = np.random.default_rng(0).uniform(-1, 1, (weight.shape[0], 200)).astype(np.float32)
    exact = weight.astype(np.float64).T @ x
    error = abs(in_single(factors, x) - exact).max()
    assert in_single(factors, x).dtype == np.float32
    dense = weight.shape[0] * 2.0**-24 * abs(weight).sum(axis=0).max()
    assert error <= found.bound * dense


def test_another_product_is_refused():
    weight = fourier(64)
    _, factors = factorise(weight, lambda one: one.macs)
    assert not certify(weight * 1.0001, factors).holds
    assert not certify(fourier(64, window=np.hanning(64)), factors).holds
    assert not certify(weight[:, ::-1], factors).holds


def test_stages_whose_terms_cancel_are_refused():
    """Two ranks that are one another's opposite but for what is meant: exact as numbers, and rounded away."""
    weight = hadamard(64)
    _, factors = factorise(weight, lambda one: one.macs)
    first, second = factors.stages[0], factors.stages[1]
    assert first.weight.shape[:2] == second.weight.shape[:2] == (1, 1) and first.ranks == 1
    groups, reads = first.weight.shape[3], second.weight.shape[2]
    both = np.repeat(first.weight, 2, axis=3) * np.tile([1.0, -1e6], groups)
    again = np.concatenate([second.weight * (1 + 1e6), second.weight], axis=2)
    split = (replace(first, weight=both, ranks=2), replace(second, weight=again), *factors.stages[2:])
    found = certify(weight, replace(factors, stages=split))
    assert again.shape[2] == 2 * reads and found.residual < 1e-9 and found.bound > 1 and not found.holds


@settings(max_examples=30)
@given(st.integers(0, 1 << 20))
def test_each_output_and_each_input_is_right_beside_what_it_is_itself(seed):
    """Of sizes that are far apart nothing is held against the largest alone: small ones may be all that is used."""
    rng = np.random.default_rng(seed)
    planted_ones = kronecker(*rng.standard_normal((3, 4, 4))), planted(rng, 8, 6, 5, 6), hadamard(32), fourier(32)
    weight = unlike(Random(seed), rng, planted_ones[seed % 4])
    found = factorise(weight, lambda one: one.macs)
    if found is None or not certify(weight, found[1]).holds:
        return
    away, whole = abs(weight.astype(np.float64) - found[1].product()), abs(weight.astype(np.float64))
    for axis in (0, 1):
        heard = whole.sum(axis) > 1e-12 * whole.sum(axis).max()
        assert (away.sum(axis) <= 1e-5 * whole.sum(axis))[heard].all()


def test_outputs_and_inputs_that_are_small_beside_others_are_no_noise():
    whole = Stage(weight=np.ones((1, 1, 8, 8)), radix=8, ranks=1)
    for side in (np.s_[:, 5], np.s_[5, :]):
        weight, other = np.ones((8, 8)), np.ones((8, 8))
        weight[side], other[side] = 1e-9, 1.1e-9
        found = Factors(stages=(replace(whole, weight=weight[None, None]),), order=np.arange(8))
        right, wrong = certify(weight, found), certify(other, found)
        assert right.residual == 0 and right.bound < 2
        assert not wrong.holds and (wrong.residual > 0.01 or wrong.bound > 1000)
