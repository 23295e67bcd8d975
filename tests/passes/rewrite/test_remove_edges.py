"""Models with zeros in their weights: blocks, masks and residual entries, wherever a weight stands."""

import dataclasses
import json

import numpy as np
import onnx
import oracles
import pytest
import reference
from annealed_models import (
    EMPTY,
    NOTE,
    RNG,
    C,
    W,
    annealed,
    decided,
    decision,
    load_linears,
    masked,
    nodes_by_address,
    normal,
    product,
)
from obstacle_examples import TAKE_NO_RESIDUAL

import scission
from scission import Plan, PlanError
from scission.ir.evidence.null import Null
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.annealing import AnnealingError, pack_mask
from scission.ir.plan.decomposition import Block, Decomposition
from scission.ir.reason import Cause
from scission.models.planted.products import KINDS, build, feeds
from scission.passes.anneal.edges.anneal import AnnealError, confirm
from scission.passes.rewrite.remove_edges import remove_edges

SIZES = ((8, 8), (8, 8))


# The whole zoo, against the same model with zeros in its weights.


UNTESTED = ("dequantize", "window", "transpose", "stack")  # quantised weights, and those of several matrices
ZOO = [kind for kind in KINDS if not any(word in kind for word in UNTESTED) and kind != "function"]


@pytest.mark.parametrize("kind", ZOO)
@pytest.mark.parametrize("fill", [True, False], ids=["fill", "literal"])
def test_an_annealed_model_is_the_same_with_zeros_in_its_weights(kind, fill):
    planted = build(np.random.default_rng(7), kind, sizes=SIZES, dormant=(1, 1))
    weights = {one.linear.address: abs(one.canonical[one.canonical != 0]) for one in load_linears(planted.model)}

    def null(linear):  # half of the weights are improbable under it
        return Null(family="normal", scale=float(np.median(weights[linear.address])), source="test")

    options = {"method": "neyman", "null": null, "level": 0.3, "correction": "none", "fill": fill}
    found = decided(planted.model, **options)
    if fill:  # what is confirmed holds the true blocks together: a coarse test must split something to be seen
        found = halves(planted.model, found)
    assert found.annealing
    changed = annealed(planted.model, found.annealing)
    data = feeds(np.random.default_rng(0), planted)
    # Without optimisation: the same graph with the same numbers is the same to the last bit.
    before, after = (oracles.run(m, data, optimised=False) for m in (masked(planted.model, found.annealing), changed))
    for a, b in zip(before, after, strict=True):
        np.testing.assert_array_equal(a, b)
    original = oracles.run(planted.model, data, optimised=False)
    assert any((a != b).any() for a, b in zip(original, after, strict=True))
    nothing_else_changed(planted.model, changed)
    if not fill:
        again = decided(changed, **options)
        assert not again.annealing
        assert [one.evidence.confirmed for one in again.found] == [one.evidence.confirmed for one in found.found]
    with pytest.raises(PlanError, match="not the one that annealing was decided for"):
        annealed(changed, found.annealing)


