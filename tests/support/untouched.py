"""Weights drawn from a null, with and without edges that learning confirmed, and what a test must keep of them."""

import numpy as np
from hypothesis import strategies as st
from scipy import stats

from scission.ir.evidence.null import Null

NORMAL = Null(family="normal", scale=0.5, source="test")
UNIFORM = Null(family="uniform", scale=0.5, source="test")
CORRECTIONS = ("none", "bonferroni", "benjamini-hochberg")
nulls = st.sampled_from([NORMAL, UNIFORM])
seeds = st.integers(0, 2**16)


def untouched(rng, null, shape, dtype=np.float64):
    if null.family == "normal":
        return rng.standard_normal(shape, dtype) * dtype(null.scale)
    return (rng.random(shape, dtype) * 2 - 1) * dtype(null.scale)


def learned(seed, null=NORMAL, shape=(30, 40), share=0.1):
    rng = np.random.default_rng(seed)
    return untouched(rng, null, shape) + (rng.random(shape) < share) * rng.normal(0, 4 * null.scale, shape)


def p_of(W, null):
    if null.family == "normal":
        return 2 * stats.norm.sf(abs(W) / null.scale)
    return np.maximum(1 - abs(W) / null.scale, 0)


def expected_mask(p, level, correction):
    m = p.size
    if correction == "benjamini-hochberg":
        ordered = np.sort(p.ravel())
        below = np.flatnonzero(ordered <= level * np.arange(1, m + 1) / m)
        return p <= ordered[below[-1]] if below.size else np.zeros(p.shape, bool)
    return p < (level if correction == "none" else level / m)


D = 60


def flat(seed, r=8, d=D, share=0.01):
    """Influence that is a random walk in every channel, but for edges that are larger in all of them."""
    rng = np.random.default_rng(seed)
    moved = rng.random((d, d)) < share
    return [(1 + rng.uniform(-0.5, 0.5, (d, d))) * np.where(moved, 3, 1) for _ in range(r)], moved
