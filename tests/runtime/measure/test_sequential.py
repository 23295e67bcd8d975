import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.runtime.measure.sequential import ALPHA, evidence, excess, least_samples, median_interval


@given(st.integers(1, 300), st.sampled_from([0.05, 0.005, 1e-4]))
def test_what_lies_outside_is_counted_one_by_one(count, alpha):
    found = [heads for heads in range(count // 2 + 1) if 2.0**count >= (count + 1) * math.comb(count, heads) / alpha]
    assert excess(count, alpha) == max(found, default=-1)


@given(st.integers(1, 60))
def test_evidence_is_what_mixed_coins_make_of_it(count):
    """A fair coin expects 1 of it after any number of samples, as it does of every likelihood ratio."""
    mean = sum(math.comb(count, heads) / 2**count * math.exp(evidence(heads, count)) for heads in range(count + 1))
    assert mean == pytest.approx(1)


@given(st.lists(st.floats(-1e6, 1e6), max_size=80), st.floats(-10, 10))
def test_the_interval_holds_what_the_signs_do_not_refuse(samples, median):
    low, high = median_interval(samples)
    below, above = (sum(s <= median for s in samples), sum(s >= median for s in samples))
    assert (low <= median <= high) == (min(below, above) > excess(len(samples)))


@given(st.lists(st.integers(-50, 50), min_size=12, max_size=60), st.randoms())
def test_neither_order_nor_scale_nor_outliers_count(samples, random):
    low, high = median_interval(samples)
    assert median_interval(random.sample(samples, len(samples))) == (low, high)
    assert median_interval([3 * sample for sample in samples]) == (3 * low, 3 * high)
    assert median_interval([1e9 if s > high else -1e9 if s < low else s for s in samples]) == (low, high)


def test_too_few_samples_say_nothing():
    assert least_samples() == 12 and least_samples(0.05) == 8
    assert median_interval([]) == median_interval([1.0] * 11) == (-math.inf, math.inf)
    assert median_interval([1.0] * 12) == (1.0, 1.0)


def refused(noise):
    """The share of rows whose interval leaves 0 out at any look, with one after every sample."""
    bounds = np.array([excess(count) for count in range(1, noise.shape[1] + 1)])
    sides = [np.cumsum(side, axis=1) <= bounds for side in (noise > 0, noise < 0)]
    return float((sides[0] | sides[1]).any(axis=1).mean())


RUNS, COUNT = 2000, 400


def samples(kind, rng):
    """Rows of samples with median 0. Those of bursts and drift depend on one another, but for their signs: which of two
    models runs first is drawn anew for each pair, and what the machine does in the meantime goes to either."""
    size = RUNS, COUNT
    sign = rng.integers(0, 2, size) * 2 - 1
    return {
        "normal": lambda: rng.standard_normal(size),
        "heavy tails": lambda: rng.standard_cauchy(size),
        "lopsided": lambda: np.log(rng.exponential(size=size) / np.log(2)),
        "bursts": lambda: sign * np.exp(np.repeat(3 * rng.standard_normal((RUNS, COUNT // 50)), 50, axis=1)),
        "drift": lambda: sign * np.linspace(0.01, 1, COUNT),
    }[kind]()


@pytest.mark.parametrize("kind", ["normal", "heavy tails", "lopsided", "bursts", "drift"])
def test_looked_at_after_every_sample_it_is_wrong_in_alpha_of_all_runs_at_most(kind):
    share = refused(samples(kind, np.random.default_rng(0)))
    assert share <= ALPHA + 3 * math.sqrt(ALPHA / RUNS)


@pytest.mark.parametrize(("kind", "shift"), [("normal", 0.5), ("heavy tails", 0.5), ("lopsided", 0.5)])
def test_what_is_there_is_seen(kind, shift):
    assert refused(samples(kind, np.random.default_rng(1)) + shift) > 0.97
