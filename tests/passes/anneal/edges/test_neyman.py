import math

import numpy as np
import pytest
import torch
from digraphs import on_cuda
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import integrate, optimize, stats

from scission.ir.evidence.null import Null
from scission.passes.anneal.edges.neyman import (
    above,
    count_above,
    norm_p_values,
    norm_squares,
    norm_threshold,
    p_values,
)

NORMAL = Null(family="normal", scale=0.5, source="test")
UNIFORM = Null(family="uniform", scale=0.5, source="test")
SQRT3 = math.sqrt(3)
LAWS = {"normal": lambda s: stats.norm(scale=s), "uniform": lambda s: stats.uniform(-s, 2 * s)}

entries = st.integers(-32, 32).map(lambda n: n / 16) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0])
matrices = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), elements=entries)


@given(matrices, st.sampled_from([0.0, 0.25, 1.0, math.inf]))
def test_above_is_a_comparison_and_nan_is_above_everything(W, threshold):
    expected = [[math.isnan(w) or abs(w) > threshold for w in row] for row in W.tolist()]
    assert above(W, threshold).tolist() == expected
    assert above(torch.from_numpy(W), threshold).tolist() == expected
    expected = sum(math.isnan(w) or abs(w) >= threshold for w in W.ravel().tolist())
    assert count_above(W, threshold) == count_above(torch.from_numpy(W), threshold) == expected


@given(matrices, st.sampled_from([NORMAL, UNIFORM]))
def test_a_p_value_is_the_chance_of_a_larger_magnitude(W, null):
    law = LAWS[null.family](null.scale)
    expected = np.vectorize(lambda w: 0.0 if math.isnan(w) else 2 * law.sf(abs(float(w))))(W)
    for weight in (W, torch.from_numpy(W)):
        found = np.asarray(p_values(weight, null))
        assert found.dtype == np.float32 and found.shape == W.shape
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


@given(st.sampled_from([NORMAL, UNIFORM]), st.sampled_from([0.5, 0.05, 1e-3, 1e-6]), st.integers(0, 9))
def test_an_edge_is_kept_exactly_where_p_is_below_the_level(null, level, seed):
    W = np.random.default_rng(seed).normal(size=(20, 30))
    p = 2 * LAWS[null.family](null.scale).sf(abs(W))
    assert (above(W, null.threshold(level)) == (p < level)).all()


def theta_of(r, seed, shape=(4, 5)):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=shape) for _ in range(r)]


@given(st.integers(1, 9), st.integers(0, 9), st.sampled_from([NORMAL, UNIFORM]))
def test_the_norm_is_the_sum_of_squares_in_units_of_sigma(r, seed, null):
    theta = theta_of(r, seed)
    nulls = [Null(family=null.family, scale=null.scale * (1 + c), source="test") for c in range(r)]
    expected = np.zeros((4, 5))
    for k in range(4):
        for n in range(5):
            for part, one in zip(theta, nulls, strict=True):
                sigma = one.scale if null.family == "normal" else one.scale / SQRT3
                expected[k, n] += (part[k, n] / sigma) ** 2
    np.testing.assert_allclose(norm_squares(theta, nulls), expected, rtol=1e-5)
    on_torch = norm_squares([torch.from_numpy(part) for part in theta], nulls)
    np.testing.assert_allclose(on_torch.numpy(), expected, rtol=1e-5)


def test_nan_in_a_component_is_kept():
    theta = theta_of(2, 0)
    theta[1][2, 3] = np.nan
    assert above(norm_squares(theta, [NORMAL] * 2), 1e6).sum() == 1


@given(st.integers(1, 16), st.sampled_from([0.9, 0.05, 1e-4, 1e-9]))
def test_normal_components_have_the_threshold_of_chi_square(r, level):
    threshold = norm_threshold([NORMAL] * r, level)
    assert threshold == pytest.approx(stats.chi2.isf(level, r), rel=1e-12)
    assert norm_p_values(np.array([threshold]), [NORMAL] * r)[0] == pytest.approx(level, rel=1e-9)


LEVELS = [0.5, 0.05, 0.01, 1e-3, 1e-5, 1e-8]


CELL = 3 / 4096  # of Q, the resolution of the convolution


