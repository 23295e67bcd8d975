import math

import numpy as np
import pytest
import torch
from digraphs import on_cuda
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from scission.passes.anneal.edges.random_walk import (
    BINS,
    FEWEST,
    STEPS,
    Band,
    band,
    in_band,
    not_finite,
    preference,
    random_channels,
    tails,
    untouched_preference,
)

sources = st.sampled_from(["inputs", "outputs"])
seeds = st.integers(0, 2**16)


@st.composite
def weights(draw):
    """float64 weights from flat to heavy-tailed influence, some with dead or odd rows and columns."""
    rng = np.random.default_rng(draw(seeds))
    shape = (draw(st.integers(1, 40)), draw(st.integers(1, 40)))
    kind = draw(st.sampled_from(["normal", "flat", "narrow", "heavy", "sparse"]))
    W = rng.normal(size=shape)
    if kind in ("flat", "narrow"):
        W = (1 + rng.uniform(-1, 1, shape) * (0.9 if kind == "flat" else 0.3)) * np.sign(W)
    elif kind == "heavy":
        W = W**5
    elif kind == "sparse":
        W = W * (rng.random(shape) < 0.3)
    if draw(st.booleans()):
        W[rng.integers(shape[0])] = 0
        W[:, rng.integers(shape[1])] = 0
    if draw(st.booleans()):
        W[rng.integers(shape[0]), rng.integers(shape[1])] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return W


def shares(W, source):
    """p of every entry, None where the source has no weight or the entry is not finite."""
    W = W if source == "inputs" else W.T
    found = []
    for row in W.tolist():
        total = math.fsum(abs(w) for w in row if math.isfinite(w))
        found.append([abs(w) / total if total and math.isfinite(w) else None for w in row])
    return found


def population(channels, source):
    return [(p, len(row)) for W in channels for row in shares(W, source) for p in row if p is not None]


def widest(channels, level, source):
    """delta* in hundredths of 1/N as section 3.2.2 says: enlarge the window until Pearson's test rejects."""
    found, tested = 0, 0
    everything = [p * N - 1 for p, N in population(channels, source)]
    for step in range(1, STEPS + 1):
        delta = step / STEPS
        counts = [0] * BINS
        for u in everything:
            if -delta <= u < delta:
                counts[min(int((u + delta) / (2 * delta) * BINS), BINS - 1)] += 1
        expected = sum(counts) / BINS
        if expected < FEWEST:
            continue
        tested += 1
        if stats.chisquare(counts).pvalue < level:
            break
        found = step
    return found, tested


def clear(channels, source):
    """Whether no share lies on the border of a cell, where rounding decides."""
    at = [(p * N) * STEPS * BINS / 2 for p, N in population(channels, source) if p]
    return all(abs(x - round(x)) > 1e-6 for x in at)


@settings(max_examples=50)
@given(st.lists(weights(), min_size=1, max_size=1) | st.just([]), sources, st.sampled_from([0.2, 0.05, 1e-3]), seeds)
def test_the_band_is_the_widest_window_that_pearson_accepts(channels, source, level, seed):
    if not channels:  # several channels of one shape
        rng = np.random.default_rng(seed)
        channels = [1 + rng.uniform(-0.6, 0.6, (12, 15)) for _ in range(4)]
    assume(clear(channels, source))
    found = band(channels, level, source)
    step, tested = widest(channels, level, source)
    assert (found.width, found.windows, found.held) == (step / STEPS, tested, step > 0)
    classes = [0, 0, 0]
    for p, N in population(channels, source):
        u = p * N - 1
        classes[0 if u < -found.width - 1e-6 else 2 if u > found.width + 1e-6 else 1] += 1
    wild = sum(int((~np.isfinite(W)).sum()) for W in channels)
    assert (found.idle, found.wild) == (sum(W.size for W in channels) - sum(classes) - wild, wild)
    assert [found.suppressed, found.random - found.idle, found.preferred - found.wild] == classes
    assert found.p0 == classes[1] / max(sum(classes), 1)


