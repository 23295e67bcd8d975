import dataclasses
import json
import math

import numpy as np
import onnx
import oracles
import pytest
import reference
import torch
from digraphs import on_cuda
from obstacle_examples import TAKE_NO_RESIDUAL
from scipy.stats import chi2

import scission
from scission import Plan, PlanError
from scission.ir.evidence.evidence import Evidence
from scission.ir.evidence.null import Null
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.annealing import Annealing, AnnealingError, pack_mask
from scission.ir.plan.decomposition import Block, Decomposition
from scission.ir.reason import Cause
from scission.models.planted.products import KINDS, build, feeds
from scission.passes.anneal.edges.anneal import AnnealError, confirm
from scission.passes.anneal.model import anneal_model
from scission.passes.anneal.settings import METHODS, Anneal
from scission.passes.decompose.fingerprint import fingerprint
from scission.passes.rewrite.remove_edges import remove_edges

NOTE = "scission.annealing"
SIZES = ((8, 8), (8, 8))
EVIDENCE = Evidence(test="neyman", level=0.05, correction="none", confirmed=0.5)


def normal(scale=1.0):
    return lambda linear: Null(family="normal", scale=scale, source="test")


def uniform(scale):
    return lambda linear: Null(family="uniform", scale=scale, source="test")


def annealed(model, annealing, refitted=None, **options):
    """The annealed model as a ModelProto."""
    return ir.to_proto(remove_edges(load(model).graph, annealing, refitted, **options))


def decided(model, **options):
    return anneal_model(load(model), Anneal(**options))


# The whole zoo, against the same model with zeros in its weights.


def nodes_by_address(model):
    """Every node by the last part of its address: its name, or operator and position."""
    found = {}
    for graph in oracles.every_graph(model):
        for index, node in enumerate(graph.node):
            found[node.name or f"{node.op_type}#{index}"] = node
    return found


def all_constants(model):
    """Every constant of the main graph, and the initializers of all others."""
    known = reference.constants(model)
    for graph in oracles.every_graph(model):
        known.update({t.name: onnx.numpy_helper.to_array(t) for t in getattr(graph, "initializer", ())})
    return known