@pytest.mark.parametrize("level", LEVELS)
def test_one_uniform_component_exactly(level):
    """P(3 u^2 > q) = 1 - sqrt(q / 3)."""
    q = norm_threshold([UNIFORM], level)
    assert abs(q - 3 * (1 - level) ** 2) < CELL
    if level >= 0.01:
        assert 1 - math.sqrt(q / 3) == pytest.approx(level, rel=1e-3)


def outside_a_circle(s):
    """P(u^2 + v^2 > s) over the unit square."""
    if s <= 1:
        return 1 - math.pi * s / 4
    return integrate.quad(lambda u: 1 - math.sqrt(max(s - u * u, 0)), math.sqrt(s - 1), 1, epsabs=1e-15)[0]


@pytest.mark.parametrize("level", LEVELS)
def test_two_uniform_components_by_integration(level):
    q = norm_threshold([UNIFORM] * 2, level)
    exact = optimize.brentq(lambda s: outside_a_circle(s) - level, 0.01, 2 - 1e-9, xtol=1e-12) * 3
    assert abs(q - exact) < CELL
    if level >= 1e-5:
        assert outside_a_circle(q / 3) == pytest.approx(level, rel=1e-3)


@pytest.mark.parametrize("level", [1e-6, 1e-8])
def test_four_uniform_components_in_the_far_tail(level):
    """Two and two: P(Q > q) = E P(Q' > q - Q''), the inner probability by integration."""
    q = norm_threshold([UNIFORM] * 4, level) / 3

    def density(s):  # of u^2 + v^2 where that is above 1
        return math.asin(1 / math.sqrt(s)) - math.pi / 4

    assert q > 3
    found = integrate.quad(lambda s: density(s) * outside_a_circle(q - s), q - 2, 2, epsabs=1e-14)
    assert found[0] == pytest.approx(level, rel=2e-3)


@pytest.mark.parametrize("r", [3, 8, 12])
def test_many_uniform_components_against_samples(r):
    rng, samples = np.random.default_rng(r), 1_000_000
    Q = np.zeros(samples, np.float32)
    for _ in range(r):
        Q += 3 * rng.random(samples, dtype=np.float32) ** 2
    for level in (0.5, 0.05, 0.01, 1e-3, 1e-4):
        error = math.sqrt(level * (1 - level) / samples)
        assert abs((norm_threshold([UNIFORM] * r, level) < Q).mean() - level) < 4 * error
    for q in np.quantile(Q, [0.1, 0.5, 0.99]):
        p = norm_p_values(np.array([q]), [UNIFORM] * r)[0]
        assert abs((q < Q).mean() - p) < 4 * math.sqrt(p * (1 - p) / samples)


@pytest.mark.parametrize("r", [1, 2, 8])
def test_uniform_p_values_invert_the_threshold_and_end_with_the_support(r):
    nulls = [UNIFORM] * r
    for level in (0.9, 0.3, 0.01, 1e-6 if r > 2 else 1e-3):
        assert norm_p_values(np.array([norm_threshold(nulls, level)]), nulls)[0] == pytest.approx(level, rel=2e-3)
    assert norm_p_values(np.array([0.0, 3.01 * r]), nulls).tolist() == [pytest.approx(1), 0.0]
    assert norm_threshold(nulls, 0.0) == pytest.approx(3 * r, rel=1e-3)
    levels = np.geomspace(1e-12, 0.99, 50)
    thresholds = np.array([norm_threshold(nulls, level) for level in levels])
    assert (np.diff(thresholds) <= 0).all() and (np.diff(thresholds[levels > 1e-3]) < 0).all()


def test_families_do_not_mix():
    with pytest.raises(ValueError, match="one family"):
        norm_threshold([NORMAL, UNIFORM], 0.05)


@on_cuda
def test_the_same_on_cuda():
    W = np.random.default_rng(0).normal(size=(600, 700)).astype(np.float32)
    device = torch.from_numpy(W).cuda()
    assert (above(device, 1.0).cpu().numpy() == above(W, 1.0)).all()
    assert count_above(device, 1.0) == count_above(W, 1.0)
    np.testing.assert_allclose(p_values(device, NORMAL).cpu().numpy(), p_values(W, NORMAL), rtol=1e-4, atol=1e-7)
    squares = norm_squares([device, device], [NORMAL, UNIFORM]).cpu().numpy()
    np.testing.assert_allclose(squares, norm_squares([W, W], [NORMAL, UNIFORM]), rtol=1e-5)
