"""Which linears are split together; what becomes of the regions is in test_branches.py."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scission
from scission.models.matrix import weight
from scission.models.networks import subspaces


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_cover_is_the_entrance_of_a_region(shuffle):
    planted = subspaces.build(np.random.default_rng(0), 4, 96, 64, 5, shuffle=shuffle)
    plan = scission.plan(planted.model, batch=[256], threads=1, force=True)
    assert [step.lowering for step in plan.steps] == ["joint", "joint"]
    encode, decode = plan.steps
    assert encode.decomposition.mac_share < 0.3 and encode.decomposition.shared.size
    assert not decode.decomposition.shared.size
    split = scission.apply(planted.model, plan)
    assert scission.check(planted.model, split).equal and scission.Plan.loads(plan.dumps()) == plan


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.integers(2, 5), st.integers(1, 6), st.integers(1, 6))
def test_any_entrance_with_shared_inputs_computes_the_same(seed, count, hidden, outputs):
    rng = np.random.default_rng(seed)
    K = 12
    W1 = np.concatenate([(rng.random((K, 1)) < 0.4) * rng.standard_normal((K, hidden)) for _ in range(count)], axis=1)
    order = rng.permutation(count * hidden)
    W2, _ = weight(rng, [(hidden, outputs)] * count, contiguous=True)
    constants = {"A": np.float32(W1[:, order]), "b": np.float32(rng.standard_normal(count * hidden)), "B": W2[order]}
    nodes = [("MatMul", "xA", "h"), ("Add", "hb", "i"), ("Relu", "i", "r"), ("MatMul", "rB", "y")]
    model = oracles.graph(nodes, {"x": ["m", K]}, {"y": ["m", count * outputs]}, constants)
    plan = scission.plan(model, force=True)
    x = {"x": rng.standard_normal((3, K)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, x), oracles.run(scission.apply(model, plan), x))


def test_a_cover_that_reads_a_region_does_not_keep_it_apart():
    rng = np.random.default_rng(0)
    A, _ = weight(rng, [(64, 64)] * 4)
    C = np.float32(np.tril(rng.standard_normal((256, 256)) + 3))
    nodes = [("MatMul", "xA", "h"), ("Relu", "h", "r"), ("MatMul", "rB", "y"), ("MatMul", "rC", "z")]
    constants = {"A": A, "B": A.T.copy(), "C": C}
    model = oracles.graph(nodes, {"x": ["m", 256]}, {"y": ["m", 256], "z": ["m", 256]}, constants)
    plan = scission.plan(model, batch=[256], threads=1, force=True)
    assert [step.lowering for step in plan.steps][:2] == ["joint", "joint"] and plan.steps[2].lowering != "joint"
    assert scission.check(model, scission.apply(model, plan)).equal
