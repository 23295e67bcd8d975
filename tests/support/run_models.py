"""Small models for sessions: one product, and one beside nodes that only compute shapes."""

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

W = np.arange(12, dtype=np.float32).reshape(3, 4)


def model(nodes, inputs, outputs, weights=(), domains=()):
    graph = h.make_graph(nodes, "g", inputs, outputs, [nh.from_array(array, name) for name, array in weights])
    opsets = [h.make_opsetid("", 17), *(h.make_opsetid(domain, 1) for domain in domains)]
    return h.make_model(graph, opset_imports=opsets, ir_version=8)


def value(name, shape, dtype=T.FLOAT):
    return h.make_tensor_value_info(name, dtype, shape)


def linear():
    node = h.make_node("MatMul", ["x", "W"], ["y"], name="product")
    return model([node], [value("x", ["batch", 3])], [value("y", ["batch", 4])], [("W", W)])


def shapes_and_products():
    """One MatMul; five nodes that only compute the shape of the result; an unnamed Relu."""
    nodes = [
        h.make_node("Shape", ["x"], ["s"], name="shape"),
        h.make_node("Gather", ["s", "zero"], ["n"], name="pick"),
        h.make_node("Mul", ["n", "two"], ["m"], name="double"),
        h.make_node("Unsqueeze", ["m", "ax"], ["u"], name="lift"),
        h.make_node("Concat", ["u", "half"], ["to"], name="join", axis=0),
        h.make_node("MatMul", ["x", "W"], ["a"], name="product"),
        h.make_node("Reshape", ["a", "to"], ["r"], name="fold"),
        h.make_node("Relu", ["r"], ["y"]),
    ]
    ints = {"zero": np.array(0), "two": np.array(2), "ax": np.array([0]), "half": np.array([2])}
    return model(nodes, [value("x", ["n", 3])], [value("y", ["m", 2])], [("W", W), *ints.items()])