@given(weights(), sources, st.sampled_from([0.0, 0.3, 1.0]))
def test_masks_are_the_classes_of_every_entry(W, source, width):
    found = Band(width=width, held=True, suppressed=0, random=0, preferred=0, windows=1)
    p = shares(W, source)
    preferred, random = preference(W, found, source), in_band(W, found, source)
    for k in range(W.shape[0]):
        for n in range(W.shape[1]):
            share, N = (p[k][n], W.shape[1]) if source == "inputs" else (p[n][k], W.shape[0])
            u = None if share is None else share * N - 1
            prefers = not math.isfinite(W[k, n]) or (u is not None and u > width + 1e-6)
            inside = math.isfinite(W[k, n]) and (u is None or abs(u) <= width + 1e-6)
            assert preferred[k, n] == prefers
            assert random[k, n] == inside


@given(weights(), st.sampled_from([0.05, 1e-3]))
def test_columns_are_the_rows_of_the_transpose(W, level):
    found, other = band([W], level, "outputs"), band([W.T], level, "inputs")
    if clear([W], "outputs"):
        assert found == other
        assert (preference(W, found, "outputs") == preference(W.T, other, "inputs").T).all()


@given(weights(), sources, st.sampled_from([2.0**-100, 0.25, -1.0, 2.0**60]))
def test_scale_and_sign_do_not_matter(W, source, factor):
    assert band([W], 0.05, source) == band([W * factor], 0.05, source)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1.0, 1e-44, 3e38])
@pytest.mark.parametrize("shape", [(40, 1), (1, 40), (49, 49), (30, 7)])
@pytest.mark.parametrize("source", ["inputs", "outputs"])
def test_equal_influence_is_never_preferred(dtype, scale, shape, source):
    """Not even by rounding; float32 adds 3e38 up to infinity, and has few digits at 1e-44."""
    W = np.full(shape, scale, dtype)
    found = band([W], 0.05, source)
    assert (found.width, found.random, found.p0) == (0.0, W.size, 1.0)
    assert not preference(W, found, source).any() and in_band(W, found, source).all()


def test_a_weight_with_one_output_prefers_nothing():
    W = np.random.default_rng(0).normal(size=(500, 1)).astype(np.float32)
    found = band([W], 0.05)
    assert not preference(W, found).any() and found.random == W.size


@pytest.mark.parametrize("seed", range(4))
def test_flat_influence_holds_as_far_as_it_is_flat(seed):
    """At a small level; one window after the other is tested, so a large one stops early now and then."""
    W = 1 + np.random.default_rng(seed).uniform(-0.5, 0.5, (200, 300))
    found = band([W], 1e-4)
    assert found.held and abs(found.width - 0.48) < 0.03
    assert found.p0 > 0.9


def test_gaussian_influence_is_no_random_walk_but_a_third_of_it_is_preferred():
    W = np.random.default_rng(0).normal(size=(1000, 1000)).astype(np.float32)
    for level in (0.05, 0.001):
        found = band([W], level)
        assert 0.34 < preference(W, found).mean() < 0.43


def test_too_few_entries_are_not_tested():
    found = band([np.random.default_rng(0).normal(size=(5, 8))], 0.05)
    assert (found.windows, found.width, found.held) == (0, 0.0, False)


@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 30), st.integers(0, 30))
def test_tails_are_sums_of_the_binomial(r, low, inside, high):
    found = Band(width=0.1, held=True, suppressed=low, random=inside, preferred=high, windows=1)
    p = inside / max(low + inside + high, 1)
    mass = [math.comb(r, t) * p**t * (1 - p) ** (r - t) for t in range(r + 1)]
    np.testing.assert_allclose(tails(found, r), np.cumsum(mass), atol=1e-12)


