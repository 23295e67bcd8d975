"""Models without the channels that do nothing compute what they did, whatever told of those channels."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from reference import model as model_of
from reference import node

from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.plan import PlanError
from scission.passes.channels.find import find
from scission.passes.lowering.target import Target
from scission.passes.rewrite.remove_channels import remove_channels

rng = np.random.default_rng(0)
LEVELS = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def run(proto, feeds, level):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level, options.graph_optimization_level = 1, 4, level
    return onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
        None, feeds
    )


def removed(proto, x):
    """How many channels go of a model, which computes the same without them."""
    graph = load(proto).graph
    found = find(graph, Target(), lambda: settings_at(input_dims(graph)))
    if not found:
        return 0
    changed = ir.to_proto(remove_channels(graph, found))
    for level in LEVELS:
        before, after = (run(one, {"x": x}, level)[0] for one in (proto, changed))
        assert before.shape == after.shape
        assert np.allclose(before, after, rtol=1e-5, atol=1e-5 * np.nanmax(np.abs(before)), equal_nan=True)
    return found[0].count


def dense(nodes, weights, features=6, outputs=3, opset=20, rows=("n",), feeds=None):
    """x U + b, of which columns 1 and 2 are constant, `nodes` from h to m, and m D."""
    U, b = normal(5, features), normal(features)
    U[:, [1, 2]] = 0
    b[1] = 0
    nodes = [node("MatMul", "x U", "a"), node("Add", "a b", "h"), *nodes]
    own = {"U": U, "b": b, "D": normal(features, outputs)} | weights
    x = normal(*(3 if isinstance(row, str) else row for row in rows), 5) if feeds is None else feeds
    return model_of(nodes, {"x": ([*rows, 5], np.float32)}, ["y"], own, opset=opset, ir_version=10), x


def pictures(nodes, weights, opset=20, extent=8):
    """A convolution of which channels 1 to 3 are constant, `nodes` from h to m, and another."""
    W, b = normal(6, 3, 1, 1), normal(6)
    W[1:4], b[1:4] = 0, [0, 0.7, 5.1]
    nodes = [node("Conv", "x W b", "c"), node("Relu", "c", "h"), *nodes, node("Conv", "m V", "y")]
    own = {"W": W, "b": b, "V": normal(4, 6, 1, 1)} | weights
    x = normal(2, 3, extent, extent)
    return model_of(nodes, {"x": (["n", *x.shape[1:]], np.float32)}, ["y"], own, opset=opset), x


@pytest.mark.parametrize(("beta", "bias"), [(0.5, False), (1.0, False), (0.0, False), (0.5, True), (1.0, True)])
def test_what_constants_add_to_a_gemm_is_not_scaled_as_its_bias_is(beta, bias):
    gemm = node("Gemm", "h D C" if bias else "h D", "y", beta=beta)
    assert removed(*dense([gemm], {"C": normal(3)} if bias else {})) == (1 if bias and beta != 1 else 2)


@pytest.mark.parametrize(
    ("sizes", "attributes"),
    [
        ([2, 6, 16, 16], {"mode": "nearest"}),
        ([16, 6, 12], {"mode": "linear", "axes": [-1, 1, -2]}),
        ([16, 16], {"axes": [2, 3]}),
        ([16, 12], {"mode": "linear", "axes": [2, 3], "keep_aspect_ratio_policy": "not_larger"}),
    ],
)
def test_a_resize_asks_for_the_channels_that_are_left(sizes, attributes):
    assert removed(*pictures([node("Resize", "h - - s", "m", **attributes)], {"s": np.array(sizes)})) == 3


@pytest.mark.parametrize("opset", [11, 13])
@pytest.mark.parametrize("rows", [(3, 1), (3, 2)])
def test_a_squeeze_drops_what_it_did_where_one_channel_is_left(opset, rows):
    U, D = normal(5, 4), normal(4, 5)
    U[:, [0, 1, 3]] = 0
    nodes = [node("MatMul", "x U", "a"), node("Relu", "a", "h"), node("Squeeze", "h", "s"), node("MatMul", "s D", "y")]
    proto = model_of(nodes, {"x": ([*rows, 5], np.float32)}, ["y"], {"U": U, "D": D}, opset=opset)
    assert removed(proto, normal(*rows, 5)) == 3


def test_what_a_model_measures_is_where_it_was():
    """Places of a shape that nobody reads are no channels."""
    U, D = normal(5, 6), normal(6, 4)
    U[:, [1, 2]] = 0
    nodes = [node("MatMul", "x U", "a"), node("Relu", "a", "h"), node("MatMul", "h D", "d"), node("Shape", "x", "s")]
    nodes += [node("Slice", "s one two", "b"), node("Concat", "m b e", "t", axis=0), node("Reshape", "d t", "y")]
    weights = {"U": U, "D": D, "one": np.array([1]), "two": np.array([2]), "m": np.array([-1]), "e": np.array([2])}
    assert removed(model_of(nodes, {"x": (["n", 7, 5], np.float32)}, ["y"], weights), normal(3, 7, 5)) == 2


@pytest.mark.parametrize("vector", [False, True])
def test_scores_of_one_key_are_not_shifted_alike(vector):
    Q, W, V, c = normal(3, 5), normal(3, 5), normal(7, 2), np.array([3, 0, 0, 0, 0], np.float32)
    W[:, 0] = 0
    nodes = [node("MatMul", "x Q", "q"), node("MatMul", "k W" if vector else "x W", "w"), node("Add", "w c", "k2")]
    nodes += [] if vector else [node("Transpose", "k2", "k3", perm=[1, 0])]
    nodes += [node("MatMul", "q k2" if vector else "q k3", "s"), node("Softmax", "s", "p", axis=-1)]
    proto = model_of(
        [node("Gather", "x zero", "k"), *nodes, node("MatMul", "p V", "y")],
        {"x": ([7, 3], np.float32)},
        ["y"],
        {"Q": Q, "W": W, "V": V, "c": c, "zero": np.array(0)},
    )
    assert removed(proto, normal(7, 3)) == (0 if vector else 1)


def test_a_plan_is_for_operators_whatever_values_are_called():
    U, D = normal(5, 6), normal(6, 4)
    U[:, [1, 2]] = 0

    def built(hidden):
        nodes = [node("MatMul", "x U", hidden[0], "up"), node("Relu", hidden[0], hidden[1], "act")]
        weights = {"U": U, "D": D}
        return model_of(
            [*nodes, node("MatMul", f"{hidden[1]} D", "y", "down")], {"x": (["n", 5], np.float32)}, ["y"], weights
        )

    graph = load(built("ab")).graph
    found = find(graph, Target(), lambda: settings_at(input_dims(graph)))
    other = built("cd")
    changed = ir.to_proto(remove_channels(load(other).graph, found))
    x = normal(3, 5)
    assert np.allclose(run(other, {"x": x}, LEVELS[0])[0], run(changed, {"x": x}, LEVELS[0])[0], atol=1e-5)
    assert sorted(list(t.dims) for t in changed.graph.initializer) == [[4, 4], [5, 4]]
    missing = replace(found[0], axes=tuple(replace(one, node="gone") for one in found[0].axes))
    with pytest.raises(PlanError, match="gone"):
        remove_channels(load(other).graph, (missing,))


def up_down(up, nodes, weights, down=None):
    """x up, `nodes` from a to h, down."""
    D = normal(up.shape[1], 4) if down is None else down
    nodes = [node("MatMul", "x up", "a"), *nodes, node("MatMul", "h down", "y")]
    return model_of(nodes, {"x": (["n", 5], np.float32)}, ["y"], {"up": up, "down": D} | weights, opset=20), normal(
        3, 5
    )


def test_nothing_goes_of_what_is_not_a_number():
    """Zero times what a constant makes NaN is NaN, whatever comes in between."""
    up, down, zero = normal(5, 8), normal(8, 4), np.float32(0)
    up[0, 3], down[3] = np.nan, 0
    assert removed(*up_down(up, [node("Relu", "a", "h")], {}, down)) == 0
    scale = np.ones(8, np.float32)
    scale[3] = 0
    assert removed(*up_down(up, [node("Sigmoid", "a", "s"), node("Mul", "s k", "h")], {"k": scale})) == 0
    up, bias = normal(5, 8), np.full(8, np.nan, np.float32)
    up[:, [1, 2]] = 0
    added = node("Add", "a b", "r")
    assert removed(*up_down(up, [added, node("Relu", "r", "s"), node("Min", "s z", "h")], {"b": bias, "z": zero})) == 0
    assert removed(*up_down(up, [added, node("Clip", "r z z", "h")], {"b": bias, "z": zero})) == 0
    negative = -np.ones(8, np.float32)
    roots = [added, node("Sqrt", "r", "s"), node("Relu", "s", "t"), node("Min", "t z", "h")]
    assert removed(*up_down(up, roots, {"b": negative, "z": zero})) == 0


def test_a_constant_that_is_not_a_number_is_seen_among_many():
    rows, up = (1 << 20) // 64 + 1, normal(5, 64)
    up[:, 3] = 0
    factors = np.ones((rows, 64), np.float32)
    nodes = [node("MatMul", "x U", "a"), node("Mul", "a k", "h"), node("MatMul", "h D", "y")]
    for odd in (False, True):
        factors[7, 3] = np.nan if odd else 1
        proto = model_of(nodes, {"x": ([rows, 5], np.float32)}, ["y"], {"U": up, "k": factors, "D": normal(64, 2)})
        assert removed(proto, normal(rows, 5)) == (0 if odd else 1)


def test_scores_that_are_masked_are_numbers_behind_a_softmax():
    Q, V, D = normal(4, 6), normal(4, 8), normal(8, 3)
    V[:, [1, 5]] = 0
    nodes = [node("MatMul", "x Q", "q"), node("Transpose", "q", "k", perm=[1, 0]), node("MatMul", "q k", "s")]
    nodes += [node("Add", "s mask", "m"), node("Softmax", "m", "p", axis=-1), node("MatMul", "x V", "v")]
    nodes += [node("MatMul", "p v", "c"), node("MatMul", "c D", "y")]
    mask = np.triu(np.full((7, 7), -np.inf, np.float32), 1)
    for whole in (False, True):
        mask[3] = -np.inf if whole else mask[3]
        proto = model_of(nodes, {"x": ([7, 4], np.float32)}, ["y"], {"Q": Q, "V": V, "D": D, "mask": mask}, opset=20)
        assert removed(proto, normal(7, 4)) == (0 if whole else 2)


@pytest.mark.parametrize(
    ("attributes", "goes"),
    [
        ({"kernel_shape": [2, 2], "pads": [1, 1, 1, 1]}, 3),
        ({"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, 3),
        ({"kernel_shape": [2, 2], "dilations": [5, 5], "pads": [1, 1, 1, 1]}, 1),
    ],
)
def test_a_window_beside_a_picture_makes_no_constant(attributes, goes):
    proto, x = pictures([node("MaxPool", "h", "m", **attributes)], {}, extent=4)
    assert removed(proto, x) in (goes, 0 if goes == 1 else goes)


@pytest.mark.parametrize("extent", [4, 64])
def test_what_a_mean_loses_of_many_numbers_is_not_scaled_up_to_something(extent):
    weights = {"s": normal(6), "t": normal(6)}
    proto, x = pictures([node("InstanceNormalization", "h s t", "m", epsilon=1e-5)], weights, extent=extent)
    assert removed(proto, x) <= (3 if extent == 4 else 1)