def halves(model, found):
    """Decisions that keep a few blocks, whatever the test said."""
    parts = []
    for linear in load_linears(model):
        K, N = linear.shape
        cut = Decomposition((K, N), (Block(range(0, K, 2), range(N // 2)), Block(range(1, K, 2), range(N // 2, N - 1))))
        parts.append(decision(linear, blocks=cut))
    return dataclasses.replace(found, found=tuple(dataclasses.replace(found.found[0], annealing=p) for p in parts))


def nothing_else_changed(before, after):
    """Interface, metadata, nodes and what they do: all as it was, but for the names of weights."""
    assert oracles.interface(before) == oracles.interface(after)
    assert before.opset_import == after.opset_import and before.ir_version == after.ir_version
    assert max(oracles.node_names(after).values(), default=1) == 1
    known = oracles.value_names(before)
    assert {name for name, count in oracles.value_names(after).items() if count > known.get(name, 1)} == set()
    read = {name for node in oracles.every_node(after) for name in node.input}
    read |= {v.name for g in oracles.every_graph(after) for v in getattr(g, "output", ()) if v}
    assert oracles.stored(after) <= read
    old, new = nodes_by_address(before), nodes_by_address(after)
    for name, node in new.items():
        if "#" in name:
            continue
        was = old[name]
        assert (node.op_type, list(node.output), node.domain) == (was.op_type, list(was.output), was.domain)
        assert sum(a != b for a, b in zip(node.input, was.input, strict=True)) <= 1
        if not any(attribute.HasField("g") for attribute in was.attribute):
            assert sorted(map(str, node.attribute)) == sorted(map(str, was.attribute))
    gone = set(old) - set(new)
    assert all(all(name not in read for name in old[one].output) for one in gone)
    assert [p.key for p in after.metadata_props] == [*[p.key for p in before.metadata_props], NOTE]


@pytest.mark.parametrize("kind", [kind for kind in ZOO if not any(word in kind for word in TAKE_NO_RESIDUAL)])
def test_residual_entries_are_kept_wherever_they_can_be_added(kind):
    planted = build(np.random.default_rng(7), kind, sizes=SIZES)
    chosen, whole = [], []
    for way in load_linears(planted.model):
        K, N = way.shape
        cut = Decomposition((K, N), (Block(range(0, K, 2), range(N // 2)), Block(range(1, K, 2), range(N // 2, N))))
        outside = np.argwhere((way.canonical != 0) & ~reference.truth_mask(cut))
        residual = tuple((int(k), int(n)) for k, n in outside[::7])
        mask = reference.truth_mask(cut)
        mask[tuple(np.array(residual).T)] = True
        chosen.append(decision(way, blocks=cut, residual=residual))
        whole.append(decision(way, mask=pack_mask(mask)))
    changed = annealed(planted.model, chosen)
    assert oracles.interface(changed) == oracles.interface(planted.model)
    assert max(oracles.node_names(changed).values(), default=1) == 1
    data = feeds(np.random.default_rng(0), planted)
    rtol = 1e-5 if kind == "bias-after-cast" else None  # a float32 product in a float64 result
    oracles.assert_close(oracles.run(masked(planted.model, whole), data), oracles.run(changed, data), rtol)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "dequantize" in kind])
def test_quantised_weights_are_refused_with_the_reason(kind):
    with pytest.raises(AnnealError, match="quantised"):
        decided(build(np.random.default_rng(0), kind).model, method="neyman", null=normal())


@pytest.mark.parametrize("kind", ["matmul-right-2", "gemm-transB", "conv-2d", "chain", "fp64"])
def test_annealing_with_fill_keeps_the_components_of_what_is_confirmed(kind):
    """Blocks planted in noise, found by a test that knows the noise, from the definition of components."""
    model, dtype = buried(kind)
    found = decided(model, method="neyman", null=normal(0.1), level=0.05)
    literal = decided(model, method="neyman", null=normal(0.1), level=0.05, fill=False)
    assert len(found.annealing) == len(literal.annealing) == len(load_linears(model))
    for one, other, way in zip(found.annealing, literal.annealing, load_linears(model), strict=True):
        W = way.canonical
        assert W.dtype == dtype
        confirmed = confirm(W, "neyman", null=normal(0.1)(None)).confirmed
        assert (other.kept() == confirmed).all()
        rows, columns, count = oracles.components(confirmed)
        same = np.equal.outer(rows, columns) & (np.array(rows)[:, None] >= 0)
        assert (one.kept() == same).all() and count >= 2
        assert one.removed == (W != 0).sum() - (W[same] != 0).sum()
        assert other.removed == (W != 0).sum() - (W[confirmed] != 0).sum()
        assert one.evidence.confirmed == other.evidence.confirmed == confirmed.mean()
    changed = annealed(model, found.annealing)
    again = decided(changed, method="neyman", null=normal(0.1), level=0.05)
    assert not again.annealing
    assert [f.evidence.confirmed for f in again.found] == [f.evidence.confirmed for f in found.found]
    assert all(part.reason.cause is Cause.NOTHING_TO_REMOVE for part in again.found)


def buried(kind):
    """A planted model with noise where its weights were zero."""
    planted = build(np.random.default_rng(3), kind, sizes=((10, 10), (10, 10)))
    model, rng = planted.model, np.random.default_rng(4)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim >= 2 and array.size >= 400:
            noise = np.clip(rng.normal(0, 0.1, array.shape), -0.3, 0.3)
            full = np.where(array == 0, noise, array + 2 * np.sign(array)).astype(array.dtype)
            tensor.CopyFrom(onnx.numpy_helper.from_array(full, tensor.name))
    return model, array.dtype if kind == "fp64" else np.float32


# One product, against numpy.


CUT = Decomposition((8, 6), (Block([0, 2, 4], [0, 1, 2]), Block([1, 3, 5, 6], [3, 4, 5])))
KEPT = reference.truth_mask(CUT)
RESIDUAL = ((0, 5), (7, 0), (7, 3), (3, 1))


PRODUCTS = [
    ("MatMul", (), {}),
    ("MatMul", ("m",), {}),
    ("MatMul", ("m", "n"), {}),
    ("Gemm", ("m",), {}),
    ("Gemm", ("m",), {"alpha": 0.25, "transB": 1}),
    ("Gemm", ("m",), {"alpha": -3.0, "beta": 0.5}),
    ("FusedMatMul", ("m", "n"), {"alpha": 0.5, "transB": 1}),
]


@pytest.mark.parametrize("residual", [(), RESIDUAL], ids=["no residual entries", "residual"])
@pytest.mark.parametrize("literal", [False, True], ids=["blocks", "mask"])
@pytest.mark.parametrize(("op", "lead", "attributes"), PRODUCTS)
def test_what_is_kept_and_the_residual_entries_are_multiplied_exactly(op, lead, attributes, literal, residual):
    model = product(op, lead, **attributes)
    one = decision(
        load_linears(model)[0],
        residual=residual,
        **({"mask": pack_mask(KEPT)} if literal else {"blocks": CUT}),
    )
    changed = annealed(model, [one])
    onnx.checker.check_model(changed, full_check=True)
    x = RNG.normal(size=[3 for _ in lead] + [8]).astype(np.float32)
    V = np.where(KEPT, W, 0).astype(np.float64)
    for k, n in residual:
        V[k, n] = W[k, n]
    p = attributes.get("alpha", 1.0) * (x.astype(np.float64) @ V) + attributes.get("beta", 0.0) * C
    found = dict(zip(("y", "p"), oracles.run(changed, {"x": x}), strict=True))
    scale = abs(p).max()
    np.testing.assert_allclose(found["p"], p, rtol=0, atol=3e-6 * scale)
    np.testing.assert_allclose(found["y"], p + C, rtol=0, atol=3e-6 * scale)
    assert oracles.interface(changed) == oracles.interface(model)
    assert oracles.node_names(changed)["linear"] == 1
    sizes = {tuple(tensor.dims) for tensor in changed.graph.initializer}
    assert ((3, 6) in sizes) == bool(residual)  # three inputs have residual entries: a thin product, not a dense one


def test_residual_entries_of_one_linear_feed_the_next():
    """What reads the result of a linear with residual entries, another one with residual entries among it, reads the
    sum."""
    A, B = RNG.normal(size=(8, 8)).astype(np.float32), RNG.normal(size=(8, 8)).astype(np.float32)
    nodes = [("MatMul", ["x", "A"], ["h"], {"name": "one"}), ("MatMul", ["h", "B"], ["y"], {"name": "two"})]
    model = oracles.graph(nodes, {"x": ["m", 8]}, {"y": ["m", 8]}, {"A": A, "B": B})
    cut = Decomposition((8, 8), (Block(range(4), range(4)), Block(range(4, 8), range(4, 8))))
    residual = ((0, 7), (5, 1))
    plan = [decision(one, blocks=cut, residual=residual) for one in load_linears(model)]
    inside = reference.truth_mask(cut)
    for k, n in residual:
        inside[k, n] = True
    x = RNG.normal(size=(5, 8)).astype(np.float32)
    expected = x @ np.where(inside, A, 0) @ np.where(inside, B, 0)
    for order in (plan, plan[::-1]):
        oracles.assert_close([expected], oracles.run(annealed(model, order), {"x": x}))
        graph = remove_edges(load(model).graph, order).graph
        nodes = set(graph)
        for value in (value for node in nodes for value in node.inputs):  # no node of the same name elsewhere
            assert value.producer() in nodes or value.is_initializer() or value.is_graph_input()


@pytest.mark.parametrize("same", [True, False])
def test_a_shared_weight_stays_one_where_both_readers_agree(same):
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": "one"}), ("MatMul", ["x", "W"], ["z"], {"name": "two"})]
    model = oracles.graph(nodes, {"x": ["m", 8]}, {"y": ["m", 6], "z": ["m", 6]}, {"W": W})
    one, two = load_linears(model)
    other = Decomposition((8, 6), (Block([7], [0]),))
    changed = annealed(model, [decision(one, blocks=CUT), decision(two, blocks=CUT if same else other)])
    assert len(oracles.stored(changed)) == (1 if same else 2)
    x = np.eye(8, dtype=np.float32)
    y, z = oracles.run(changed, {"x": x})
    assert (y == np.where(KEPT, W, 0)).all()
    assert (z == np.where(KEPT if same else reference.truth_mask(other), W, 0)).all()
    half = annealed(model, [decision(one, blocks=CUT)])
    assert "W" in oracles.stored(half) and (oracles.run(half, {"x": x})[1] == W).all()


def test_a_linear_inside_a_function_is_annealed_there():
    stored = onnx.helper.make_node("Constant", [], ["W"], value=onnx.numpy_helper.from_array(W))
    body = [stored, onnx.helper.make_node("MatMul", ["x", "W"], ["y"], "linear")]
    function = onnx.helper.make_function("local", "F", ["x"], ["y"], body, [onnx.helper.make_opsetid("", 17)])
    nodes = [("F", ["x"], ["y"], {"domain": "local"})]
    model = oracles.graph(nodes, {"x": ["m", 8]}, {"y": ["m", 6]}, {"unused": W[:1, :1]})
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    for residual in ((), RESIDUAL):
        inside = KEPT.copy()
        for k, n in residual:
            inside[k, n] = True
        changed = annealed(model, [decision(load_linears(model)[0], blocks=CUT, residual=residual)])
        onnx.checker.check_model(changed)
        assert len(changed.graph.initializer) == 1
        oracles.assert_close([np.where(inside, W, 0)], oracles.run(changed, {"x": np.eye(8, dtype=np.float32)}))


def test_refitted_weights_are_put_in_their_places():
    model = product("Gemm", ("m",), transB=1)
    one = decision(load_linears(model)[0], blocks=CUT, refitted=True, residual=RESIDUAL)
    fitted = RNG.normal(size=W.shape)
    V = np.where(KEPT, fitted, 0)
    for k, n in RESIDUAL:
        V[k, n] = W[k, n]
    x = RNG.normal(size=(4, 8)).astype(np.float32)
    changed = annealed(model, [one], {"linear": fitted})
    np.testing.assert_allclose(oracles.run(changed, {"x": x})[1], x @ V, rtol=0, atol=1e-5)
    assert json.loads({p.key: p.value for p in changed.metadata_props}[NOTE])["refitted"] is True


def test_the_model_says_what_was_done_to_it():
    model = product("MatMul", ("m",))
    one = decision(load_linears(model)[0], blocks=CUT, removed=24)
    notes = {p.key: p.value for p in annealed(model, [one], effect="argmax -0.1%").metadata_props}
    assert json.loads(notes[NOTE]) == {
        "annealed": True,
        "tests": ["neyman"],
        "levels": [0.05],
        "operators": 1,
        "removed": 27,
        "refitted": False,
        "effect": "argmax -0.1%",
    }
    silent = {p.key: p.value for p in annealed(model, [one]).metadata_props}
    assert json.loads(silent[NOTE])["effect"] == "not measured"


def test_the_original_is_not_touched_and_nothing_to_do_is_nothing_done():
    model = product("MatMul", ("m",))
    graph = load(model).graph
    before = ir.to_proto(graph).SerializeToString()
    remove_edges(graph, [decision(load_linears(model)[0], blocks=CUT)])
    assert ir.to_proto(graph).SerializeToString() == before
    assert NOTE not in remove_edges(graph, []).metadata_props


# What does not fit.


REFUSED = {
    "another weight": ({"sha256": "0" * 64}, "not the one that annealing was decided for"),
    "another shape": ({"shape": (6, 8), "blocks": None, "mask": pack_mask(KEPT.T)}, "not the one"),
    "a missing node": ({"node": "nope"}, "no such linear"),
    "refitted without weights": ({"refitted": True}, "fitted again on data"),
    "a residual entry inside": ({"residual": ((0, 0),)}, "would count twice"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_annealing_that_does_not_fit_is_refused(name):
    fields, message = REFUSED[name]
    model = product("MatMul", ("m",))
    one = decision(load_linears(model)[0], **{"blocks": CUT, **fields})
    with pytest.raises(PlanError, match=f"^{one.node}: .*{message}"):
        annealed(model, [one])
    with pytest.raises(PlanError, match=message):
        scission.apply(model, Plan(**EMPTY, annealing=(one,)))


def test_what_is_done_twice_or_damaged_or_refitted_to_another_shape_is_refused():
    model = product("MatMul", ("m",))
    (way,) = load_linears(model)
    one = decision(way, blocks=CUT)
    with pytest.raises(PlanError, match="twice"):
        annealed(model, [one, one])
    with pytest.raises(AnnealingError, match="linear: its mask"):
        annealed(model, [decision(way, mask=pack_mask(KEPT[:1]))])
    with pytest.raises(PlanError, match="refitted weight has shape"):
        annealed(model, [decision(way, blocks=CUT, refitted=True)], {"linear": W.T})


def test_residual_entries_where_they_cannot_be_added_are_refused():
    model = oracles.graph(
        [("MatMul", ["W", "x"], ["y"], {"name": "linear"})], {"x": [8, "m"]}, {"y": [6, "m"]}, {"W": W.T.copy()}
    )
    one = decision(load_linears(model)[0], blocks=CUT, residual=RESIDUAL)
    with pytest.raises(PlanError, match="not on the last axis"):
        annealed(model, [one])
    annealed(model, [dataclasses.replace(one, residual=())])
