"""Small models with blocks planted in noise, and labelled data for them, as files."""

from itertools import pairwise

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIGMA = 0.05


def network(rng, sizes=(48, 96, 48), blocks=2, signal=6.0):
    """MatMul - Relu - MatMul … without biases; nodes are called 'l0', 'l1' …, weights 'W0', 'W1' …

    The blocks of one weight go on in the next, so that each chain of blocks is a network of its own.
    """
    labels = [rng.permutation(np.arange(size) % blocks) for size in sizes]
    weights, nodes, value = [], [], "x"
    for index, (left, right) in enumerate(pairwise(labels)):
        inside = left[:, None] == right[None, :]
        noise = rng.standard_normal((2, left.size, right.size)) * SIGMA
        weights.append((noise[0] + inside * noise[1] * signal).astype(np.float32))
        last = index == len(sizes) - 2
        product = "y" if last else f"h{index}"
        nodes.append(helper.make_node("MatMul", [value, f"W{index}"], [product], f"l{index}"))
        if not last:
            value = f"r{index}"
            nodes.append(helper.make_node("Relu", [product], [value], f"relu{index}"))
    graph = helper.make_graph(
        nodes,
        "planted",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", sizes[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", sizes[-1]])],
        [numpy_helper.from_array(weight, f"W{index}") for index, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model, weights, labels
