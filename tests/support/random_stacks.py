"""Products with stacks of matrices on either side, whole or picked entry by entry, of which the parts are planted."""

from __future__ import annotations

from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scission.models.matrix import weight

ENTRIES = 4  # of a stack


def random_stack(seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray], bool]:
    """A model, its feeds, and whether its product is one with matrices that fall apart in two."""
    rng, values = Random(seed), np.random.default_rng(seed)
    sizes = [(rng.randint(2, 4), rng.randint(2, 4)) for _ in range(2)]
    whole = rng.random() < 0.15  # matrices of which only each alone falls apart
    stack = np.stack([planted(values, sizes, entry if whole else 0) for entry in range(ENTRIES)])
    K = stack.shape[1]
    picked, left, einsum = rng.random() < 0.6, rng.random() < 0.4, rng.random() < 0.35
    held = "w" if picked else "W"
    nodes, weights, feeds = [], {"W": stack.swapaxes(1, 2).copy() if left else stack}, {}
    inputs = []
    if picked:
        shape = rng.choice([(3,), (2, 3), (1,), (1, 1)] if einsum else [(), (3,), (2, 3), (1,)])
        feeds["index"] = values.integers(-ENTRIES, ENTRIES, shape).astype(rng.choice([np.int64, np.int32]))
        axis = {} if rng.random() < 0.5 else {"axis": rng.choice([0, -3])}
        nodes.append(helper.make_node("Gather", ["W", "index"], ["w"], "pick", **axis))
        kind = helper.np_dtype_to_tensor_dtype(feeds["index"].dtype)
        inputs.append(
            helper.make_tensor_value_info("index", kind, shape if rng.random() < 0.5 else [None] * len(shape))
        )
    front = feeds["index"].shape if picked else (ENTRIES,)
    extra = (rng.randint(1, 3),) if rng.random() < 0.3 and not einsum else ()
    rows = rng.randint(1, 4)
    if einsum:
        letters = "ab"[: len(front)]
        matrix = letters + ("nk" if left else "kn")
        x, out = rng.choice(
            [(letters + "k", letters + "n"), (letters + "rk", letters + "rn"), ("k" + letters, "n" + letters)]
        )
        extents = dict(zip(letters, front, strict=True)) | {"k": K, "r": rows}
        feeds["x"] = values.standard_normal([extents[one] for one in x]).astype(np.float32)
        swapped = rng.random() < 0.3
        terms, operands = (f"{matrix},{x}", [held, "x"]) if swapped else (f"{x},{matrix}", ["x", held])
        nodes.append(helper.make_node("Einsum", operands, ["p"], "product", equation=f"{terms}->{out}"))
    else:
        own = (K, rows) if left else (rows, K)
        feeds["x"] = values.standard_normal((*extra, *front, *own)).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [held, "x"] if left else ["x", held], ["p"], "product"))
    last = "p"
    if rng.random() < 0.4:
        nodes.append(helper.make_node(rng.choice(["Relu", "Neg"]), ["p"], ["r"], "behind"))
        last = "r"
    alone = True
    told = [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)]
    if picked and rng.random() < 0.1:
        told.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, None))
        alone = False
    inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, feeds["x"].shape))
    held_weights = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", inputs, told, held_weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model, feeds, alone and not whole


def planted(values: np.random.Generator, sizes, seed: int) -> np.ndarray:
    """A matrix of two blocks, whose places depend on the seed."""
    made, _ = weight(np.random.default_rng(seed), sizes)
    return np.where(made != 0, values.standard_normal(made.shape), 0).astype(np.float32)
