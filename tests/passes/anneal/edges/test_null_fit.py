import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from digraphs import on_cuda
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scission.ir.evidence.null import Null
from scission.passes.anneal.edges.null_fit import AT, CELLS, REACH, null_fit

NORMAL = Null(family="normal", scale=0.3, source="test")
UNIFORM = Null(family="uniform", scale=0.3, source="test")
CELL = REACH / CELLS
nulls = st.sampled_from([NORMAL, UNIFORM])


def law(null):
    """Distribution of |X|."""
    return stats.halfnorm(scale=null.scale) if null.family == "normal" else stats.uniform(0, null.scale)


def draw(seed, null, share, shape=(40, 50)):
    """Untouched entries, of which a share has learned."""
    rng = np.random.default_rng(seed)
    W = rng.normal(0, null.scale, shape) if null.family == "normal" else rng.uniform(-null.scale, null.scale, shape)
    return np.where(rng.random(shape) < share, W + rng.normal(0, 3 * null.scale, shape), W)


@given(st.integers(0, 2**16), nulls, st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_ks_is_the_distance_of_the_distributions(seed, null, share):
    """Up to what can happen inside a cell of the grid, and beyond its end."""
    W = draw(seed, null, share)
    expected = stats.kstest(abs(W).ravel(), law(null).cdf).statistic
    found = null_fit(W, null)
    beyond = (abs(W) > REACH * null.sigma).mean()
    inside = np.diff(law(null).cdf(np.linspace(0, REACH, CELLS + 1) * null.sigma)).max()
    assert expected - inside - beyond - 3 / W.size < found.ks <= expected + 1e-6


@given(st.integers(0, 2**16), nulls, st.sampled_from([0.0, 0.1, 0.5]))
def test_the_share_is_that_of_storey(seed, null, share):
    W = draw(seed, null, share)
    p = law(null).sf(abs(W))
    storey = min(1.0, (p > 0.5).mean() / 0.5)
    assert abs(null_fit(W, null).share - storey) < 0.02
    assert null_fit(W, null).share <= 1


@settings(max_examples=40)
@given(st.integers(0, 2**16), nulls, st.sampled_from([0.0, 0.3]))
def test_quantiles_are_those_of_the_magnitudes_in_sigmas(seed, null, share):
    W = draw(seed, null, share)
    found = null_fit(W, null)
    assert found.at == AT
    ordered = np.sort(abs(W).ravel()) / null.sigma
    for at, seen, meant in zip(AT, found.observed, found.expected, strict=True):
        exact = min(ordered[int(np.ceil(at * ordered.size)) - 1], REACH)
        assert abs(seen - exact) <= CELL + 1e-4
        assert abs(meant - law(null).ppf(at) / null.sigma) <= CELL + 1e-4
    assert found.ratio == pytest.approx(found.observed[4] / found.expected[4], abs=1e-6)


@pytest.mark.parametrize("null", [NORMAL, UNIFORM])
def test_untouched_weights_fit_and_shrunk_ones_do_not(null):
    W = draw(0, null, 0.0, (400, 500))
    good, bad = null_fit(W, null), null_fit(W / 2, null)
    assert good.ks < 0.01 and good.share > 0.98 and abs(good.ratio - 1) < 0.02
    assert bad.ks > 0.2 and abs(bad.ratio - 0.5) < 0.02


def test_nan_and_infinities_are_left_out():
    W = draw(0, NORMAL, 0.0)
    odd = np.vstack([W, np.full((3, 50), np.nan), np.full((1, 50), np.inf)])
    assert null_fit(odd, NORMAL) == null_fit(W, NORMAL)


def test_nothing_to_compare_is_no_fit_and_can_still_be_written():
    found = null_fit(np.full((2, 2), np.nan), NORMAL)
    assert found.ks > 0.99 and json.loads(json.dumps(asdict(found)))["ks"] == found.ks


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f8"])
def test_types_and_torch_agree(dtype):
    W = draw(1, NORMAL, 0.2).astype(dtype)
    found = null_fit(W, NORMAL)
    assert found.ks == pytest.approx(null_fit(W.astype(np.float64), NORMAL).ks, abs=2e-3)
    native = W.astype(W.dtype.newbyteorder("="))
    assert null_fit(torch.from_numpy(native), NORMAL) == found


@on_cuda
def test_the_same_on_cuda():
    W = draw(1, NORMAL, 0.2, (500, 600)).astype(np.float32)
    assert null_fit(torch.from_numpy(W).cuda(), NORMAL).ks == pytest.approx(null_fit(W, NORMAL).ks, abs=1e-4)