def masked(model, annealing):
    """The model with zeros in the stored weights, orientation and all from the definition of each operator."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    known = all_constants(model)
    for number, one in enumerate(annealing):
        node = nodes_by_address(copy)[one.node.rsplit("/", 1)[-1]]
        side = next(index for index, name in enumerate(node.input) if name in known)
        mine = np.array(known[node.input[side]], order="C")
        canonical = reference.canonical(node, {**known, node.input[side]: mine})
        assert np.shares_memory(canonical, mine)
        canonical[~one.kept()] = 0
        node.input[side] = f"masked {number}"
        copy.graph.initializer.append(onnx.numpy_helper.from_array(mine, f"masked {number}"))
    return copy


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


def load_linears(model):
    seen = view(load(model).graph).found
    return [Stored(way, way.stored(seen.constants), way.canonical(seen.constants)) for way in seen.linears]


@dataclasses.dataclass
class Stored:
    linear: object
    weight: np.ndarray
    canonical: np.ndarray

    @property
    def shape(self):
        return self.linear.shape


def decision(one, **fields):
    default = {
        "node": one.linear.address,
        "weight": one.linear.weight.name,
        "shape": one.shape,
        "sha256": fingerprint(one.weight),
        "evidence": EVIDENCE,
        "removed": 1,
    }
    return Annealing(**{**default, **fields})


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


RNG = np.random.default_rng(5)
W = RNG.normal(size=(8, 6)).astype(np.float32)
CUT = Decomposition((8, 6), (Block([0, 2, 4], [0, 1, 2]), Block([1, 3, 5, 6], [3, 4, 5])))
KEPT = reference.truth_mask(CUT)
RESIDUAL = ((0, 5), (7, 0), (7, 3), (3, 1))
C = RNG.normal(size=6).astype(np.float32)


def product(op, lead, **attributes):
    """y = alpha x W + beta C, W stored as the attributes say."""
    stored = np.ascontiguousarray(W.T) if attributes.get("transB") else W
    inputs, constants = ["x", "W"], {"W": stored}
    if op == "Gemm" and "beta" in attributes:
        inputs.append("C")
        constants["C"] = C
    domain = {"domain": "com.microsoft"} if op == "FusedMatMul" else {}
    nodes = [
        (op, inputs, ["p"], {"name": "linear", **attributes, **domain}),
        ("Add", ["p", "b"], ["y"], {"name": "bias"}),
    ]
    constants["b"] = C
    return oracles.graph(nodes, {"x": [*lead, 8]}, {"y": [*lead, 6], "p": [*lead, 6]}, constants)


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


EMPTY = {"model": "m", "provider": "cpu", "batch": (1,), "parameters": 1, "steps": (), "skipped": ()}


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


# From the decision to the split model.


@pytest.mark.parametrize("kind", ["matmul-right-3", "gemm-transB", "chain", "shared", "if", "unnamed"])
@pytest.mark.parametrize("residual", [False, True], ids=["no residual entries", "residual"])
def test_a_plan_with_annealing_is_carried_out_after_it_was_written_and_read(kind, residual):
    planted = build(np.random.default_rng(1), kind, sizes=((8, 8), (8, 8)))
    plan_annealing, masks = [], []
    for way in load_linears(planted.model):
        K, N = way.shape
        parts = (Block(range(K // 2), range(N // 2)), Block(range(K // 2, K), range(N // 2, N)))
        few = ((0, N - 1), (K - 1, 0)) if residual else ()
        plan_annealing.append(decision(way, blocks=Decomposition((K, N), parts), residual=few))
        mask = plan_annealing[-1].kept()
        for k, n in few:
            mask[k, n] = True
        masks.append(decision(way, mask=pack_mask(mask)))
    left = annealed(planted.model, plan_annealing)
    plan = scission.plan(left, provider="cpu", threads=1, force=True)
    assert plan.rewrites
    whole = dataclasses.replace(plan, annealing=tuple(plan_annealing), effect="as planted")
    read = Plan.loads(whole.dumps())
    assert read == whole
    changed = scission.apply(planted.model, read)
    data = feeds(np.random.default_rng(0), planted)
    expected = oracles.run(masked(planted.model, masks), data)
    oracles.assert_close(expected, oracles.run(changed, data))
    assert json.loads({p.key: p.value for p in changed.metadata_props}[NOTE])["effect"] == "as planted"
    only = Plan(**EMPTY, annealing=tuple(plan_annealing))
    oracles.assert_close(expected, oracles.run(scission.apply(planted.model, only), data))


def deep(rng, d=24, channels=4, blocks=2, signal=8.0, sigma=0.05, gate=False):
    """d -> 4d -> d, whose hidden unit c d + n belongs to state n, with blocks of states buried in noise."""
    labels = rng.permutation(np.arange(d) % blocks)
    edges = labels[:, None] == labels[None, :]

    def weight(shape, inside):
        return (rng.normal(0, sigma, shape) * np.where(inside, signal, 1)).astype(np.float32)

    U = weight((d, channels * d), np.tile(edges, (1, channels)))
    V = weight((channels * d, d), np.tile(edges, (channels, 1)))
    constants = {"U": U, "V": V}
    nodes = [("MatMul", ["x", "U"], ["a"], {"name": "up"}), ("Relu", ["a"], ["b"], {"name": "act"})]
    hidden = "b"
    if gate:
        constants["G"] = weight((d, channels * d), np.tile(edges, (1, channels)))
        nodes += [("MatMul", ["x", "G"], ["g"], {"name": "gate"}), ("Mul", ["b", "g"], ["c"], {"name": "times"})]
        hidden = "c"
    nodes.append(("MatMul", [hidden, "V"], ["y"], {"name": "down"}))
    return oracles.graph(nodes, {"x": ["m", d]}, {"y": ["m", d]}, constants), edges


@pytest.mark.parametrize("gate", [False, True], ids=["plain", "gated"])
@pytest.mark.parametrize("fill", [True, False], ids=["fill", "literal"])
def test_a_feed_forward_network_is_decided_by_its_sequences(fill, gate):
    model, edges = deep(np.random.default_rng(0), gate=gate)
    found = decided(model, method="norm", null=normal(0.05), level=0.01, fill=fill)
    masks = {one.node: one.kept() for one in found.annealing}
    assert set(masks) == {"up", "down"} | ({"gate"} if gate else set())
    constants = reference.constants(model)
    d = 24
    Q = np.zeros((d, d))
    for c in range(4):
        part = slice(c * d, (c + 1) * d)
        for one in ("U", "G") if gate else ("U",):
            Q += (constants[one][:, part].astype(float) / 0.05) ** 2
        Q += (constants["V"][part].astype(float) / 0.05) ** 2
    expected = chi2.sf(Q, 12 if gate else 8) < 0.01 / d**2
    if fill:
        assert (expected <= edges).all()
        expected = edges
    assert (masks["up"] == np.tile(expected, (1, 4))).all() and (masks["down"] == np.tile(expected, (4, 1))).all()
    assert not gate or (masks["gate"] == masks["up"]).all()
    changed = annealed(model, found.annealing)
    x = np.random.default_rng(1).normal(size=(5, d)).astype(np.float32)
    oracles.assert_close(oracles.run(masked(model, found.annealing), {"x": x}), oracles.run(changed, {"x": x}))
    if fill:
        plan = scission.plan(changed, provider="cpu", threads=1, force=True)
        assert {step.components for step in plan.steps} == {2}


def test_the_paper_takes_sequences_where_there_are_some_and_edges_elsewhere():
    model, _ = deep(np.random.default_rng(0))
    found = decided(model, method="paper", null=normal(0.05)).found
    assert {one.evidence.test for one in found} == {"sequences"} and len(found) == 2
    single = decided(product("MatMul", ("m",)), method="paper", null=normal(0.05))
    assert single.found[0].evidence.test == "edges"
    none = decided(product("MatMul", ("m",)), method="norm", null=normal(0.05))
    assert "no feed-forward network" in none.found[0].reason.text and none.found[0].annealing is None


def test_auto_takes_the_test_that_suits_what_is_known():
    model, _ = deep(np.random.default_rng(0), d=48)
    constants = reference.constants(model)
    then = {"up": constants["U"].copy()}
    then["up"][:, 0] += 1
    mixed = decided(model, method="auto", initial=then, null=uniform(0.2))
    assert [one.evidence.test for one in mixed.found] == ["update", "support"]
    up = mixed.found[0].annealing.kept()
    assert up[:, 0].all() and not up[:, 1:].any()
    assert [one.evidence.test for one in decided(model, method="auto").found] == ["blocks", "blocks"]


def test_update_with_a_tolerance_of_the_types():
    model = product("MatMul", ("m",))
    then = {"linear": W + np.float32(0.01) * (np.arange(48).reshape(8, 6) == 7)}
    found = decided(model, method="update", initial=then, fill=False)
    assert np.flatnonzero(found.annealing[0].kept()).tolist() == [7]
    seen = []

    def tolerance(before, after):
        seen.append((before, after))
        return 0.0, 0.1

    assert not decided(model, method="update", initial=then, tolerance=tolerance).annealing
    assert seen == [(np.float32, np.float32)]
    other = decided(model, method="update", initial={"elsewhere": W})
    assert other.found[0].reason.text == "the initial checkpoint has no weight for it"


def test_one_weight_that_cannot_be_tested_does_not_stop_the_others():
    nodes = [("MatMul", ["x", "A"], ["h"], {"name": "dead"}), ("MatMul", ["h", "B"], ["y"], {"name": "alive"})]
    constants = {"A": np.zeros((8, 8), np.float32), "B": W}
    model = oracles.graph(nodes, {"x": ["m", 8]}, {"y": ["m", 6]}, constants)
    found = decided(model, method="neyman", level=0.5, correction="none", fill=False)
    assert [one.node for one in found.annealing] == ["alive"]
    (skip,) = found.skipped
    assert skip.node == "dead" and "no null can be estimated" in skip.reason.text
    shapes = decided(model, method="update", initial={"dead": W, "alive": W + 1})
    assert "the initial weight has shape" in shapes.skipped[0].reason.text
    with pytest.raises(AnnealError, match="bounded initialisation"):
        decided(model, method="support", null=normal())


def test_nothing_confirmed_is_no_annealing_and_neither_is_everything():
    model = product("MatMul", ("m",))
    nothing = decided(model, method="neyman", null=normal(100.0), accept_null=True).found[0]
    assert nothing.annealing is None and "confirms no weight at all" in nothing.reason.text
    assert nothing.reason.cause is Cause.NOTHING_CONFIRMED
    everything = decided(model, method="neyman", null=normal(1e-6)).found[0]
    assert everything.annealing is None and "all weights lie inside one component" in everything.reason.text
    assert everything.kept == nothing.kept == 1.0


def test_blocks_keep_their_residual_entries_or_drop_them():
    rng = np.random.default_rng(0)
    truth = np.kron(np.eye(2), np.ones((64, 64))) > 0
    weight = (rng.normal(0, 0.05, (128, 128)) * np.where(truth, 4, 1)).astype(np.float32)
    weight[3, 100] = weight[90, 5] = 1.0
    model = oracles.graph(
        [("MatMul", ["x", "W"], ["y"], {"name": "linear"})], {"x": ["m", 128]}, {"y": ["m", 128]}, {"W": weight}
    )
    (kept,) = decided(model, method="blocks", null=normal(0.05)).annealing
    (dropped,) = decided(model, method="blocks", null=normal(0.05), drop_residual=True).annealing
    assert (kept.kept() == truth).all() and (dropped.kept() == truth).all()
    assert sorted(kept.residual) == [(3, 100), (90, 5)] and dropped.residual == ()
    assert dropped.removed == (~truth).sum() == kept.removed + 2
    x = np.eye(128, dtype=np.float32)
    expected = np.where(truth, weight, 0)
    oracles.assert_close([expected], oracles.run(annealed(model, [dropped]), {"x": x}))
    expected[3, 100] = expected[90, 5] = 1
    oracles.assert_close([expected], oracles.run(annealed(model, [kept]), {"x": x}))
    again = decided(annealed(model, [dropped]), method="blocks", null=normal(0.05))
    assert not again.annealing


TESTS = [("neyman", normal(0.6)), ("edges", normal(0.6)), ("walk", None), ("support", uniform(1.2)), ("update", None)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("method", "null"), TESTS)
def test_torch_decides_the_same(method, null, dtype):
    same_decisions(torch.device("cpu"), method, null, dtype)


@on_cuda
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("method", "null"), TESTS)
def test_cuda_decides_the_same(method, null, dtype):
    same_decisions(torch.device("cuda"), method, null, dtype)


def same_decisions(device, method, null, dtype):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(40, 30)).astype(dtype)
    weight[:, 0] = np.asarray(1.2 * (1 + 2.0**-11), dtype)  # what a half type may have rounded up
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": "linear"})]
    model = oracles.graph(nodes, {"x": ["m", 40]}, {"y": ["m", 30]}, {"W": weight})
    then = np.where(rng.random(weight.shape) < 0.2, 0, weight.astype(np.float64))
    options = {"method": method, "null": null, "initial": {"linear": then}, "fill": False, "correction": "none"}
    here, there = (decided(model, device=where, **options) for where in (None, device))
    assert here.annealing and here.annealing[0].removed
    assert (here.annealing[0].kept() == there.annealing[0].kept()).all()
    assert here.annealing[0].removed == there.annealing[0].removed


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(AnnealError, match="unknown method 'magic'"):
        Anneal(method="magic")
    for level in (0, 1, -1, float("nan")):
        with pytest.raises(AnnealError, match="between 0 and 1"):
            Anneal(level=level)
    assert {"auto", "blocks", "paper"} <= set(METHODS)


def test_progress_is_told_for_every_linear():
    model, _ = deep(np.random.default_rng(0))
    told = []
    anneal_model(load(model), Anneal(method="neyman", null=normal(0.05)), lambda *where: told.append(where))
    assert told == [(0, 2, "up"), (1, 2, "down")]


# A null that does not fit.


def plain(weight):
    """A model of one product with a weight."""
    K, N = weight.shape
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": "linear"})]
    return oracles.graph(nodes, {"x": ["m", K]}, {"y": ["m", N]}, {"W": np.ascontiguousarray(weight)})


def laplace(shape=(64, 64), seed=0):
    """A model of one product of Laplace noise of variance 1, and its weight."""
    weight = np.random.default_rng(seed).laplace(size=shape).astype(np.float32) / np.float32(math.sqrt(2))
    return plain(weight), weight


@pytest.mark.parametrize("method", ["neyman", "walk", "edges", "paper"])
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("fill", [True, False])
def test_noise_of_another_law_is_not_annealed_unless_the_null_is_accepted(method, stated, fill):
    model, _ = laplace()
    options = {"method": method, "null": normal() if stated else None, "fill": fill}
    (found,) = decided(model, **options).found
    assert (found.annealing, found.reason.cause, found.kept) == (None, Cause.MISFIT, 1.0)
    assert found.evidence.misfit == "law" and "accept the null" in found.reason.text
    (taken,) = decided(model, **options, accept_null=True).found
    if taken.annealing is not None:
        assert any("was accepted all the same" in note for note in taken.annealing.evidence.notes)
    else:
        assert taken.reason.cause in (Cause.NOTHING_CONFIRMED, Cause.NOTHING_TO_REMOVE)
    assert taken.evidence.misfit == "law"


def test_with_the_null_accepted_noise_falls_to_pieces():
    (found,) = decided(laplace()[0], method="neyman", null=normal(), accept_null=True).found
    assert found.components.count > 1 and found.kept < 0.5


@pytest.mark.parametrize("axis", ["inputs", "outputs"])
def test_the_axis_of_equal_influence_is_that_of_the_transposed_weight(axis):
    rng = np.random.default_rng(1)
    weight = (rng.standard_normal((40, 50)) * rng.uniform(0.5, 2, (40, 1))).astype(np.float32)
    models = [plain(one) for one in (weight, weight.T)]
    other = {"inputs": "outputs", "outputs": "inputs"}[axis]
    one, two = (
        decided(model, method="walk", axis=way, fill=False, accept_null=True).found[0]
        for model, way in zip(models, (axis, other), strict=True)
    )
    assert one.evidence.classes == two.evidence.classes
    assert np.array_equal(one.annealing.kept(), two.annealing.kept().T)
    with pytest.raises(AnnealError, match="unknown axis"):
        Anneal(axis="rows")
