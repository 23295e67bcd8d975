"""What a model states of its own shapes may be stale; what follows from its inputs is not."""

import random

import numpy as np
import onnx
import oracles
import pytest
from onnx import helper
from reference import graph, model, node, values

import scission
from scission.ir.graph.shapes import ROUNDS, infer_shapes, shape_of
from scission.ir.io.load import load
from scission.ir.io.tensors import graphs
from scission.ir.onnx_ir import onnx_ir as ir
from scission.models.matrix import weight

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
RNG = np.random.default_rng(0)
(W1, T1), (W2, T2) = (weight(RNG, sizes) for sizes in (((4, 6), (4, 6)), ((6, 3), (6, 3))))
NODES = [node("MatMul", "x w1", "a", "m1"), node("Relu", "a", "b", "r"), node("MatMul", "b w2", "y", "m2")]


def stale(shape, stated):
    proto = model(NODES, {"x": shape}, ["y"], {"w1": W1, "w2": W2})
    proto.graph.value_info.extend(values([("a", [*stated, 12]), ("b", [*stated, 12])]))
    return proto


def test_inferred_shapes_stand_beside_the_stated_ones():
    loaded = load(stale(["n", 5, 8], [1, 5])).graph
    infer_shapes(loaded)
    relu = loaded.graph[1].outputs[0]
    assert list(relu.shape) == [1, 5, 12]
    assert [str(extent) for extent in shape_of(relu)] == ["n", "5", "12"]
    assert shape_of(ir.Value(name="fresh", shape=ir.Shape([2]))) == ir.Shape([2])


@pytest.mark.parametrize(
    ("shape", "stated", "given"),
    [
        (["n", 5, 8], [1, 5], (3, 5, 8)),  # a batch made dynamic by hand
        (["n", "t", 8], [4, 8], (2, 16, 8)),  # as many rows, in another shape
        (["n", "t", 8], ["q"], (2, 3, 8)),  # another rank
    ],
)
def test_a_model_that_runs_in_spite_of_stale_shapes_runs_split(shape, stated, given):
    proto = stale(shape, stated)
    plan = scission.plan(proto, provider="cpu", force=True)
    truth = {"m1": T1.blocks, "m2": T2.blocks}
    split = scission.apply(proto, oracles.edited(plan, "scatter", lambda step: truth[step.node]))
    x = {"x": RNG.standard_normal(given).astype(np.float32)}
    oracles.assert_close(oracles.run(proto, x), oracles.run(split, x))
    assert plan.rewrites


def test_a_contradicted_shape_is_not_stated_again():
    proto = stale(["n", 5, 8], [1, 5])
    split = scission.apply(proto, scission.plan(proto, provider="cpu", force=True))
    stated = {info.name: info.type.tensor_type.shape.dim for info in split.graph.value_info}
    assert [dim.dim_param or dim.dim_value for dim in stated["b"]] == ["n", 5, 12]


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("given", [(3, 0, 8), (0, 3, 8)])
def test_empty_extents_survive(opset, given):
    proto = model(NODES[:1], {"x": ["n", "t", 8]}, ["a"], {"w1": W1}, opset=opset)
    plan = scission.plan(proto, provider="cpu", force=True)
    split = scission.apply(proto, oracles.edited(plan, "scatter", lambda _: T1.blocks))
    (before,), (after,) = (oracles.run(m, {"x": np.zeros(given, np.float32)}) for m in (proto, split))
    assert before.shape == after.shape


def test_an_output_that_feeds_a_turned_weight_besides():
    """ONNX Runtime 1.31 merges a Transpose into the Gemm behind it, and would lose an output of the graph."""
    head = RNG.standard_normal((4, 12)).astype(np.float32)
    nodes = [
        node("MatMul", "x w1", "a", "m1"),
        node("Transpose", "h", "t", "turn", perm=[1, 0]),
        node("Gemm", "a t", "y", "head"),
    ]
    proto = model(nodes, {"x": ["n", 8]}, ["a", "y"], {"w1": W1, "h": head})
    plan = scission.plan(proto, provider="cpu", force=True)
    split = scission.apply(proto, oracles.edited(plan, blocks=lambda s: T1.blocks if s.node == "m1" else ()))
    x = {"x": RNG.standard_normal((3, 8)).astype(np.float32)}
    oracles.assert_close(oracles.run(proto, x), oracles.run(split, x))


