import math

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper as h

import scission
from scission.ir.graph.activations import Activations
from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.plan.plan import Plan
from scission.models.planted.products import KINDS, build

K, B = 16, 4
TYPES = {"float": np.float32, "double": np.float64, "bool": np.bool_}


def weight(shape=(K, K), seed=0):
    rng = np.random.default_rng(seed)
    blocks = np.kron(np.eye(B), np.ones((K // B, K // B))) * rng.standard_normal((K, K))
    return blocks[rng.permutation(K)][:, rng.permutation(K)].astype(np.float32).reshape(shape)


def observed(model, sizes):
    """The shape of every value between the nodes of a model that runs on inputs of these sizes."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model)
    names = [name for node in proto.graph.node for name in node.output if name]
    outputs = {value.name for value in proto.graph.output}
    proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in outputs)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feed = {}
    for value in session.get_inputs():
        shape = [dim if isinstance(dim, int) else sizes[dim or ""] for dim in value.shape]
        feed[value.name] = np.ones(shape, TYPES.get(value.type[7:-1], value.type[7:-1]))
    found = session.run(None, feed)
    return {value.name: one.shape for value, one in zip(session.get_outputs(), found, strict=True)} | {
        name: one.shape for name, one in feed.items()
    }


def rows_of(linear, shape):
    """The product of the extents of an activation that are no features."""
    return math.prod(shape) // shape[linear.layout.axis_out]


def agree(model, batch, sizes=None):
    loaded = load(model)
    chosen = settings_at(input_dims(loaded.graph), batch, sizes)
    seen = view(loaded.graph, [])
    found = Activations(seen.model, lambda: chosen)
    for place, setting in enumerate(chosen):
        shapes = observed(model, setting.sizes)
        for linear in seen.found.linears:
            if linear.output.name in shapes:
                extents = found.of(linear)[place]
                assert math.prod(extents) == rows_of(linear, shapes[linear.output.name])
        for way in seen.found.recurrents:
            if way.activation.name in shapes:
                assert found.of_sequences(way)[place] == shapes[way.activation.name][:2]
    return found, seen


def chain(*nodes, dims, weights):
    """A model of nodes (operator, what it reads besides the one before it, attributes) from an input of these dims."""
    made, last = [], "x"
    for place, (op, extra, attributes) in enumerate(nodes):
        made.append(h.make_node(op, [last, *extra], [f"v{place}"], f"n{place}", **attributes))
        last = f"v{place}"
    values = [h.make_tensor_value_info("x", onnx.TensorProto.FLOAT, dims), h.make_empty_tensor_value_info(last)]
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = h.make_graph(made, "g", values[:1], [onnx.ValueInfoProto(name=last)], tensors)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    model.graph.output[0].CopyFrom(h.make_tensor_value_info(last, onnx.TensorProto.FLOAT, None))
    return model


def conv(dims, spatial, strides):
    window = {"strides": strides, "kernel_shape": [1] * spatial}
    return chain(("Conv", ["w"], window), ("Relu", [], {}), dims=dims, weights={"w": weight((K, K, *[1] * spatial))})


def pooled(dims, spatial, strides):
    pool = ("MaxPool", [], {"kernel_shape": [2] * spatial, "strides": strides})
    return chain(pool, ("Conv", ["w"], {}), dims=dims, weights={"w": weight((K, K, *[1] * spatial))})


@settings(max_examples=30)
@given(st.data())
def test_rows_of_a_convolution_are_those_that_run(data):
    spatial = data.draw(st.integers(1, 3))
    open_ = [data.draw(st.integers(4, 9)) if data.draw(st.booleans()) else f"d{axis}" for axis in range(spatial)]
    strides = [data.draw(st.integers(1, 2)) for _ in range(spatial)]
    make = data.draw(st.sampled_from([conv, pooled]))
    batch = data.draw(st.integers(1, 5))
    agree(make(["N", K, *open_], spatial, strides), [batch])


@settings(max_examples=30)
@given(st.data())
def test_rows_of_a_product_behind_whatever_moves_axes_are_those_that_run(data):
    dims = [data.draw(st.integers(2, 6)) if data.draw(st.booleans()) else name for name in ("N", "time")] + [K]
    weights = {"w": weight(), "flat": np.array([-1, K]), "apart": np.array([0, -1, B, K // B])}
    moved = data.draw(st.sampled_from(["none", "flat", "transpose", "einsum", "heads", "reduced"]))
    product = ("MatMul", ["w"], {})
    if moved == "flat":
        nodes = [("Reshape", ["flat"], {}), product, ("Relu", [], {}), ("Gemm", ["w"], {"transB": 1})]
    elif moved == "transpose":
        nodes = [("Transpose", [], {"perm": [1, 0, 2]}), product]
    elif moved == "einsum":
        equation = data.draw(st.sampled_from(["abk,kn->abn", "abk,kn->anb", "abk,kn->nab"]))
        nodes = [("Einsum", ["w"], {"equation": equation})]
    elif moved == "heads":
        turn = ("Transpose", [], {"perm": [0, 2, 1, 3]})
        weights["back"] = np.array([0, 0, K])
        nodes = [("Reshape", ["apart"], {}), turn, turn, ("Reshape", ["back"], {}), product]
    elif moved == "reduced":
        nodes = [("ReduceMean", [], {"axes": [1], "keepdims": 0}), product]
    else:
        nodes = [product]
    agree(chain(*nodes, dims=dims, weights=weights), [data.draw(st.integers(1, 5))])


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"matmul-right-unknown"}))  # which may be fed any rank
def test_rows_of_every_planted_kind_are_those_that_run(kind):
    model = build(np.random.default_rng(0), kind).model
    agree(model, [3])


@pytest.mark.parametrize("dims", [["N", K, 56, 56], [None, K, 56, 56]])
def test_known_extents_count_and_the_plan_keeps_them(dims):
    plan = scission.plan(conv(dims, 2, [1, 1]), batch=[4], threads=1)
    assert plan.batch == (4,) and plan.steps[0].extents == ((4, 56, 56),) and plan.steps[0].rows == (12544,)
    assert Plan.loads(plan.dumps()) == plan
    told = scission.explain(conv(dims, 2, [1, 1]), "n0", batch=[4])
    assert told.rows == "12,544 = 4 x 56 x 56 (batch 4)"
    assert [row.rows for row in scission.inspect(conv(dims, 2, [1, 1]), batch=[4])] == [(12544,)]


def test_sizes_that_are_given_count():
    model = chain(("MatMul", ["w"], {}), dims=["N", "time", K], weights={"w": weight()})
    assert scission.plan(model, batch=[2], sizes={"time": 100}).steps[0].rows == (200,)
    assert scission.plan(model, sizes={"time": 100, "N": 3}).steps[0].rows == (300,)
    with pytest.raises(scission.ScissionError, match="'N', the leading open dimension, would be both 3 and 2"):
        scission.plan(model, batch=[2], sizes={"time": 100, "N": 3})
    with pytest.raises(scission.ScissionError, match="'nope'"):
        scission.plan(model, sizes={"nope": 1})


def test_what_is_not_known_is_the_rows_of_the_inputs():
    nodes = [("Unknown", [], {"domain": "some.where"}), ("MatMul", ["w"], {})]
    model = chain(*nodes, dims=["N", "time", K], weights={"w": weight()})
    model.opset_import.append(h.make_opsetid("some.where", 1))
    loaded = load(model)
    seen = view(loaded.graph, [])
    chosen = settings_at(input_dims(loaded.graph), [4], {"time": 5})
    found = Activations(seen.model, lambda: chosen)
    assert [math.prod(extents) for linear in seen.found.linears for extents in found.of(linear)] == [20]
