"""Networks whose weights are nearly products of smaller ones, of a kind that is known, and samples for them."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

NOISE = 1e-3  # of the entries that a weight has besides


def low_rank(rng, K, N, rank):
    return rng.standard_normal((K, rank)) @ rng.standard_normal((rank, N)) / np.sqrt(K * rank)


def in_blocks(rng, K, N, blocks):
    """Blocks of features in no order at all, with entries of variance as in a dense weight of so many inputs."""
    inputs, outputs = (rng.permutation(np.arange(size) % blocks) for size in (K, N))
    return (inputs[:, None] == outputs) * rng.standard_normal((K, N)) * np.sqrt(blocks / K)


def noisy(rng, weight, noise=NOISE):
    return (weight + noise * rng.standard_normal(weight.shape)).astype(np.float32)


def two_layers(up, down, bias=None):
    """x - Gemm - Relu - MatMul - Add - y, with the addresses 'up' and 'down'."""
    (K, H), N = up.shape, down.shape[1]
    bias = np.zeros(H, np.float32) if bias is None else bias
    nodes = [
        helper.make_node("Gemm", ["x", "U", "b"], ["h"], "up"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "D"], ["d"], "down"),
        helper.make_node("Add", ["d", "x"], ["y"], "sum") if N == K else helper.make_node("Identity", ["d"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "projectable",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", K])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", N])],
        [numpy_helper.from_array(one, name) for name, one in (("U", up), ("b", bias), ("D", down))],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def planted(features=256, hidden=512, rank=16, blocks=8, noise=NOISE, seed=0):
    """Of two layers, the first blocks and a product of this rank, the second a product of this rank alone."""
    rng = np.random.default_rng(seed)
    up = in_blocks(rng, features, hidden, blocks) + low_rank(rng, features, hidden, rank)
    bias = rng.standard_normal(hidden).astype(np.float32)
    return two_layers(noisy(rng, up, noise), noisy(rng, low_rank(rng, hidden, features, rank), noise), bias)


def correlated(features=256, count=16, rows=64, seed=1):
    """Feeds of inputs that are correlated and have means; seed: of what is drawn from one distribution."""
    same = np.random.default_rng(0)
    mixed = np.eye(features) + same.standard_normal((features, features)) / np.sqrt(features)
    mean, rng = same.standard_normal(features), np.random.default_rng(seed)
    return [{"x": (rng.standard_normal((rows, features)) @ mixed + mean).astype(np.float32)} for _ in range(count)]
