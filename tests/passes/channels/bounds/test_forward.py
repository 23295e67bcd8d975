"""Bounds that are known before a model runs hold for all that it computes, whatever it is fed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idle_networks import KINDS
from known_bounds import facts
from perturbed import run
from random_channels import RandomNetwork

CLOSE = 1e-4  # of a bound, or of 1: what rounding adds


@settings(max_examples=8)
@given(st.integers(0, 1 << 30), st.sampled_from([0.1, 1.0, 30.0]))
@pytest.mark.parametrize("kind", KINDS)
def test_every_value_lies_within_its_bounds(kind, seed, scale):
    proto, feeds, _ = KINDS[kind](RandomNetwork(np.random.default_rng(seed)))
    values, known = facts(proto)
    bounded = [name for name, value in values.items() if value in known.bounds and name != proto.graph.output[0].name]
    runs = run(proto, {name: array * np.float32(scale) for name, array in feeds.items()}, *bounded)[1:]
    for name, seen in zip(bounded, runs, strict=True):
        bounds = known.bounds[values[name]]
        near = CLOSE * np.maximum(1, np.abs(seen))
        assert (bounds.low - near <= seen).all() and (seen <= bounds.high + near).all(), name


def test_some_bounds_of_every_kind_of_network_are_told():
    """The property above holds of networks of which nothing is known as well."""
    for kind, build in KINDS.items():
        told = [facts(build(RandomNetwork(np.random.default_rng(seed)))[0])[1].bounds for seed in range(5)]
        assert sum(np.isfinite(one.low).any() for bounds in told for one in bounds.values()) > 10, kind
