"""What to try next with a weight that does not fall apart."""

import dataclasses

import numpy as np
import pytest
from examined import KNOWN, NORMAL, noise, only, planted
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.findings.decomposability import STEPS
from scission.passes.anneal.settings import Anneal


@pytest.mark.parametrize(
    ("W", "options", "step", "why"),
    [
        (
            np.kron(np.eye(3, dtype=np.float32), noise(20, 20)),
            KNOWN,
            "split",
            "has 3 components, the largest with 33.3% of",
        ),
        (planted(4), KNOWN, "anneal", "in 4 components"),
        (noise(60, 60), KNOWN, "untrained", "no entry is larger than initialisation explains, and their sd is"),
        (noise(60, 60, scale=0.4), KNOWN, "sigma", "and their sd is 0.40 sigma"),
        (noise(60, 60), Anneal(), "sigma", "than the bulk explains"),
        (np.zeros((5, 4), np.float32), Anneal(), "dormant", "no edge at all"),
        (np.pad(noise(60, 60, scale=20), ((0, 2), (0, 0))), KNOWN, "dormant", "as many as hold a random weight"),
        (noise(60, 60, scale=20), KNOWN, "train", "larger than initialisation explains"),
        (noise(60, 6, scale=5) @ noise(6, 60), KNOWN, "rank", "larger than initialisation explains"),
    ],
)
def test_what_to_try_next_follows_from_the_figures(W, options, step, why):
    found = only(W, options)
    assert (found.step, why in found.reason) == (step, True), found.reason
    assert found.suggestion.startswith(STEPS[step])


def test_where_the_verdict_hangs_on_sigma_the_checkpoint_decides():
    W = noise(60, 60)
    threshold = NORMAL.threshold(0.05 / W.size)
    W[:31, 0], W[0, :31] = threshold * 1.05, threshold * 1.05  # a star that holds half, at 1.0 but not at 1.1 sigma
    found = only(W)
    assert [one.giant >= 0.5 for one in found.sensitivity] == [True, True, False]
    few = dataclasses.replace(KNOWN, initial={"linear": np.zeros_like(W)})
    assert found.step == "dormant"  # the features without a confirmed entry are many
    W[:56, 0], W[0, :56] = threshold * 1.05, threshold * 1.05
    assert (only(W).step, "not at 1.1 sigma" in only(W).reason) == ("checkpoint", True)
    assert only(W, few).step == "train"


@pytest.mark.parametrize("null", [None, KNOWN.null])
@pytest.mark.parametrize(
    ("start", "weight", "step"),
    [
        (noise(60, 60), 0.4, "train"),  # shrunk: what was initialised is known, so it is not asked for
        (noise(60, 60), 1.0, "untrained"),
        (noise(60, 60), 20.0, "train"),
        (noise(60, 60, scale=1e-3), 1.0, "train"),
        (np.zeros((60, 60), np.float32), 20.0, "train"),
        (np.full((60, 60), np.nan, np.float32), 20.0, "train"),
    ],
)
def test_where_the_start_is_known_it_is_not_asked_for(null, start, weight, step):
    found = only(noise(60, 60, scale=weight), Anneal(null=null, initial={"linear": start}))
    assert found.step == step
    assert "checkpoint" not in found.suggestion and "bulk" not in found.reason


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.floats(0.01, 30), st.floats(0, 3), st.integers(1, 20), st.booleans())
def test_no_knowledge_of_the_start_is_asked_for_where_it_is_given(seed, scale, spread, rank, scheme):
    rng = np.random.default_rng(seed)
    W = (rng.normal(size=(20, rank)) @ rng.normal(size=(rank, 16)) * scale).astype(np.float32)
    start = (rng.normal(size=W.shape) * spread).astype(np.float32)
    found = only(W, Anneal(null=KNOWN.null if scheme else None, initial={"linear": start}))
    assert found.step not in ("sigma", "checkpoint")


def test_low_rank_says_its_figures():
    assert (
        "rank 6 holds 99% of the squared weight, with 20% of" in only(noise(60, 6, scale=5) @ noise(6, 60)).suggestion
    )
