import math
import warnings

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import integrate, stats

from scission.ir.evidence.null import Null
from scission.passes.cocluster.energies import CAP, energies, learned_moments, moments

NORMAL = Null(family="normal", scale=0.5, source="test")
UNIFORM = Null(family="uniform", scale=0.5, source="test")
WEIGHTS = st.floats(width=32, allow_nan=True, allow_infinity=True)


def slow(w: float, null: Null) -> float:
    """The energy of one weight, by the definition."""
    if not math.isfinite(w):
        return CAP
    z = w / null.scale if null.family == "normal" else stats.norm.isf(max(0.0, 1 - abs(w) / null.scale) / 2)
    return min(z * z, CAP) if math.isfinite(z) else CAP


@pytest.mark.parametrize("null", [NORMAL, UNIFORM], ids=["normal", "uniform"])
@given(weight=arrays.arrays(np.float64, arrays.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=WEIGHTS))
def test_every_energy_is_the_squared_normal_score_up_to_the_cap(null, weight):
    expected = [[slow(w, null) for w in row] for row in weight]
    found = energies(weight, null)
    assert found.dtype == np.float32 and found.shape == weight.shape
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("null", [NORMAL, UNIFORM], ids=["normal", "uniform"])
def test_energies_of_untouched_weights_follow_one_law_whatever_the_null(null):
    rng = np.random.default_rng(1)
    weight = rng.normal(0, 0.5, (400, 500)) if null is NORMAL else rng.uniform(-0.5, 0.5, (400, 500))
    found = energies(weight, null).ravel()
    mean, variance = moments()
    assert abs(found.mean(dtype=float) - mean) < 4 * math.sqrt(variance / found.size)
    below = found[found < CAP * (1 - 1e-6)]
    assert stats.kstest(below, lambda x: stats.chi2.cdf(x, 1) / stats.chi2.cdf(CAP, 1)).pvalue > 1e-3
    assert (found.size - below.size) / found.size == pytest.approx(stats.chi2.sf(CAP, 1), rel=0.3)


def test_moments_are_those_of_the_capped_square_of_a_normal():
    def expectation(power):
        def weighted(z):
            return min(z * z, CAP) ** power * stats.norm.pdf(z)

        return 2 * sum(integrate.quad(weighted, *limits)[0] for limits in ((0, math.sqrt(CAP)), (math.sqrt(CAP), 40)))

    mean, variance = moments()
    assert mean == pytest.approx(expectation(1), rel=1e-7)
    assert variance == pytest.approx(expectation(2) - expectation(1) ** 2, rel=1e-7)


def test_the_scale_of_weights_and_null_together_does_not_matter():
    weight = np.random.default_rng(2).standard_normal((20, 30))
    for null in (NORMAL, UNIFORM):
        for factor in (1e-12, 3.0, 1e12):
            scaled = Null(family=null.family, scale=null.scale * factor, source="test")
            np.testing.assert_allclose(energies(weight * factor, scaled), energies(weight, null), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("null", [NORMAL, UNIFORM], ids=["normal", "uniform"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16, ">f4", np.int8, np.uint8])
def test_any_type_to_its_very_ends_and_no_warning(null, dtype):
    extremes = [0, 1, 100]
    if np.dtype(dtype).kind == "f":
        extremes = [0, np.nan, np.inf, -np.inf, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal]
    weight = np.array([extremes]).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = energies(weight, null)
    np.testing.assert_allclose(found, [[slow(float(w), null) for w in weight[0]]], atol=1e-6)
    assert found[0, 0] == 0 and found.max() == CAP


def test_a_weight_of_no_entries_has_no_energies():
    assert energies(np.zeros((0, 5)), NORMAL).shape == (0, 5)
    assert energies(np.zeros((5, 0)), UNIFORM).shape == (5, 0)


@given(st.sampled_from(["normal", "uniform"]), st.floats(0, 6), st.integers(0, 2**16))
@settings(max_examples=20)
def test_the_moments_of_what_learned_are_those_of_energies_drawn(family, signal, seed):
    rng = np.random.default_rng(seed)
    null = Null(family=family, scale=1.0 if family == "normal" else math.sqrt(3), source="test")
    drawn = rng.standard_normal((400, 500)) if family == "normal" else rng.uniform(-1, 1, (400, 500)) * null.scale
    found = energies(drawn + signal * rng.standard_normal(drawn.shape), null).astype(float)
    mean, variance = learned_moments(family, signal)
    assert mean == pytest.approx(found.mean(), abs=5 * found.std() / math.sqrt(found.size) + 1e-3)
    assert variance == pytest.approx(found.var(), rel=0.04)
