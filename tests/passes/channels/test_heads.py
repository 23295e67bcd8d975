"""Heads of attention operators that do nothing go out of everything that has them, and their count is told."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perturbed import run
from random_packed import packed
from reference import model as model_of
from reference import node
from without_channels import agrees
from without_channels import without as left_out

from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.channels.find import find
from scission.passes.lowering.target import Target
from scission.passes.rewrite.remove_channels import remove_channels

MS = "com.microsoft"
WIDTH, EACH, LONG = 12, 8, 5
rng = np.random.default_rng(0)


def without(proto):
    graph = load(proto).graph
    found = find(graph, Target(), lambda: settings_at(input_dims(graph)))
    return proto if not found else ir.to_proto(remove_channels(graph, found))


def network(form, heads, keys, dead, constant=(), unread=()):
    """Queries, keys and values out of x, attention, and a product; heads of values are zero, constant or not read."""
    weights = {
        name: rng.standard_normal((WIDTH, count, EACH)).astype(np.float32) / 3
        for name, count in (("q", heads), ("k", keys), ("v", keys))
    }
    weights["v"][:, [*dead, *constant]] = 0
    bias = np.zeros((keys, EACH), np.float32)
    bias[list(constant)] = rng.standard_normal((len(constant), EACH))
    out = rng.standard_normal((heads, EACH, WIDTH)).astype(np.float32)
    out[list(unread)] = 0
    constants = {name: weight.reshape(WIDTH, -1) for name, weight in weights.items()}
    constants |= {"o": out.reshape(-1, WIDTH), "b": bias.reshape(-1)}
    nodes = [node("MatMul", f"x {name}", f"{name}1", name) for name in "qkv"]
    nodes += [node("Add", "v1 b", "v2")]
    operands = "q1 k1 v2"
    if form == "MultiHeadAttention":
        nodes.append(node(form, operands, "a", "attend", MS, num_heads=heads))
    elif form == "GroupQueryAttention":
        constants |= {"s": np.full(2, LONG - 1, np.int32), "t": np.array(LONG, np.int32)}
        nodes.append(node(form, f"{operands} - - s t", "a", "attend", MS, num_heads=heads, kv_num_heads=keys))
    elif form == "in front":
        for name, value, count in (("q", "q1", heads), ("k", "k1", keys), ("v", "v2", keys)):
            constants[f"{name}s"] = np.array([0, 0, count, EACH])
            nodes.append(node("Reshape", f"{value} {name}s", f"{name}3"))
            nodes.append(node("Transpose", f"{name}3", f"{name}4", perm=[0, 2, 1, 3]))
        nodes += [node("Attention", "q4 k4 v4", "a4", "attend"), node("Transpose", "a4", "a3", perm=[0, 2, 1, 3])]
        constants["as"] = np.array([0, 0, heads * EACH])
        nodes.append(node("Reshape", "a3 as", "a"))
    else:
        nodes.append(node("Attention", operands, "a", "attend", q_num_heads=heads, kv_num_heads=keys))
    nodes.append(node("MatMul", "a o", "y", "o"))
    x = ([2, LONG, WIDTH], np.float32)
    return model_of(nodes, {"x": x}, {"y": x[0]}, constants, opset=23, domains=[MS])


FORMS = ["Attention", "in front", "MultiHeadAttention", "GroupQueryAttention"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("served", [1, 2])
def test_dead_heads_go_with_all_that_they_serve(form, served):
    if form == "MultiHeadAttention" and served > 1:
        pytest.skip("has as many heads of keys as of queries")
    keys = 4
    proto = network(form, keys * served, keys, dead=[1, 3])
    changed = without(proto)
    (attend,) = (one for one in changed.graph.node if one.name == "attend")
    told = {one.name: one.i for one in attend.attribute}
    assert form == "in front" or set(told.values()) == {2 * served, 2}
    left = {tensor.name.split("/")[0]: list(tensor.dims) for tensor in changed.graph.initializer}
    assert left["q"] == [WIDTH, 2 * served * EACH] and left["k"] == [WIDTH, 2 * EACH]
    onnx.checker.check_model(changed)
    x = {"x": rng.standard_normal((2, LONG, WIDTH)).astype(np.float32)}
    assert np.allclose(run(proto, x)[0], run(changed, x)[0], atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_constant_heads_go_where_weights_of_values_are_known_to_add_up_to_one(form):
    proto = network(form, 4, 4, dead=[], constant=[0, 2], unread=[3])
    changed = without(proto)
    left = {tensor.name.split("/")[0]: list(tensor.dims) for tensor in changed.graph.initializer}
    stay = 3 if form == "GroupQueryAttention" else 1  # positions behind a sequence are anything
    assert left["q"] == [WIDTH, stay * EACH]
    x = {"x": rng.standard_normal((2, LONG, WIDTH)).astype(np.float32)}
    assert np.allclose(run(proto, x)[0], run(changed, x)[0], atol=1e-5)


def test_heads_stay_where_a_cache_or_a_mask_has_them():
    proto = network("Attention", 4, 4, dead=[1])
    (attend,) = (one for one in proto.graph.node if one.op_type == "Attention")
    mask = np.zeros((1, 4, LONG, LONG), np.float32)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(mask, "mask"))
    attend.input.append("mask")
    changed = without(proto)
    assert [one.i for one in changed.graph.node[4].attribute] == [4, 4]


@settings(max_examples=25)
@given(st.integers(0, 1 << 30))
def test_attention_over_parts_of_one_product_computes_the_same_without_heads_that_do_nothing(seed):
    proto, feeds = packed(seed)
    assert agrees(proto, left_out(proto), feeds)


@pytest.mark.parametrize("sizes", [False, True])
def test_heads_go_out_of_each_part_of_a_packed_weight(sizes):
    heads, value = 4, 16 if sizes else EACH
    widths = [heads * EACH, heads * EACH, heads * value]
    U, W = (rng.standard_normal(shape).astype(np.float32) for shape in ((WIDTH, 6), (6, sum(widths))))
    out, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((heads * value, WIDTH), (sum(widths),)))
    W[:, 2 * heads * EACH + value : 2 * heads * EACH + 2 * value] = 0  # the second head is its bias
    out[3 * value :], U[:, 2] = 0, 0  # and nobody reads the last; a feature is one number
    told = {"qkv_hidden_sizes": widths} if sizes else {}
    nodes = [node("MatMul", "x U", "u"), node("Sigmoid", "u", "s")]
    nodes += [node("Attention", "s W b", "a", "attend", MS, num_heads=heads, **told), node("MatMul", "a O", "y")]
    x = [2, LONG, WIDTH]
    proto = model_of(nodes, {"x": x}, {"y": x}, {"U": U, "W": W, "O": out, "b": b}, opset=17, domains=[MS])
    changed = left_out(proto)
    left = {
        tensor.name.split("/")[0]: list(tensor.dims) for tensor in changed.graph.initializer if len(tensor.dims) > 1
    }
    assert left["W"] == [5, sum(widths) // 2] and left["O"] == [2 * value, WIDTH]
    (attend,) = (one for one in changed.graph.node if one.name == "attend")
    assert {one.name: one.i or list(one.ints) for one in attend.attribute} == {
        "num_heads": 2,
        **({"qkv_hidden_sizes": [width // 2 for width in widths]} if sizes else {}),
    }
    assert agrees(proto, changed, {"x": rng.standard_normal(x).astype(np.float32)})
