"""What a model states of its own shapes may be stale; what follows from its inputs is not."""

import numpy as np
import onnx
import oracles
import pytest
from reference import graph, model, node, values

import scission
from scission.ir.graph.shapes import infer_shapes, shape_of
from scission.ir.io.load import load
from scission.ir.io.tensors import graphs
from scission.ir.onnx_ir import onnx_ir as ir
from scission.models.matrix import weight

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
