"""Channels that are left out, on random networks: never one that does something, and the outputs stay the same."""

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from idle_channels import Fate, account
from idle_networks import network
from perturbed import run
from reference import model as model_of
from reference import node

from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.channels.find import find
from scission.passes.lowering.target import Target
from scission.passes.rewrite.remove_channels import remove_channels

SEEDS = st.integers(0, 1 << 30)
rng = np.random.default_rng(0)


def found_in(proto, **options):
    graph = load(proto).graph
    return graph, find(graph, Target(), lambda: settings_at(input_dims(graph)), **options)


def gone(found, node, axis, size):
    """Channels of the result of an operator that go, axes counted from the first."""
    (one,) = found
    return next((cut.removed.tolist() for cut in one.axes if (cut.node, cut.axis, cut.size) == (node, axis, size)), [])


@settings(max_examples=25)
@given(SEEDS)
def test_a_network_without_its_channels_computes_the_same(seed):
    proto, feeds, _ = network(seed)
    graph, found = found_in(proto)
    if not found:
        return
    changed = ir.to_proto(remove_channels(graph, found))
    onnx.checker.check_model(changed, full_check=True)
    before, after = run(proto, feeds)[0], run(changed, feeds)[0]
    # Where an output is what is left when large numbers cancel, it is noise beside these.
    assert np.abs(before - after).max() <= 2e-5 * max(np.abs(before).max(), 4)
    assert sum(t.ByteSize() for t in changed.graph.initializer) < sum(t.ByteSize() for t in proto.graph.initializer)


@settings(max_examples=10)
@given(SEEDS)
def test_every_channel_that_does_nothing_goes_unless_something_keeps_it_and_no_other(seed):
    proto, feeds, made = network(seed)
    told = account(proto, feeds, made.watched)
    assert told[Fate.MISSED] == 0 and told["wrong"] == 0


def ffn(kind, up, down, bias):
    """x up, an activation, down."""
    nodes = [node("MatMul", "x up", "a", "up"), node("Add", "a bias", "b"), node(kind, "b", "h")]
    weights = {"up": up, "down": down, "bias": bias}
    return model_of(
        [*nodes, node("MatMul", "h down", "y", "down")], {"x": ["n", 5]}, {"y": ["n", 5]}, weights, opset=20
    )


@pytest.mark.parametrize("kind", ["Relu", "Gelu", "Sigmoid", "Tanh", "HardSwish"])
def test_hidden_units_that_are_planted_dead_or_constant_are_all_found(kind):
    up, down, bias = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 12), (12, 5), (12,)))
    up[:, [1, 4, 5]], down[[2, 7]], bias[[1, 4, 5]] = 0, 0, 1.5
    proto = ffn(kind, up, down, bias)
    graph, found = found_in(proto)
    assert (
        gone(found, "up", 1, 12) == [1, 2, 4, 5, 7] and found[0].count == 5 and "3 are constant" in str(found[0].reason)
    )
    changed = ir.to_proto(remove_channels(graph, found))
    x = {"x": rng.standard_normal((4, 5)).astype(np.float32)}
    assert np.allclose(run(proto, x)[0], run(changed, x)[0], atol=1e-5)
    assert sorted(list(t.dims) for t in changed.graph.initializer) == [[5], [5, 7], [7], [7, 5]]


def test_what_is_zero_only_up_to_rounding_stays_where_exactness_is_asked_for():
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 12), (12, 5)))
    down[3] *= 1e-40
    proto = ffn("Relu", up, down, np.zeros(12, np.float32))
    _, found = found_in(proto)
    assert gone(found, "up", 1, 12) == [3] and "below all rounding" in str(found[0].reason)
    assert found_in(proto, exact=True)[1] == ()


def test_nothing_goes_that_is_not_finite_or_seen_from_outside():
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 12), (12, 5)))
    up[:, 3], down[3, 2] = 0, np.inf
    assert found_in(ffn("Relu", up, down, np.ones(12, np.float32)))[1] == ()
    nodes = [node("MatMul", "x up", "h"), node("MatMul", "h down", "y")]
    down[3] = 0
    shapes = {"h": ["n", 12], "y": ["n", 5]}
    assert found_in(model_of(nodes, {"x": ["n", 5]}, shapes, {"up": up, "down": down}))[1] == ()


