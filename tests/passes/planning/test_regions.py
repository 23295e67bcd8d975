"""Which linears are split together; what becomes of the regions is in test_branches.py."""

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scission
from scission.ir.axes.feature_ids import trace
from scission.ir.axes.region import segments
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.models.matrix import weight
from scission.models.networks import subspaces
from scission.passes.planning.analysis import analyse
from scission.passes.planning.regions import SLACK, candidate, grow, grown_from


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_cover_is_the_entrance_of_a_region(shuffle):
    planted = subspaces.build(np.random.default_rng(0), 4, 96, 64, 5, shuffle=shuffle)
    plan = scission.plan(planted.model, batch=[256], threads=1, force=True)
    assert [step.lowering for step in plan.steps] == ["region", "region"]
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
    assert [step.lowering for step in plan.steps][:2] == ["region", "region"] and plan.steps[2].lowering != "region"
    assert scission.check(model, scission.apply(model, plan)).equal


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9))
def test_joining_in_rounds_is_joining_one_after_the_other(seed, count):
    """Linears in a row, some of which share no blocks with the next: the oracle takes segment after segment."""
    rng = np.random.default_rng(seed)
    constants, nodes = {}, []
    for place in range(count):
        order = rng.permutation(8) if rng.random() < 0.3 else np.arange(8)
        constants[chr(65 + place)] = weight(rng, [(4, 4)] * 2, contiguous=True)[0][order]
        nodes += [
            ("MatMul", chr(97 + 2 * place) + chr(65 + place), chr(98 + 2 * place)),
            ("Relu", chr(98 + 2 * place), chr(99 + 2 * place)),
        ]
    last = nodes[-1][-1]
    model = load(oracles.graph(nodes, {"a": ["m", 8]}, {last: ["m", 8]}, constants))
    seen = view(model.graph, [])
    own = [
        one
        for linear in seen.found.linears
        if (one := candidate(linear, analyse(linear.canonical(seen.found.constants)), seen.found.constants)) is not None
    ]
    found = {frozenset(one.region.linears): one.decompositions for one in grow(own, seen.found.constants)}
    assert found == one_after_the_other(own, seen.found.constants)


def one_after_the_other(own, constants):
    of = {one.linear: one for one in own}
    parts = {linear: (frozenset([linear]), one.macs) for linear, one in of.items()}
    features = trace(own[0].linear.node.graph, of, constants)
    for segment in sorted(segments(features, of), key=lambda one: len(one.writers) + len(one.readers)):
        touched = {parts[linear] for linear in (*segment.writers, *segment.readers)}
        members = frozenset().union(*(one for one, _ in touched))
        found = grown_from([of[linear] for linear in members], constants, tail=False)
        if len(touched) < 2 or found is None:
            continue
        macs = sum(d.mac_share * 64 for d in found.decompositions)
        if macs <= SLACK * sum(one for _, one in touched):
            parts |= dict.fromkeys(members, (members, macs))
    regions = {members for members, _ in parts.values() if len(members) > 1}
    whole = [grown_from([of[linear] for linear in members], constants, tail=True) for members in regions]
    return {frozenset(one.region.linears): one.decompositions for one in whole if one is not None}
