"""Channels that a bias swallows: what goes changes no output by more than a dense product may be rounded."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from perturbed import run
from reference import model as model_of
from reference import node
from without_channels import agrees, found_in, without

FEATURES, HIDDEN, OUT, ROWS = 5, 24, 4, 6
UNIT = 2.0**-24
BOUNDED = ["Sigmoid", "Tanh", "HardSigmoid", "Softsign", "Softmax", "Clip", "Sin"]


def network(seed):
    """A product of a bounded hidden layer whose weights are of all sizes, and a bias, in one of its forms."""
    rng = np.random.default_rng(seed)

    def normal(*shape):
        return rng.standard_normal(shape).astype(np.float32)

    form = str(rng.choice(["MatMul", "Gemm", "turned", "Conv", "depthwise", "ConvTranspose"]))
    spread = 10.0 ** -rng.uniform(0, 14, (HIDDEN, 1)) * rng.choice([1, 1e-6], (HIDDEN, OUT), p=[0.8, 0.2])
    D = (normal(HIDDEN, OUT) * spread).astype(np.float32)
    bias = (normal(OUT) * 10.0 ** rng.uniform(-3, 3, OUT) * (rng.random(OUT) < 0.9)).astype(np.float32)
    act = str(rng.choice(BOUNDED))
    ends = {"l": np.float32(-2), "m": np.float32(rng.choice([0.5, 6]))}
    U = normal(FEATURES, HIDDEN) * np.float32(rng.choice([1, 100]))
    constants = {"U": U, "c": bias, **{name: np.asarray(end) for name, end in ends.items()}}
    hidden = node(act, "a l m" if act == "Clip" else "a", "h", **({"axis": 1} if act == "Softmax" else {}))
    if "Conv" in form or form == "depthwise":
        kernels = {"Conv": D.T, "ConvTranspose": D, "depthwise": D.T.reshape(2, OUT // 2, HIDDEN)[:, :, : HIDDEN // 2]}
        constants["U"] = U.T[:, :, None]
        kernel = np.ascontiguousarray(kernels[form].reshape(OUT, -1) if form == "depthwise" else kernels[form])
        constants["D"] = (kernel[:, :, None] * normal(1, 1, 3)).astype(np.float32)
        group = 2 if form == "depthwise" else 1
        kind = "ConvTranspose" if form == "ConvTranspose" else "Conv"
        pads = [1, 1] if rng.random() < 0.5 else [0, 0]
        nodes = [node("Conv", "x U", "a"), hidden, node(kind, "h D c", "y", group=group, pads=pads)]
        return (
            model_of(nodes, {"x": ["n", FEATURES, ROWS]}, ["y"], constants, opset=22),
            normal(2, FEATURES, ROWS),
            bias,
        )
    constants["D"] = D.T if form == "turned" else D
    product = [node("MatMul", "h D", "p"), node("Add", "c p" if rng.random() < 0.5 else "p c", "y")]
    if form != "MatMul":
        constants["c"] = (bias / np.float32(0.5)).astype(np.float32)
        product = [node("Gemm", "h D c", "y", alpha=2.0, beta=0.5, transB=int(form == "turned"))]
    nodes = [node("MatMul", "x U", "a"), hidden, *product]
    return model_of(nodes, {"x": ["n", FEATURES]}, ["y"], constants, opset=22), normal(ROWS, FEATURES), bias


def what_goes(proto, x):
    """What the channels of `h` that go add to each output, by themselves; None where none goes."""
    _, found = found_in(proto)
    gone = [cut.removed for one in found for cut in one.axes if cut.size == HIDDEN]
    if not gone:
        return None
    alone = onnx.ModelProto.FromString(proto.SerializeToString())
    (reader,) = (one for one in alone.graph.node if "h" in one.input)
    mask = np.isin(np.arange(HIDDEN), gone[0]).astype(np.float32)
    bias = next(tensor for tensor in alone.graph.initializer if tensor.name == "c")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.zeros(OUT, np.float32), "c"))
    held = onnx.numpy_helper.from_array(mask.reshape(-1, 1) if x.ndim == 3 else mask, "mask")
    alone.graph.initializer.append(held)
    alone.graph.node.insert(list(alone.graph.node).index(reader), node("Mul", "h mask", "hm"))
    reader.input[0] = "hm"
    return run(alone, {"x": x})[0].astype(np.float64)


@settings(max_examples=30)
@given(st.integers(0, 1 << 30))
def test_all_that_goes_is_less_than_the_rounding_of_the_bias(seed):
    proto, x, bias = network(seed)
    added = what_goes(proto, x)
    if added is None:
        return
    axis = (1, -1, 1) if added.ndim == 3 else (1, -1)
    assert (np.abs(added) <= 1.001 * UNIT * np.abs(bias).reshape(axis) + 1e-38).all()
    assert agrees(proto, without(proto), {"x": x})


@pytest.mark.parametrize("act", ["Sigmoid", "Relu"])
@pytest.mark.parametrize(("factor", "goes"), [(0.9, True), (1.1, False)])
def test_a_channel_goes_up_to_the_bound_and_where_it_is_bounded(act, factor, goes):
    rng = np.random.default_rng(0)
    U, D, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((FEATURES, HIDDEN), (HIDDEN, OUT), OUT))
    D[3] = factor * UNIT * np.abs(b) / HIDDEN / 1.01
    nodes = [node("MatMul", "x U", "a", "up"), node(act, "a", "h"), node("MatMul", "h D", "p"), node("Add", "p b", "y")]
    proto = model_of(nodes, {"x": ["n", FEATURES]}, ["y"], {"U": U, "D": D, "b": b}, opset=17)
    _, found = found_in(proto)
    assert bool(found) == (goes and act == "Sigmoid")
    if found:
        assert found[0].axes[0].removed.tolist() == [3] and "1 are read by weights only that are below" in str(
            found[0].reason
        )
        assert found_in(proto, exact=True)[1] == ()


@pytest.mark.parametrize("beside", ["output", "reader", "computed"])
def test_a_channel_stays_where_no_constant_bias_is_all_that_is_added(beside):
    rng = np.random.default_rng(0)
    U, D, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((FEATURES, HIDDEN), (HIDDEN, OUT), OUT))
    D[3] = 1e-20
    nodes = [node("MatMul", "x U", "a"), node("Sigmoid", "a", "h"), node("MatMul", "h D", "p"), node("Add", "p b", "y")]
    results = ["y", "p"] if beside == "output" else ["y"]
    if beside == "reader":
        nodes += [node("Relu", "p", "z")]
        results.append("z")
    inputs = {"x": ["n", FEATURES]} | ({"b": [OUT]} if beside == "computed" else {})
    weights = {"U": U, "D": D} | ({} if beside == "computed" else {"b": b})
    assert found_in(model_of(nodes, inputs, results, weights, opset=17))[1] == ()