@given(weights(), seeds, sources, st.sampled_from([0.0, 0.3]))
def test_random_channels_are_counted(W, seed, source, width):
    rng = np.random.default_rng(seed)
    channels = [W, rng.permutation(W), rng.normal(size=W.shape)]
    found = Band(width=width, held=True, suppressed=0, random=0, preferred=0, windows=1)
    expected = np.zeros(W.shape, int)
    odd = np.zeros(W.shape, bool)
    for one in channels:
        p = shares(one, source)
        p = p if source == "inputs" else list(map(list, zip(*p, strict=True)))
        N = W.shape[1] if source == "inputs" else W.shape[0]
        alive = (np.nan_to_num(abs(one), nan=0, posinf=0) > 0).any(1 if source == "inputs" else 0)
        odd |= ~np.isfinite(one)
        for k, n in np.ndindex(W.shape):
            dead = not alive[k if source == "inputs" else n]
            expected[k, n] += dead or (p[k][n] is not None and abs(p[k][n] * N - 1) <= width + 1e-6)
    counts = random_channels(channels, found, source)
    assert counts.dtype == np.uint8 and (counts[~odd] == expected[~odd]).all()
    assert (not_finite(channels) == odd).all()


@pytest.mark.parametrize("source", ["inputs", "outputs"])
def test_the_same_on_torch(source):
    rng = np.random.default_rng(0)
    W = (1 + rng.uniform(-0.7, 0.7, (300, 200))).astype(np.float32)
    W[3], W[5, 5], W[6, 6] = 0, np.nan, np.inf
    same_on(torch.device("cpu"), W, source)


@on_cuda
@pytest.mark.parametrize("source", ["inputs", "outputs"])
def test_the_same_on_cuda(source):
    W = (1 + np.random.default_rng(0).uniform(-0.7, 0.7, (900, 1100))).astype(np.float32)
    same_on(torch.device("cuda"), W, source)


def same_on(device, W, source):
    """Sums are added in another order there, so entries on the border may go either way."""
    other = torch.from_numpy(W).to(device)
    found, there = band([W], 1e-5, source), band([other], 1e-5, source)
    assert found.width == there.width > 0 and found.windows == there.windows
    assert abs(found.random - there.random) <= 2 and abs(found.preferred - there.preferred) <= 2
    for function in (preference, in_band):
        mask = function(other, found, source)
        assert mask.device.type == device.type
        assert (mask.cpu().numpy() != function(W, found, source)).sum() <= 2
    counts = random_channels([other, other], found, source)
    assert (counts != random_channels([W, W], found, source)).sum() <= 2


@pytest.mark.parametrize("source", ["inputs", "outputs"])
def test_every_entry_is_counted_in_the_class_that_its_masks_say(source):
    W = np.random.default_rng(0).normal(size=(60, 50))
    W[3], W[:, 7], W[5, 5], W[6, 6] = 0, 0, np.nan, -np.inf
    found = band([W], 0.05, source)
    prefers, inside = preference(W, found, source), in_band(W, found, source)
    assert not (prefers & inside).any()
    assert (found.preferred, found.random) == (prefers.sum(), inside.sum())
    assert found.suppressed == (~prefers & ~inside).sum()
    assert (random_channels([W], found, source) == inside).all()
    dead = W[3] if source == "inputs" else W[:, 7]
    assert found.idle == dead.size and found.wild == 2


@pytest.mark.parametrize("features", [4, 16, 64, 700])
@pytest.mark.parametrize("family", ["normal", "uniform"])
@pytest.mark.parametrize("width", [0.0, 0.1, 0.6])
def test_what_the_test_makes_of_untouched_weights_is_what_it_does_to_them(features, family, width):
    rng = np.random.default_rng(features)
    shape = (400_000 // features, features)
    W = rng.standard_normal(shape) if family == "normal" else rng.uniform(-1, 1, shape)
    found = Band(width=width, held=True, suppressed=0, random=1, preferred=0, windows=1)
    seen = preference(W, found).mean()
    assert untouched_preference(found, family, features) == pytest.approx(seen, abs=0.01 if features < 16 else 0.004)
    assert preference(W.T, found, "outputs").mean() == seen


def test_an_only_edge_of_a_source_is_never_preferred():
    found = Band(width=0.0, held=False, suppressed=0, random=1, preferred=0, windows=0)
    assert untouched_preference(found, "normal", 1) == 0
