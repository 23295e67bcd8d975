"""Small models for tests of what their linears read and make."""

import numpy as np
from onnx import helper as h
from onnx import numpy_helper as nh

from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.models.planted.products import build


def made(kind, seed=4, **options):
    planted = build(np.random.default_rng(seed), kind, **options)
    model = load(planted.model)
    return planted, model, survey(model.graph)


def graph(nodes, weights, sizes, **outputs):
    """A float model with one input x (n, K): weights by name, outputs with their width."""
    inputs = [h.make_tensor_value_info("x", 1, ["n", sizes])]
    ends = [h.make_tensor_value_info(name, 1, ["n", width]) for name, width in outputs.items()]
    body = h.make_graph(nodes, "g", inputs, ends, [nh.from_array(np.float32(w), name) for name, w in weights.items()])
    return h.make_model(body, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def mlp(rng, hidden=6, gate="Relu"):
    """x (n, 4) -> hidden -> gate -> 3, and a second linear on x."""
    nodes = [
        h.make_node("MatMul", ["x", "A"], ["a"], name="up"),
        h.make_node("Add", ["a", "b"], ["h"]),
        h.make_node(gate, ["h"], ["g"]),
        h.make_node("MatMul", ["g", "B"], ["y"], name="down"),
        h.make_node("MatMul", ["x", "C"], ["z"], name="side"),
    ]
    weights = {"A": rng.standard_normal((4, hidden)), "b": rng.standard_normal(hidden)}
    weights |= {"B": rng.standard_normal((hidden, 3)), "C": rng.standard_normal((4, 2))}
    return graph(nodes, weights, 4, y=3, z=2), weights