def test_float16_in_front_of_a_turned_product_is_left_alone():
    half = [W1.astype(np.float16), RNG.standard_normal((12, 4)).astype(np.float16)]
    nodes = [
        node("Einsum", "x w1", "v", "e", equation="abk,kn->nab"),
        node("Transpose", "v", "t", perm=[1, 2, 0]),
        node("MatMul", "t h", "y"),
    ]
    proto = model(nodes, {"x": (["a", "b", 8], np.float16)}, {"y": (["a", "b", 4], np.float16)},
                  dict(zip(("w1", "h"), half, strict=True)))  # fmt: skip
    (step, *_) = scission.plan(proto, provider="cpu", force=True).steps
    assert step.lowering == "dense"
    assert "float16" in str(step.reason)


def test_duplicate_initializers_are_refused():
    proto = model(NODES[:1], {"x": ["n", 8]}, ["a"], {"w1": W1})
    proto.graph.initializer.append(onnx.numpy_helper.from_array(2 * W1, "w1"))
    with pytest.raises(scission.ModelError, match="'w1' is there twice"):
        load(proto)


def test_shapes_are_inferred_without_a_copy_of_the_model_and_of_its_bodies_too(monkeypatch):
    branch = lambda op: graph([node(op, "a", "b"), node("Relu", "b", "out")], (), ["out"])  # noqa: E731
    nodes = [
        node("MatMul", "x w1", "a"),
        node("SequenceConstruct", "a", "list"),
        node("If", "c", "r", then_branch=branch("Neg"), else_branch=branch("Abs")),
        node("MatMul", "r w2", "y"),
    ]
    proto = model(nodes, {"x": ["n", 8], "c": ([], np.bool_)}, ["y", "r"], {"w1": np.tile(W1, (1, 30)), "w2": W2})
    proto.graph.value_info.extend(values([("a", [1, 360])]))
    proto.graph.node[2].attribute[0].g.value_info.extend(values([("b", [7, 7])]))
    loaded = load(proto).graph
    monkeypatch.setattr(ir.Model, "clone", lambda *_: pytest.fail("it was copied"))
    infer_shapes(loaded)
    told = {value.name: value for one in graphs(loaded) for each in one for value in each.outputs}
    assert {name: str(shape_of(value)) for name, value in told.items() if name in "abr"} == dict.fromkeys(
        "abr", "[n,360]"
    )
    assert str(shape_of(told["list"])) == "[n,360]"
    assert shape_of(told["a"]) is shape_of(told["r"])
    assert loaded.graph.initializers["w1"].const_value.size == 8 * 360


# Pools that count their windows upwards: ONNX counts a window that begins outside, which is not there when they run.


def pools(seed):
    """One to three pools one after another, whose every result is an output, and the size of its input."""
    rng = random.Random(seed)
    axes, op, nodes, last = rng.choice([1, 1, 2]), rng.choice(["MaxPool", "AveragePool", "LpPool"]), [], "x"
    for place in range(rng.choice([1, 2, 3])):
        windows = [rng.randint(1, 3) for _ in range(axes)]
        told = {"kernel_shape": windows, "strides": [rng.randint(1, 4) for _ in range(axes)], "ceil_mode": 1}
        if rng.random() < 0.6:
            told["pads"] = [rng.randint(0, one - 1) for one in windows * 2]
        elif rng.random() < 0.2:
            told["auto_pad"] = rng.choice(["SAME_UPPER", "SAME_LOWER", "VALID"])
        if rng.random() < 0.3:
            told["dilations"] = [rng.randint(1, 2) for _ in range(axes)]
        nodes.append(node(op, last, f"v{place}", f"p{place}", **told))
        last = f"v{place}"
    size = [rng.randint(1, 11) for _ in range(axes)]
    return model(nodes, {"x": ["b", 2, *size]}, [one.output[0] for one in nodes], opset=22), size


