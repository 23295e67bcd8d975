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


def attention(heads, width, seed=0):
    """Attention of float32 features (N, S, width) in blocks that own so many whole heads each, inputs shuffled."""
    rng = np.random.default_rng(seed)
    every = sum(heads)
    each = width // every
    places = np.split(np.arange(width), np.cumsum(np.array(heads) * each)[:-1])
    mixed = np.split(rng.permutation(width), np.cumsum(np.array(heads) * each)[:-1])

    def blocks(inputs, outputs):
        W = np.zeros((width, width), np.float32)
        for rows, columns in zip(inputs, outputs, strict=True):
            W[np.ix_(rows, columns)] = rng.standard_normal((rows.size, columns.size)) / np.sqrt(rows.size)
        return W

    constants = {name: blocks(mixed, places) for name in "QKV"} | {"O": blocks(places, mixed)}
    constants |= {f"{name}b": rng.standard_normal(width).astype(np.float32) for name in "QKVO"}
    constants |= {"split": np.array([0, 0, every, each]), "all": np.array([0, 0, width])}
    constants["scale"] = np.array(each**-0.5, np.float32)
    nodes = []
    for name, perm in (("Q", [0, 2, 1, 3]), ("K", [0, 2, 3, 1]), ("V", [0, 2, 1, 3])):
        nodes += [("MatMul", ["x", name], [f"{name}m"]), ("Add", [f"{name}m", f"{name}b"], [f"{name}a"])]
        nodes += [("Reshape", [f"{name}a", "split"], [f"{name}r"])]
        nodes += [("Transpose", [f"{name}r"], [f"{name}t"], {"perm": perm})]
    nodes += [("MatMul", ["Qt", "Kt"], ["scores"]), ("Mul", ["scores", "scale"], ["scaled"])]
    nodes += [("Softmax", ["scaled"], ["shares"], {"axis": -1}), ("MatMul", ["shares", "Vt"], ["mixed"])]
    nodes += [("Transpose", ["mixed"], ["back"], {"perm": [0, 2, 1, 3]}), ("Reshape", ["back", "all"], ["joined"])]
    nodes += [("MatMul", ["joined", "O"], ["m"]), ("Add", ["m", "Ob"], ["y"])]
    return oracles.graph(nodes, {"x": ["N", "S", width]}, {"y": ["N", "S", width]}, constants)


@pytest.mark.parametrize(("heads", "width", "stacks"), [((2,) * 8, 1024, 1), ((2, 1, 4, 2, 1, 4, 2), 2048, 3)])
def test_attention_by_groups_of_heads_is_a_few_stacks_on_cuda(heads, width, stacks):
    """Groups of unequal size are sorted into stacks of like shape; what is planned for CUDA computes the same here."""
    model = attention(heads, width)
    plan = scission.plan(model, provider="cuda", batch=[4096])
    (region,) = plan.regions
    assert region.layout == "stacked" and {step.lowering for step in plan.steps} == {"region"}
    split = scission.apply(model, plan)
    assert sum(node.op_type == "MatMul" for node in split.graph.node) == 6 * stacks
    assert not {node.op_type for node in split.graph.node} & {"ScatterND", "Split"}
    for shape in ((2, 5, width), (0, 3, width)):
        x = np.random.default_rng(1).standard_normal(shape, np.float32)
        oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(split, {"x": x}))
