import ml_dtypes
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.io.load import load
from scission.passes.diff.quantised import unpacked
from scission.passes.diff.totals import census

SEEDS = st.integers(0, 10**6)
K, N, BLOCK = 64, 48, 16
RANGES = {"int8": (-127, 127), "uint8": (0, 255), "int4": (-7, 7), "uint4": (0, 15)}
TYPES = {"int8": np.int8, "uint8": np.uint8, "int4": ml_dtypes.int4, "uint4": ml_dtypes.uint4}
FORMS = ("DequantizeLinear", "dynamic", "QLinearMatMul", "DynamicQuantizeMatMul", "Cast and Mul")


def rounded(W, kind, grain):
    """(codes, scale, zero point, the numbers that they stand for), each as large as W: slow and obvious."""
    low, high = RANGES[kind]
    scale, zero, codes = np.zeros(W.shape), np.zeros(W.shape), np.zeros(W.shape)
    parts = {
        "tensor": [np.s_[:, :]],
        "channel": [np.s_[:, j : j + 1] for j in range(W.shape[1])],
        "block": [np.s_[i : i + BLOCK, j : j + 1] for i in range(0, W.shape[0], BLOCK) for j in range(W.shape[1])],
    }[grain]
    for part in parts:
        w = W[part]
        if low < 0:
            scale[part] = np.float32(abs(w).max() / high)
        else:
            scale[part] = np.float32((max(w.max(), 0) - min(w.min(), 0)) / high)
            zero[part] = np.round(-min(w.min(), 0) / scale[part].flat[0])
        codes[part] = np.clip(np.round(w / scale[part]) + zero[part], low, high)
    return codes, scale, zero, (codes - zero) * scale


def tensor(array, name, kind=None):
    if kind in ("int4", "uint4"):
        number = {"int4": TensorProto.INT4, "uint4": TensorProto.UINT4}[kind]
        return helper.make_tensor(name, number, array.shape, array.astype(int).ravel().tolist())
    return numpy_helper.from_array(np.ascontiguousarray(array.astype(TYPES[kind] if kind else np.float32)), name)


def model_of(nodes, tensors, opset=21):
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", K])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", N])
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y], tensors), opset_imports=imports, ir_version=10)


def chain(weights, product):
    """x through some weights K -> K and one K -> N; `product(i, weight, x, y)` makes nodes and tensors."""
    nodes, tensors = [], []
    for index, W in enumerate(weights):
        ends = "x" if not index else f"h{index - 1}", "y" if index == len(weights) - 1 else f"h{index}"
        more, held = product(index, W, *ends)
        nodes += more
        tensors += held
    return model_of(nodes, tensors)


def dense(index, W, x, y, transposed=False):
    if transposed:
        node = helper.make_node("Gemm", [x, f"w{index}"], [y], name=f"product{index}", transB=1)
        return [node], [tensor(W.T, f"w{index}")]
    return [helper.make_node("MatMul", [x, f"w{index}"], [y], name=f"product{index}")], [tensor(W, f"w{index}")]


