"""Random models with experts of packed integers, some hidden units of which do nothing, as a processor runs them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from reference import model as model_of
from reference import node

__all__ = ["packed", "packed_experts"]

MS = "com.microsoft"
FUNCTIONS = ("gelu", "identity", "relu", "silu", "swiglu")
UP, DOWN = ("up", "su", "zu"), ("down", "sd", "zd")


def packed(codes: np.ndarray, bits: int) -> np.ndarray:
    """Rows of small integers as bytes, the lowest bits first, the last byte filled up with zeros."""
    each = 8 // bits
    short = -codes.shape[-1] % each
    filled = np.pad(codes, [(0, 0)] * (codes.ndim - 1) + [(0, short)])
    parts = filled.reshape(*codes.shape[:-1], -1, each).astype(np.uint32)
    return (parts << (bits * np.arange(each, dtype=np.uint32))).sum(axis=-1).astype(np.uint8)


def packed_experts(seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """One or two operators of experts in a row, with the same weights or not."""
    rng = np.random.default_rng(seed)
    block = int(rng.choice([0, 0, 16, 32]))
    width, count = int(rng.choice([16, 32, 64]) if block < 32 else rng.choice([32, 64])), int(rng.choice([1, 2, 4]))
    constants: dict[str, np.ndarray] = {"router": rng.standard_normal((width, count)).astype(np.float32)}
    nodes = [node("MatMul", "x router", "r", "route")]
    value, held = "x", None
    for place in range(int(rng.choice([1, 1, 2]))):
        held = held if held is not None and rng.random() < 0.3 else _one(rng, place, width, count, block)
        constants |= held["constants"]
        k = int(rng.integers(1, count + 1))
        nodes.append(
            node("QMoE", f"{value} r {held['names']}", f"m{place}", f"moe{place}", MS, k=k, **held["attributes"])
        )
        value = f"m{place}"
        if rng.random() < 0.4:
            nodes.append(node("Add", f"{value} x", f"s{place}", f"sum{place}"))
            value = f"s{place}"
    nodes.append(node("Identity", value, "y", "last"))
    proto = model_of(nodes, {"x": ["n", width]}, {"y": ["n", width]}, constants, opset=17, ir_version=9, domains=[MS])
    return proto, {"x": rng.standard_normal((int(rng.choice([1, 3, 7])), width)).astype(np.float32)}


def _one(rng: np.random.Generator, place: int, width: int, count: int, block: int) -> dict[str, Any]:
    """Weights of experts by name, of which units are zero before, behind, in some experts only, or nowhere."""
    hidden = int(rng.choice([32, 64, 96, 160]))
    function = str(rng.choice(FUNCTIONS))
    each = 2 if function == "swiglu" else 1
    bits = int(rng.choice([4, 4, 8]))
    own = [bits, int(rng.choice([4, 8])) if rng.random() < 0.03 else bits]
    has_zeros = rng.random() < 0.5
    some = rng.random((4, hidden)) < rng.choice([0.0, 0.3, 0.9], (4, 1))
    for row in some:  # whole blocks of them, as well
        for start in range(0, hidden, 32):
            row[start : start + 32] |= rng.random() < 0.3
    points = [
        rng.integers(0, 1 << one, shape)
        for one, shape in zip(own, _scales(width, hidden, each, count, block), strict=True)
    ]
    if not has_zeros:
        points = [np.full(one.shape, 1 << (of - 1)) for one, of in zip(points, own, strict=True)]
    scales = [rng.uniform(0.01, 0.1, one.shape).astype(np.float32) for one in points]
    up = rng.integers(0, 1 << own[0], (count, hidden, each, width))
    down = rng.integers(0, 1 << own[1], (count, width, hidden))
    bias = rng.standard_normal((count, hidden, each)).astype(np.float32)
    zero_up = np.repeat(
        points[0].reshape(count, hidden, each, -1), width // (points[0].size // (count * hidden * each)), 3
    )
    zero_down = np.repeat(points[1].reshape(count, width, -1), hidden // (points[1].size // (count * width)), 2)
    up[:, some[0]], bias[:, some[0]] = zero_up[:, some[0]], 0
    up[:, some[1]] = zero_up[:, some[1]]  # a bias that is alive
    down[:, :, some[2]] = zero_down[:, :, some[2]]
    down[0, :, some[3]] = zero_down[0, :, some[3]]  # in one of the experts
    held = {"up": packed(up.reshape(count, -1, width), own[0]), "su": scales[0], "zu": packed(points[0], own[0])}
    held |= {"down": packed(down, own[1]), "sd": scales[1], "zd": packed(points[1], own[1])}
    held |= {"bu": bias.reshape(count, -1), "bd": rng.standard_normal((count, width)).astype(np.float32)}
    kept = {*UP[:2], *DOWN[:2]} | ({"zu", "zd"} if has_zeros else set())
    kept |= {name for name in ("bu", "bd") if rng.random() < 0.6}
    order = ["up", "su", "bu", "down", "sd", "bd", "", "", "", "zu", "zd"]
    names = [f"{name}{place}" if name in kept else "-" for name in order]
    attributes: dict[str, Any] = {"activation_type": function, "expert_weight_bits": own[0]}
    attributes |= {"fc2_expert_weight_bits": own[1]} if own[1] != own[0] else {}
    attributes |= {"block_size": block} if block else {}
    if each == 2:
        attributes |= {"swiglu_fusion": 1, "activation_alpha": 1.702, "activation_beta": float(rng.choice([0.0, 1.0]))}
        attributes |= {"swiglu_limit": 7.0} if rng.random() < 0.5 else {}
    if rng.random() < 0.3:
        attributes["normalize_routing_weights"] = 1
    stored = {f"{name}{place}": held[name] for name in kept}
    return {"constants": stored, "names": " ".join(names), "attributes": attributes}


def _scales(width: int, hidden: int, each: int, count: int, block: int) -> list[tuple[int, ...]]:
    """The shapes of the scales of both products."""
    shapes = [(count, hidden * each), (count, width)]
    return [(*one, inner // block) for one, inner in zip(shapes, (width, hidden), strict=True)] if block else shapes
