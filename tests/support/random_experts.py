"""Random models with experts of which some hidden units do nothing, in every form that runs on a processor."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from reference import model as model_of
from reference import node

__all__ = ["experts"]

MS = "com.microsoft"
FUNCTIONS = ("gelu", "identity", "relu", "silu", "swiglu")


def experts(seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """One or two operators of experts between products or not, some weights shared, of all experts or of one dead."""
    rng = np.random.default_rng(seed)
    width, count, rows = int(rng.choice([4, 6, 8])), int(rng.choice([1, 2, 4])), int(rng.choice([1, 3, 7]))
    constants: dict[str, np.ndarray] = {"router": rng.standard_normal((width, count)).astype(np.float32)}
    nodes = [node("MatMul", "x router", "r", "route")]
    value = "x"
    if rng.random() < 0.5:
        constants["before"] = rng.standard_normal((width, width)).astype(np.float32)
        nodes.append(node("MatMul", "x before", "h", "before"))
        value = "h"
    held: dict[str, Any] | None = None
    for place in range(int(rng.choice([1, 1, 2]))):
        same = held is not None and rng.random() < 0.3
        held = held if same else _one(rng, place, width, count)
        assert held is not None
        constants |= held["constants"]
        k = int(rng.integers(1, count + 1))
        names = f"{value} r {held['names']}"
        nodes.append(node("MoE", names, f"m{place}", f"moe{place}", MS, k=k, **held["attributes"]))
        value = f"m{place}"
        if rng.random() < 0.4:
            nodes.append(node("Add", f"{value} x", f"s{place}", f"sum{place}"))
            value = f"s{place}"
    if rng.random() < 0.5:
        constants["after"] = rng.standard_normal((width, 3)).astype(np.float32)
        constants["after"][rng.random(width) < 0.3] = 0
        nodes.append(node("MatMul", f"{value} after", "z", "after"))
        value = "z"
    nodes.append(node("Identity", value, "y", "last"))
    proto = model_of(nodes, {"x": ["n", width]}, ["y"], constants, opset=17, ir_version=9, domains=[MS])
    return proto, {"x": rng.standard_normal((rows, width)).astype(np.float32)}


def _one(rng: np.random.Generator, place: int, width: int, count: int) -> dict[str, Any]:
    """Weights of experts by name, of which units are zero before, behind, in some experts only, or nowhere."""
    hidden = int(rng.choice([3, width, 16, 24, 40]))
    function = str(rng.choice(FUNCTIONS))
    paired = function == "swiglu"
    each = 2 if paired else 1
    up = rng.standard_normal((count, hidden, each, width)).astype(np.float32)
    bias = rng.standard_normal((count, hidden, each)).astype(np.float32)
    down = rng.standard_normal((count, width, hidden)).astype(np.float32) / 4
    some = rng.random((5, hidden)) < rng.choice([0.0, 0.2, 0.6], (5, 1))
    up[:, some[0]], bias[:, some[0]] = 0, 0
    up[:, some[1]] = 0  # a bias that is alive
    down[:, :, some[2]] = 0
    down[0, :, some[3]] = 0  # in one of the experts
    up[:, some[4], 0], bias[:, some[4], 0] = 0, 0  # one of two rows
    if rng.random() < 0.1:
        up[0, 0, 0, 0] = rng.choice([np.inf, np.nan])
    stored = {f"up{place}": up.reshape(count, -1, width), f"down{place}": down}
    names = [f"up{place}", "-", f"down{place}", "-"]
    if rng.random() < 0.7:
        stored[f"bu{place}"], names[1] = bias.reshape(count, -1), f"bu{place}"
    if rng.random() < 0.5:
        stored[f"bd{place}"] = rng.standard_normal((count, width)).astype(np.float32)
        names[3] = f"bd{place}"
    attributes: dict[str, Any] = {"activation_type": function}
    if paired:
        attributes |= {"swiglu_fusion": 1, "activation_alpha": 1.702, "activation_beta": float(rng.choice([0.0, 1.0]))}
        attributes |= {"swiglu_limit": 7.0} if rng.random() < 0.5 else {}
    if rng.random() < 0.3:
        attributes["normalize_routing_weights"] = 1
    return {"constants": stored, "names": " ".join(names), "attributes": attributes}