def quantised(form, kind, grain, prefix="q"):
    """What `chain` takes: a product with a quantised weight, and what that stands for under "numbers"."""
    numbers = []

    def product(index, W, x, y):
        codes, scale, zero, real = rounded(W, kind, grain)
        numbers.append(real)
        step = {"tensor": np.s_[0, 0], "channel": np.s_[0, :], "block": np.s_[::BLOCK, :]}[grain]
        q, s, z = f"{prefix}{index}", f"s{index}", f"z{index}"
        held = [tensor(codes, q, kind), tensor(scale[step], s), tensor(zero[step], z, kind)]
        name = {"name": f"product{index}"}
        if form == "DequantizeLinear":
            options = (
                {} if grain == "tensor" else {"axis": 1} if grain == "channel" else {"axis": 0, "block_size": BLOCK}
            )
            made = [helper.make_node(form, [q, s, z], [f"r{index}"], **options)]
            return [*made, helper.make_node("MatMul", [x, f"r{index}"], [y], **name)], held
        if form == "dynamic":
            a = [f"{x}_{what}" for what in ("codes", "scale", "zero")]
            i = [f"i{index}", f"f{index}", f"t{index}"]
            nodes = [
                helper.make_node("DynamicQuantizeLinear", [x], a),
                helper.make_node("MatMulInteger", [a[0], q, a[2], z], [i[0]]),
                helper.make_node("Cast", [i[0]], [i[1]], to=1),
                helper.make_node("Mul", [a[1], s], [i[2]]),
                helper.make_node("Mul", [i[1], i[2]], [y]),
            ]
            return nodes, held
        if form == "QLinearMatMul":
            more = [tensor(np.array(0.1), f"xs{index}"), tensor(np.array(3), f"xz{index}", kind)]
            pair = [f"xs{index}", f"xz{index}"]
            nodes = [
                helper.make_node("QuantizeLinear", [x, *pair], [f"a{index}"]),
                helper.make_node(form, [f"a{index}", *pair, q, s, z, *pair], [f"b{index}"]),
                helper.make_node("DequantizeLinear", [f"b{index}", *pair], [y]),
            ]
            return nodes, [*held, *more]
        if form == "DynamicQuantizeMatMul":
            return [helper.make_node(form, [x, q, s, z], [y], domain="com.microsoft")], held
        held[2] = tensor(zero[step], z)
        nodes = [
            helper.make_node("Cast", [q], [f"c{index}"], to=1),
            helper.make_node("Sub", [f"c{index}", z], [f"d{index}"]),
            helper.make_node("Mul", [f"d{index}", s], [f"r{index}"]),
            helper.make_node("MatMul", [x, f"r{index}"], [y], **name),
        ]
        return nodes, held

    return product, numbers


def drawn(seed, count):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((K, N if index == count - 1 else K)).astype(np.float32) for index in range(count)]


@settings(max_examples=12)
@given(
    SEEDS,
    st.sampled_from(FORMS),
    st.sampled_from(["int8", "uint8"]),
    st.sampled_from(["tensor", "channel"]),
    st.booleans(),
)
def test_a_quantised_weight_is_told_with_its_error(seed, form, kind, grain, transposed):
    """Also beside others of its size, and of a model that holds it transposed; the numbers are those of the oracle."""
    weights = drawn(seed, 3)
    before = chain(weights, lambda *args: dense(*args, transposed))
    product, numbers = quantised(form, kind, grain)
    after = chain(weights, product)
    assert census(load(before).graph).parameters == sum(W.size for W in weights)
    there, back = scission.diff(before, after), scission.diff(after, before)
    for found, kind_, names in ((there, "quantised", "wq"), (back, "dequantised", "qw")):
        told = {one.after.name: one for one in found.tensors if one.kind == kind_}
        assert sorted(told) == [f"{names[1]}{index}" for index in range(3)]
        for index, (W, real) in enumerate(zip(weights, numbers, strict=True)):
            one = told[f"{names[1]}{index}"]
            error = np.linalg.norm(W - real) / np.linalg.norm(W)
            assert [at.name for at in one.before] == [f"{names[0]}{index}"]
            fitted = " at best" in one.detail
            assert fitted is (form == "Cast and Mul")
            assert one.drift.relative == pytest.approx(error, rel=0.2 if fitted else 1e-3)
            assert ("transposed" in one.detail) is transposed
        assert not any(at.name[0] in "wq" for one in found.tensors if one.kind == "removed" for at in one.before)


@settings(max_examples=6)
@given(SEEDS, st.sampled_from(["int4", "uint4"]))
def test_blocks_of_four_bits(seed, kind):
    weights = drawn(seed, 2)
    product, numbers = quantised("DequantizeLinear", kind, "block")
    after = chain(weights, product)
    found = scission.diff(chain(weights, dense), after)
    told = [one for one in found.tensors if one.kind == "quantised"]
    errors = [np.linalg.norm(W - real) / np.linalg.norm(W) for W, real in zip(weights, numbers, strict=True)]
    assert [one.drift.relative for one in told] == pytest.approx(errors, rel=1e-3)
    assert found.before.totals.parameters == found.after.totals.parameters
    other, _ = quantised("DequantizeLinear", "int8", "channel", "p")
    (one, *_) = scission.diff(chain(weights, other), after).tensors
    assert one.kind == "requantised" and one.before[0].name == "p0" and one.after.name == "q0"