@pytest.mark.parametrize(("channels", "stay"), [(32, 24), (12, 10)])
def test_of_a_convolution_a_multiple_of_four_channels_stays_where_there_are_many(channels, stay):
    kernels = [rng.standard_normal(shape).astype(np.float32) for shape in ((channels, 3, 3, 3), (4, channels, 3, 3))]
    dead = slice(0, 2) if channels == 12 else slice(0, 9)
    kernels[0][dead] = 0
    nodes = [node("Conv", "x k0", "a", "one"), node("Relu", "a", "b"), node("Conv", "b k1", "y", "two")]
    proto = model_of(nodes, {"x": ["n", 3, 9, 9]}, {"y": ["n", 4, 5, 5]}, dict(zip(("k0", "k1"), kernels, strict=True)))
    graph, found = found_in(proto)
    changed = ir.to_proto(remove_channels(graph, found))
    assert sorted(list(t.dims)[:2] for t in changed.graph.initializer) == [[4, stay], [stay, 3]]
    x = {"x": rng.standard_normal((2, 3, 9, 9)).astype(np.float32)}
    assert np.allclose(run(proto, x)[0], run(changed, x)[0], atol=1e-4)
    assert found_in(changed)[1] == ()


def pooled(indices):
    """Two convolutions, the first of which has dead channels, and a pool between them."""
    first, second = (rng.standard_normal(shape).astype(np.float32) for shape in ((8, 3, 1, 1), (4, 8, 1, 1)))
    first[[2, 5]] = 0
    nodes = [
        node("Conv", "x W1", "a"),
        node("MaxPool", "a", "p i" if indices else "p", kernel_shape=[2, 2]),
        node("Conv", "p W2", "y"),
    ]
    outputs = ["y", "i"] if indices else ["y"]
    return model_of(nodes, {"x": ([1, 3, 6, 6], np.float32)}, outputs, {"W1": first, "W2": second})


def test_channels_stay_where_a_second_result_counts_them():
    assert found_in(pooled(False))[1] != ()
    assert found_in(pooled(True))[1] == ()


def test_the_means_of_a_norm_keep_what_they_are_of():
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 6), (6, 5)))
    up[:, 2] = 0
    weights = {"U": up, "D": down, "s": np.ones(4, np.float32)}

    def normed(results, outputs):
        nodes = [node("MatMul", "x U", "h"), node("Transpose", "h", "t", perm=[0, 2, 1])]
        nodes += [node("LayerNormalization", "t s", results), node("Transpose", "n", "b", perm=[0, 2, 1])]
        return model_of([*nodes, node("MatMul", "b D", "y")], {"x": ([2, 4, 5], np.float32)}, outputs, weights)

    assert found_in(normed("n m", ["y", "m"]))[1] == ()


def test_a_small_weight_of_a_large_activation_is_no_zero():
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 12), (12, 5)))
    for dtype, scale in ((np.float32, 1e16), (np.float16, 1e3)):
        wide, narrow = up.copy(), down.copy()
        wide[:, 3] *= scale
        narrow[3] /= scale**1.5
        proto = ffn("Relu", wide.astype(dtype), narrow.astype(dtype), np.zeros(12, dtype))
        assert found_in(proto)[1] == ()


def test_a_zero_times_what_is_infinite_is_not_zero():
    up, down = (rng.standard_normal(shape).astype(np.float32) for shape in ((5, 12), (12, 5)))
    up[:, 3] = 0
    factor = np.ones(12, np.float32)
    nodes = [node("MatMul", "x U", "a"), node("Mul", "a f", "b"), node("MatMul", "b D", "y")]
    for infinite in (False, True):
        factor[3] = np.inf if infinite else 2
        proto = model_of(nodes, {"x": ([4, 5], np.float32)}, ["y"], {"U": up, "D": down, "f": factor})
        assert (found_in(proto)[1] == ()) == infinite
