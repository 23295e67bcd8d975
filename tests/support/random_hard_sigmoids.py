"""Hard sigmoids and products with them that are written out at random, and what only looks like one."""

from __future__ import annotations

from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def random_hard_sigmoid(seed: int) -> tuple[onnx.ModelProto, bool]:
    """A model of 'x' (n, 4, 6), and whether it has one."""
    rng = Random(seed)
    opset, rank = rng.choice([9, 11, 13, 17]), 3
    made: list[onnx.NodeProto] = []
    constants: dict[str, np.ndarray] = {}
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 6])]
    outputs: list[str] = []
    is_one = True

    def constant(number: float) -> str:
        nonlocal is_one
        shape = rng.choice([(), (), (1,), (1,) * rank, (1,) * (rank + 1)])
        is_one = False if len(shape) > rank else is_one
        name = f"c{len(constants)}"
        constants[name] = np.full(shape, number, np.float32)
        if rng.random() < 0.04:  # callers may give another
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
            is_one = False
        if rng.random() < 0.1:
            return op("Identity", name)
        return name

    def op(kind: str, *names: str, **attributes) -> str:
        made.append(helper.make_node(kind, list(names), [f"v{len(made)}"], f"{kind}{len(made)}", **attributes))
        return made[-1].output[0]

    def either(kind: str, one: str, other: str) -> str:
        return op(kind, one, other) if rng.random() < 0.5 else op(kind, other, one)

    def seen(value: str) -> str:
        nonlocal is_one
        if rng.random() < 0.04:
            is_one = False
            outputs.append(value if rng.random() < 0.5 else op("Relu", value))
        return value

    start = op(rng.choice(["Tanh", "Neg", "Relu"]), "x") if rng.random() < 0.5 else "x"
    height, added = rng.choice([6.0, 6.0, 1.0, 2.5, 7.0, 1e-3]), rng.choice([3.0, 3.0, 0.5, -1.0, 0.0])
    low = 0.0 if rng.random() < 0.9 else -1.0
    total = seen(either("Add", start, constant(added)))
    if opset < 11:
        clipped = op("Clip", total, min=low, max=height)
    else:
        names = [f"low{len(constants)}", f"high{len(constants)}"]
        constants |= {names[0]: np.float32(low), names[1]: np.float32(height)}
        clipped = op("Clip", total, *names)
    scale = height if rng.random() < 0.9 else height + rng.choice([1, 1e-4])
    is_one = is_one and low == 0 and scale == height and abs(added) <= 4 * height
    value, times = seen(clipped), rng.random() < 0.6
    if times:
        other = start if rng.random() < 0.9 else op("Neg", start)
        is_one = is_one and other == start
        value = seen(either("Mul", value, other))
    divides = rng.random() < 0.7
    value = op("Div", value, constant(scale)) if divides else either("Mul", value, constant(1 / scale))
    if rng.random() < 0.5:
        value = op(rng.choice(["Relu", "Identity", "Neg"]), value)
    weights = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    told = [helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in dict.fromkeys([*outputs, value])]
    graph = helper.make_graph(made, "g", inputs, told, weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), is_one
