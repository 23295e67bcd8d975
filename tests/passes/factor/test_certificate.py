"""What is said of factors before anything is run, against what rounding does when it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from factored import cosine, fourier, hadamard

from scission.passes.factor.certificate import certify
from scission.passes.factor.factorise import factorise


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