@settings(max_examples=6)
@given(SEEDS)
def test_packed_bits(seed):
    rng = np.random.default_rng(seed)
    W = rng.standard_normal((K, N)).astype(np.float32)
    codes, scale, _, _ = rounded(W, "uint4", "block")
    scale = np.float32(abs(W.reshape(K // BLOCK, BLOCK, N)).max(1) / 7)
    codes = np.clip(np.round(W / scale.repeat(BLOCK, 0)) + 8, 0, 15).astype(np.uint8)
    real = (codes.astype(np.float32) - 8) * scale.repeat(BLOCK, 0)
    rows = codes.T.reshape(N, K // BLOCK, BLOCK)
    packed = rows[..., ::2] | rows[..., 1::2] << 4
    assert (unpacked(packed.reshape(N, -1), 4) == codes.T).all()
    options = {"K": K, "N": N, "bits": 4, "block_size": BLOCK, "domain": "com.microsoft"}
    nodes = [helper.make_node("MatMulNBits", ["x", "q", "s"], ["y"], **options)]
    after = model_of(nodes, [numpy_helper.from_array(packed, "q"), tensor(scale.T, "s")])
    (one,) = [one for one in scission.diff(chain([W], dense), after).tensors if one.kind == "quantised"]
    assert one.drift.relative == pytest.approx(np.linalg.norm(W - real) / np.linalg.norm(W), rel=1e-3)
    assert census(load(after).graph).parameters == W.size and census(load(after).graph).macs == (("n", W.size),)


@settings(max_examples=10)
@given(SEEDS, st.sampled_from(FORMS), st.sampled_from(["tensor", "channel"]))
def test_weights_of_another_model_are_not_related(seed, form, grain):
    product, _ = quantised(form, "int8", grain)
    found = scission.diff(chain(drawn(seed, 2), dense), chain(drawn(seed + 1, 2), product))
    assert not any("quantised" in one.kind for one in found.tensors)
    assert {at.name for one in found.tensors if one.kind == "removed" for at in one.before} == {"w0", "w1"}


def test_a_scale_says_whose_it_is():
    weights = drawn(0, 1)
    product, _ = quantised("DequantizeLinear", "uint8", "tensor")
    details = {
        one.after.name: one.detail
        for one in scission.diff(chain(weights, dense), chain(weights, product)).tensors
        if one.after
    }
    assert details["s0"] == "scale of q0" and details["z0"] == "zero point of q0"
    assert details["q0"].startswith("float -> uint8, off by 0.")


def test_a_weight_cast_to_half_precision_is_a_cast():
    (W,) = drawn(0, 1)
    other = chain([W], dense)
    other.graph.initializer[0].CopyFrom(numpy_helper.from_array(W.astype(np.float16), "w0"))
    nodes = [helper.make_node("Cast", ["w0"], ["c"], to=TensorProto.FLOAT), *other.graph.node]
    nodes[1].input[1] = "c"
    (one,) = scission.diff(chain([W], dense), model_of(nodes, other.graph.initializer)).tensors
    assert one.kind == "cast"


def test_indices_and_flags_are_no_parameters():
    tensors = [numpy_helper.from_array(np.arange(K), "at"), numpy_helper.from_array(np.ones(K, bool), "flags")]
    nodes = [
        helper.make_node("Gather", ["x", "at"], ["g"], axis=1),
        helper.make_node("Where", ["flags", "g", "x"], ["y"]),
    ]
    model = model_of(nodes, tensors)
    assert isinstance(model, onnx.ModelProto) and census(load(model).graph).parameters == 0
