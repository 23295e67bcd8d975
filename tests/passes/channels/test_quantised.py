"""Channels of products of integers: zeros go, bit for bit, and blocks of packed weights as a whole."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perturbed import run
from random_integers import integers as integer_convolutions
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
rng = np.random.default_rng(0)
BLOCK, HIDDEN, WIDTH = 16, 64, 32


def without(proto):
    graph = load(proto).graph
    found = find(graph, Target(), lambda: settings_at(input_dims(graph)))
    changed = ir.to_proto(remove_channels(graph, found))
    onnx.checker.check_model(changed)
    return changed


def shapes(proto):
    return {tensor.name.split("/")[0]: list(tensor.dims) for tensor in proto.graph.initializer}


def weights(dead_in=(), dead_out=()):
    """Two weights of integers: results of the first are zero, and the second does not read some."""
    up, down = rng.integers(-60, 60, (WIDTH, HIDDEN), np.int8), rng.integers(-60, 60, (HIDDEN, WIDTH), np.int8)
    up[:, list(dead_in)], down[list(dead_out)] = 0, 0
    return up, down


def integers(dead_in, dead_out):
    """Two products of integers with an activation between them."""
    up, down = weights(dead_in, dead_out)
    scale = {"up_s": rng.random(HIDDEN, np.float32) / 64, "up_z": np.zeros(HIDDEN, np.int8)}
    scale |= {name: np.float32(0.05) for name in ("x_s", "h_s", "y_s")}
    scale |= {name: np.uint8(128) for name in ("x_z", "h_z", "y_z")}
    scale |= {"down_s": np.float32(0.01), "down_z": np.int8(0)}
    return [
        node("QuantizeLinear", "x x_s x_z", "q"),
        node("QLinearMatMul", "q x_s x_z up up_s up_z h_s h_z", "a"),
        node("DequantizeLinear", "a h_s h_z", "b"),
        node("Tanh", "b", "c"),
        node("QuantizeLinear", "c h_s h_z", "d"),
        node("QLinearMatMul", "d h_s h_z down down_s down_z y_s y_z", "e"),
        node("DequantizeLinear", "e y_s y_z", "y"),
    ], {"up": up, "down": down, **scale}


def while_running(dead_in, dead_out):
    """The same, quantised while the model runs."""
    up, down = weights(dead_in, dead_out)
    nodes = []
    for place, (x, weight) in enumerate((("x", "up"), ("h", "down"))):
        made = f"p{place}"
        nodes += [
            node("DynamicQuantizeLinear", x, f"q{place} s{place} z{place}"),
            node("MatMulInteger", f"q{place} {weight} z{place}", f"i{place}"),
            node("Cast", f"i{place}", f"f{place}", to=1),
            node("Mul", f"f{place} s{place}", made),
            node("Tanh", made, "h" if not place else "y"),
        ]
    return nodes, {"up": up, "down": down}


@pytest.mark.parametrize("build", [integers, while_running])
def test_zeros_go_out_of_products_of_integers_and_results_are_the_same_bits(build):
    nodes, constants = build([1, 5, 6], [])
    proto = model_of(nodes, {"x": ["n", WIDTH]}, {"y": ["n", WIDTH]}, constants, opset=20)
    changed = without(proto)
    left = shapes(changed)
    assert left["up"] == [WIDTH, HIDDEN - 3] and left["down"] == [HIDDEN - 3, WIDTH]
    x = {"x": rng.standard_normal((7, WIDTH)).astype(np.float32)}
    assert np.array_equal(run(proto, x)[0], run(changed, x)[0])


def test_what_is_not_read_stays_where_it_decides_the_scale_of_all():
    nodes, constants = while_running([], [3, 4])
    proto = model_of(nodes, {"x": ["n", WIDTH]}, {"y": ["n", WIDTH]}, constants, opset=20)
    graph = load(proto).graph
    assert find(graph, Target(), lambda: settings_at(input_dims(graph))) == ()
    nodes, constants = integers([], [3, 4])
    proto = model_of(nodes, {"x": ["n", WIDTH]}, {"y": ["n", WIDTH]}, constants, opset=20)
    assert shapes(without(proto))["down"] == [HIDDEN - 2, WIDTH]


def packed(K, N, dead, points):
    """A weight of four bits (N, blocks, bytes), its scales and zero points; columns of `dead` are zero."""
    codes = rng.integers(0, 16, (N, K), np.uint8)
    zero = rng.integers(4, 12, (N, K // BLOCK), np.uint8) if points else np.full((N, K // BLOCK), 8, np.uint8)
    for place in dead:
        codes[:, place] = zero[:, place // BLOCK]
    pairs = codes.reshape(N, K // BLOCK, BLOCK // 2, 2)
    stored = pairs[..., 0] | pairs[..., 1] << 4
    scales = (rng.random((N, K // BLOCK)) / 32 + 0.01).astype(np.float32)
    return stored, scales, (zero[:, ::2] | zero[:, 1::2] << 4) if points else None


@pytest.mark.parametrize("points", [False, True])
def test_whole_blocks_of_a_packed_weight_go(points):
    gone = [*range(BLOCK, 3 * BLOCK), 50] if not points else [*range(2 * BLOCK, 4 * BLOCK), 3]
    up, up_s, up_z = packed(WIDTH, HIDDEN, (), points)
    down, down_s, down_z = packed(HIDDEN, WIDTH, gone, points)
    constants = {"up": up, "up_s": up_s, "down": down, "down_s": down_s}
    constants |= {"up_z": up_z, "down_z": down_z} if points else {}
    about = {"bits": 4, "block_size": BLOCK}
    nodes = [
        node("MatMulNBits", f"x up up_s {'up_z' if points else ''}", "a", "up", MS, K=WIDTH, N=HIDDEN, **about),
        node("Tanh", "a", "h"),
        node("MatMulNBits", f"h down down_s {'down_z' if points else ''}", "y", "down", MS, K=HIDDEN, N=WIDTH, **about),
    ]
    proto = model_of(nodes, {"x": ["n", WIDTH]}, {"y": ["n", WIDTH]}, constants, opset=20, domains=[MS])
    changed = without(proto)
    left = shapes(changed)
    assert left["down"] == [WIDTH, 2, BLOCK // 2] and left["up"][0] == HIDDEN - 2 * BLOCK
    x = {"x": rng.standard_normal((7, WIDTH)).astype(np.float32)}
    assert np.allclose(run(proto, x)[0], run(changed, x)[0], atol=1e-5)


@settings(max_examples=20)
@given(st.integers(0, 1 << 30))
def test_convolutions_of_integers_compute_the_same_bits_without_their_zeros(seed):
    proto, feeds = integer_convolutions(seed)
    assert agrees(proto, left_out(proto), feeds, 1e-6)


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("groups", [1, 2])
def test_channels_between_convolutions_of_integers_go(several, groups):
    first, second = rng.integers(1, 60, (8, 4, 3, 3), np.int8), rng.integers(1, 60, (4, 8 // groups, 1, 1), np.int8)
    first[[1, 5]] = 0  # in both groups alike
    second[:, 2] = 0
    scales, points = np.full(8, 0.01, np.float32), np.zeros(8, np.int8)
    constants = {"w1": first, "w2": second, "s": np.float32(0.05), "z": np.uint8(3), "b": np.arange(8, dtype=np.int32)}
    constants |= {"s1": scales if several else scales[0], "z1": points if several else points[0]}
    constants |= {"s2": np.float32(0.01), "z2": np.int8(0)}
    constants["b"][[1, 5]] = 0
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("QLinearConv", "q s z w1 s1 z1 s z b", "a", pads=[1] * 4),
        node("QLinearConv", "a s z w2 s2 z2 s z", "c", group=groups),
        node("DequantizeLinear", "c s z", "y"),
    ]
    proto = model_of(nodes, {"x": ["n", 4, 6, 6]}, {"y": ["n", 4, 6, 6]}, constants, opset=20)
    changed = without(proto)
    # Of two groups channels go that do nothing in both of them, one and five, two and six.
    left = shapes(changed)
    assert left["w1"] == [5 if groups == 1 else 4, 4, 3, 3] and left["w2"] == [4, 5 if groups == 1 else 2, 1, 1]
    assert left["b"] == [left["w1"][0]] and left["s1"] == ([left["w1"][0]] if several else [])
    x = {"x": rng.standard_normal((2, 4, 6, 6)).astype(np.float32)}
    assert np.array_equal(run(proto, x)[0], run(changed, x)[0])
