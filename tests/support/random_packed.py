"""Random attention whose queries, keys and values are parts of one product, of which some heads do nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
from reference import model as model_of
from reference import node

__all__ = ["packed"]

MS = "com.microsoft"
WIDTH, LONG = 8, 4


def packed(seed: int) -> tuple[Any, dict[str, Any]]:
    """An attention layer in one of the forms that exporters and ONNX Runtime's fusions write, and feeds."""
    rng = np.random.default_rng(seed)

    def normal(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(np.float32)

    def some(extent: int) -> Any:
        return np.flatnonzero(rng.random(extent) < rng.choice([0.0, 0.3, 0.6]))

    form = str(rng.choice(["Attention", "GroupQueryAttention", "split", "gathered", "sliced"]))
    keys, each = int(rng.integers(1, 4)), 8
    served = int(rng.choice([1, 2])) if form == "GroupQueryAttention" else 1
    heads, value = keys * served, 16 if form == "Attention" and rng.random() < 0.4 else each
    U, hidden = normal(WIDTH, 6), 6
    U[:, some(6)] = 0
    nodes = [
        node("MatMul", "x U", "u0"),
        node("Add", "u0 ub", "u1"),
        node(str(rng.choice(["Relu", "Tanh"])), "u1", "u"),
    ]
    constants: dict[str, Any] = {"U": U, "ub": normal(6) * (rng.random(6) < 0.5).astype(np.float32)}
    parts = [normal(hidden, heads, each), normal(hidden, keys, each), normal(hidden, keys, value)]
    biases = [normal(heads, each), normal(keys, each), normal(keys, value)]
    gone = some(keys)
    parts[2][:, gone] = 0
    biases[2][gone[: int(rng.integers(0, gone.size + 1))]] = 0
    if rng.random() < 0.3:
        parts[2][:, :, some(value)] = 0
    for part in parts:
        part[some(hidden)] = 0
    out = normal(heads, value, WIDTH)
    out[some(heads)] = 0
    constants |= {"W": np.concatenate([part.reshape(hidden, -1) for part in parts], axis=1)}
    constants |= {"b": np.concatenate([bias.reshape(-1) for bias in biases]), "O": out.reshape(-1, WIDTH)}
    if form == "Attention":
        told = {"qkv_hidden_sizes": [heads * each, keys * each, keys * value]} if value != each else {}
        causal = {"unidirectional": 1} if rng.random() < 0.3 else {}
        nodes.append(node("Attention", "u W b", "a", "attend", MS, num_heads=heads, **told, **causal))
    else:
        nodes += [node("MatMul", "u W", "p0"), node("Add", "p0 b", "p")]
        nodes += _attended(form, heads, keys, each, constants)
    nodes.append(node("MatMul", "a O", "y"))
    x = ([2, LONG, WIDTH], np.float32)
    return model_of(nodes, {"x": x}, ["y"], constants, opset=17, domains=[MS], ir_version=9), {
        "x": normal(2, LONG, WIDTH)
    }


def _attended(form: str, heads: int, keys: int, each: int, constants: dict[str, Any]) -> list[Any]:
    """What becomes of the packed product `p`, as nodes that make `a`."""
    if form == "GroupQueryAttention":
        constants |= {"s": np.full(2, LONG - 1, np.int32), "t": np.array(LONG, np.int32)}
        return [node(form, "p - - - - s t", "a", "attend", MS, num_heads=heads, kv_num_heads=keys)]
    constants |= {"five": np.array([0, 0, 3, heads, each]), "four": np.array([0, 0, heads, each])}
    constants |= {"three": np.array([0, 0, heads * each])}
    nodes = []
    if form == "gathered":
        nodes += [node("Reshape", "p five", "r"), node("Transpose", "r", "t5", perm=[2, 0, 3, 1, 4])]
        for place, name in enumerate("qkv"):
            constants[f"i{place}"] = np.array(place)
            nodes.append(node("Gather", f"t5 i{place}", f"{name}4", axis=0))
    else:
        if form == "split":
            nodes.append(node("Split", "p sizes", "q k v", axis=2))
            constants["sizes"] = np.full(3, heads * each)
        else:
            for place, name in enumerate("qkv"):
                own = {"0": place * heads * each, "1": (place + 1) * heads * each}
                constants |= {f"e{place}{key}": np.array([number]) for key, number in own.items()}
                nodes.append(node("Slice", f"p e{place}0 e{place}1 last", name))
            constants["last"] = np.array([2])
        for name in "qkv":
            nodes += [
                node("Reshape", f"{name} four", f"{name}3"),
                node("Transpose", f"{name}3", f"{name}4", perm=[0, 2, 1, 3]),
            ]
    nodes += [
        node("Transpose", "k4", "kt", perm=[0, 1, 3, 2]),
        node("MatMul", "q4 kt", "s"),
        node("Softmax", "s", "w", axis=-1),
    ]
    nodes += [node("MatMul", "w v4", "c"), node("Transpose", "c", "ct", perm=[0, 2, 1, 3])]
    return [*nodes, node("Reshape", "ct three", "a")]