def test_what_is_inferred_of_pools_is_what_they_make():
    wrong, known = 0, 0
    for seed in range(120):
        proto, size = pools(seed)
        found = oracles.runs(proto, {"x": np.ones((2, 2, *size), np.float32)})
        if found is None:  # ONNX Runtime refuses some of these
            continue
        loaded = load(proto).graph
        infer_shapes(loaded)
        plain = onnx.shape_inference.infer_shapes(proto)
        for value, made, told in zip(loaded.graph.outputs, found, plain.graph.output, strict=True):
            extents = list(shape_of(value))[2:]
            assert all(one == own for one, own in zip(extents, made.shape[2:], strict=True) if isinstance(one, int))
            known += all(isinstance(one, int) for one in extents)
            wrong += any(
                0 < one.dim_value != own for one, own in zip(told.type.tensor_type.shape.dim, made.shape, strict=True)
            )
    assert known > 100 and wrong > 3  # ONNX alone would have been wrong


def test_of_too_many_wrong_pools_and_of_those_in_functions_nothing_is_inferred():
    wrong = {"kernel_shape": [1], "strides": [3], "ceil_mode": 1}  # of 5 it makes 2, and ONNX infers 3
    nodes = [node("MaxPool", "x", f"v{place}", **wrong) for place in range(ROUNDS + 4)]
    call = node("Pool", "x", "called", domain="own")
    function = helper.make_function("own", "Pool", ["u"], ["v"], [node("MaxPool", "u", "v", **wrong)], OPSETS[:1])
    outputs = [*(one.output[0] for one in nodes), "called"]
    proto = model([*nodes, call], {"x": ["b", 2, 5]}, outputs)
    proto.opset_import.extend(OPSETS[1:])
    proto.functions.append(function)
    loaded = load(proto).graph
    infer_shapes(loaded)
    shapes = [shape_of(value) for value in loaded.graph.outputs]
    made = oracles.run(proto, {"x": np.ones((1, 2, 5), np.float32)})[0].shape[2]
    assert made == 2 and [shape[2] for shape in shapes[: ROUNDS + 1]] == [made] * (ROUNDS + 1)
    assert all(shape is None or not isinstance(shape[2], int) for shape in shapes[ROUNDS + 1 :])


@pytest.mark.parametrize("stated", [False, True])
def test_a_product_behind_a_pool_that_onnx_infers_wrongly_is_written_for_what_runs(stated):
    W, _ = weight(RNG, ((4, 4), (4, 4)))
    nodes = [
        node("MaxPool", "x", "p", kernel_shape=[1, 1], strides=[3, 3], ceil_mode=1),
        node("Transpose", "p", "t", perm=[0, 2, 3, 1]),
        node("MatMul", "t w", "y"),
        node("Transpose", "y", "z", perm=[0, 3, 1, 2]),
        node("Relu", "z", "o"),
    ]
    proto = model(nodes, {"x": ["n", 8, 11, 6]}, ["o"], {"w": W})
    if stated:
        shapes = [("p", ["n", 8, 4, 2]), ("t", ["n", 4, 2, 8]), ("y", ["n", 4, 2, 8]), ("z", ["n", 8, 4, 2])]
        proto.graph.value_info.extend(values(shapes))
    changed = scission.apply(proto, scission.plan(proto, force=True, provider="cpu"))
    assert len(changed.graph.node) > 5
    x = RNG.standard_normal((2, 8, 11, 6)).astype(np.float32)
    for optimised in (False, True):
        before, after = (oracles.run(one, {"x": x}, optimised)[0] for one in (proto, changed))
        np.testing.assert_allclose(after, before, rtol=1e-5, atol=1e-5)
