"""Bounds that are known before a model runs hold for all that it computes, whatever it is fed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idle_networks import KINDS
from known_bounds import facts
from perturbed import run
from random_channels import RandomNetwork
from reference import model, node

from scission.passes.channels.bounds import forward

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


CHAIN = st.lists(st.tuples(st.sampled_from(sorted(forward.BOUNDED)), st.sampled_from(["a", "b", "c"])), max_size=12)


@settings(max_examples=20)
@given(CHAIN)
def test_bounds_that_are_looked_up_are_those_that_are_computed(steps):
    nodes = [node("Relu", "x", "v0"), node("Tanh", "x", "w0")]
    for place, (op, other) in enumerate(steps):
        alone = op in ("Neg", "Relu", "Tanh", "Sigmoid")
        nodes.append(node(op, f"v{place}" if alone else f"v{place} {other}", f"v{place + 1}"))
        nodes.append(node(op, f"w{place}" if alone else f"w{place} {other}", f"w{place + 1}"))
    constants = {"a": np.float32(2), "b": np.float32([-1, 0, 3]), "c": np.float32([[np.inf], [1e38]])}
    proto = model(nodes, {"x": [2, 3]}, [f"v{len(steps)}", f"w{len(steps)}"], constants)
    values, known = facts(proto)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(forward, "_key", lambda facts, node, given: None)
        plain_values, plain = facts(proto)
    for name, value in values.items():
        one, other = known.bounds.get(value), plain.bounds.get(plain_values[name])
        assert (one is None) == (other is None), name
        if one is not None and other is not None:
            np.testing.assert_array_equal(one.low, other.low)
            np.testing.assert_array_equal(one.high, other.high)


def test_operators_that_compute_alike_are_bounded_once(monkeypatch):
    """Bounds are functions of bounds alone there, of no attribute and nothing that a transfer of axes says."""
    assert forward.ELEMENTWISE.keys() >= forward.BOUNDED and forward.BOUNDED.isdisjoint(forward.OTHERS)
    nodes = [node("Mul" if n % 2 else "Relu", f"v{n} c" if n % 2 else f"v{n}", f"v{n + 1}") for n in range(200)]
    asked = []
    computed = forward._computed
    monkeypatch.setattr(forward, "_computed", lambda *given: asked.append(given) or computed(*given))
    facts(model(nodes, {"v0": ["n", 4]}, ["v200"], {"c": np.float32(1)}))
    assert 0 < len(asked) < 10
