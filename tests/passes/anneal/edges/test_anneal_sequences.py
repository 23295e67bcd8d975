import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from untouched import CORRECTIONS, NORMAL, UNIFORM, D, expected_mask, flat, nulls, seeds, untouched

from scission.ir.evidence.evidence import Evidence
from scission.ir.evidence.null import Null
from scission.passes.anneal.edges import random_walk
from scission.passes.anneal.edges.anneal_sequences import confirm_sequences
from scission.passes.anneal.edges.decision import AnnealError


def sequences(seed, null=NORMAL, r=8, d=20, share=0.1):
    rng = np.random.default_rng(seed)
    moved = rng.random((d, d)) < share
    return [untouched(rng, null, (d, d)) + moved * rng.normal(0, 2 * null.scale, (d, d)) for _ in range(r)]


@given(seeds, st.integers(1, 9), st.sampled_from(CORRECTIONS), st.sampled_from([0.2, 0.01]))
def test_the_norm_keeps_what_chi_square_finds_improbable(seed, r, correction, level):
    theta = sequences(seed, r=r)
    scales = [Null(family="normal", scale=0.5 + 0.1 * c, source="test") for c in range(r)]
    found = confirm_sequences(theta, "norm", nulls=scales, level=level, correction=correction, details=True)
    Q = sum((part / null.scale) ** 2 for part, null in zip(theta, scales, strict=True))
    p = stats.chi2.sf(Q, r)
    assert (found.confirmed == expected_mask(p, level, correction)).all()
    np.testing.assert_allclose(found.p_values, p, rtol=1e-3, atol=1e-7)
    evidence = found.evidence
    assert evidence.confirmed == found.confirmed.mean()
    assert Evidence.from_dict(json.loads(json.dumps(evidence.to_dict(), allow_nan=False))) == evidence


@given(seeds, st.sampled_from(["inputs", "outputs"]), st.sampled_from(["none", "benjamini-hochberg"]))
def test_consistency_counts_the_channels_that_look_random(seed, source, correction):
    theta, _ = flat(seed)
    found = confirm_sequences(theta, "consistency", level=0.01, correction=correction, source=source)
    band = random_walk.band(theta, 0.01, source)
    axis = 1 if source == "inputs" else 0
    T = sum(abs(part / part.sum(axis, keepdims=True) * D - 1) <= band.width for part in theta)
    p = stats.binom.cdf(T, 8, band.p0)
    assert (found.confirmed == expected_mask(p, 0.01, correction)).all()
    assert found.evidence.bandwidth == band.width
    assert found.evidence.classes == (band.preferred, band.random, band.suppressed)


def test_consistency_finds_what_is_planted():
    theta, moved = flat(1)
    found = confirm_sequences(theta, "consistency", level=1e-4, correction="none")
    assert (found.confirmed == moved).all() and moved.any()


def test_consistency_without_power_says_so_and_keeps_nothing_but_nan():
    theta = sequences(0, d=60)
    theta[2][5, 6] = np.nan
    found = confirm_sequences(theta, "consistency", level=0.05)
    assert np.argwhere(found.confirmed).tolist() == [[5, 6]]
    assert "it can reject nothing" in found.evidence.power and found.evidence.expected_false == 0


def test_a_dead_source_is_no_evidence_for_its_edges():
    theta, _ = flat(2)
    for part in theta:
        part[7] = 0
    found = confirm_sequences(theta, "consistency", level=1e-3, correction="none")
    assert found.confirmed.any() and not found.confirmed[7].any()


@settings(max_examples=25)
@given(seeds, nulls)
def test_a_sequence_must_pass_both_tests(seed, null):
    theta, _ = flat(seed)
    options = {"nulls": [null] * 8, "level": 0.01, "correction": "none"}
    both, one, other = (confirm_sequences(theta, test, **options) for test in ("sequences", "norm", "consistency"))
    assert (both.confirmed == one.confirmed & other.confirmed).all()
    assert both.evidence.test == "sequences" and both.evidence.confirmed == both.confirmed.mean()
    assert both.evidence.bandwidth == other.evidence.bandwidth and both.evidence.per_edge == one.evidence.per_edge


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"test": "magic"}, "unknown test 'magic'"),
        ({"test": "norm"}, "2 channels need as many nulls, not 0"),
        ({"test": "sequences", "nulls": [NORMAL]}, "2 channels need as many nulls, not 1"),
        ({"test": "norm", "nulls": [NORMAL, UNIFORM]}, "one family"),
        ({"test": "consistency", "level": 1}, "between 0 and 1"),
        ({"test": "norm", "nulls": [NORMAL] * 2, "correction": "holm"}, "unknown correction"),
    ],
)
def test_what_a_sequence_test_lacks_is_said(options, message):
    with pytest.raises(AnnealError, match=message):
        confirm_sequences([np.ones((3, 3))] * 2, **options)
