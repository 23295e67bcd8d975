"""Random networks of convolutions of integers, of which some channels hold nothing but their zero points."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import helper
from random_channels import RandomNetwork

__all__ = ["integers"]

PIXELS = 7


def integers(seed: int) -> tuple[Any, dict[str, Any]]:
    """Convolutions of integers one after another, in groups or not, read as floats at the end, and feeds."""
    made = RandomNetwork(np.random.default_rng(seed))
    rng, channels = made.rng, 4
    while_running = rng.random() < 0.35
    x, kind = "x", rng.choice([np.uint8, np.int8])
    state = _quantised(made, x, kind)
    for _ in range(int(rng.integers(2, 4))):
        if while_running:
            x, channels = _while_running(made, x, channels)
            state = _quantised(made, x, kind)
        else:
            state, channels = _linear(made, state, channels, kind)
            if rng.random() < 0.3:
                state = (made.op("MaxPool", state[0], kernel_shape=[2, 2], pads=[0, 0, 1, 1]), *state[1:])
            if rng.random() < 0.4:
                x = made.op("DequantizeLinear", *state)
                x = made.op(str(rng.choice(["Relu", "Tanh", "HardSwish"])), x)
                state = _quantised(made, x, kind)
    y = x if while_running else made.op("DequantizeLinear", *state)
    y = made.op("Gemm", made.op("Flatten", made.op("GlobalAveragePool", y)), made.normal(channels, 3))
    return made.model(["n", 4, PIXELS, PIXELS], y, 2), {"x": made.normal(2, 4, PIXELS, PIXELS)}


def _quantised(made: RandomNetwork, x: str, kind: Any) -> tuple[Any, ...]:
    """Integers of a type, with their scale and zero point."""
    scale, zero = np.float32(2.0 ** -int(made.rng.integers(3, 6))), kind(made.rng.choice([0, 3, 100]))
    return made.op("QuantizeLinear", x, np.asarray(scale), np.asarray(zero)), np.asarray(scale), np.asarray(zero)


def _kernels(made: RandomNetwork, channels: int, kind: Any) -> tuple[Any, Any, int, dict[str, Any]]:
    """A weight of which some kernels, and some channels of all, are its zero point; attributes."""
    rng, out, k = made.rng, int(made.rng.choice([2, 4, 6])), int(made.rng.choice([1, 3]))
    groups = 2 if channels % 2 == 0 and rng.random() < 0.3 else 1
    if rng.random() < 0.25:
        groups = out = channels
    several = rng.random() < 0.4 and kind == np.int8
    points = rng.integers(-2, 3, out if several else ()).astype(np.int8) if kind == np.int8 else np.uint8(128)
    whole = np.broadcast_to(np.reshape(points, (-1, 1, 1, 1)) if several else points, (out, channels // groups, k, k))
    info = np.iinfo(kind)
    W = np.where(rng.random(whole.shape) < 0.9, rng.integers(info.min // 2, info.max // 2, whole.shape), whole)
    W = W.astype(kind)
    for place in made.some(out):
        W[place] = whole[place]
    for place in made.some(channels // groups):
        W[:, place] = whole[:, place]
    told = {"group": groups, "pads": [k // 2 if rng.random() < 0.5 else 0] * 4}
    return W, np.asarray(points), out, told


def _linear(made: RandomNetwork, state: tuple[Any, ...], channels: int, kind: Any) -> tuple[tuple[Any, ...], int]:
    """A QLinearConv, with a bias or without, a scale for each kernel or one for all."""
    rng = made.rng
    W, points, out, told = _kernels(made, channels, np.int8 if kind == np.int8 or rng.random() < 0.5 else np.uint8)
    scales = rng.random(out).astype(np.float32) / 64 + np.float32(0.01)
    scale, zero = np.asarray(np.float32(2.0 ** -int(rng.integers(1, 5)))), np.asarray(kind(rng.choice([0, 3, 100])))
    bias = [(rng.integers(-300, 300, out) * (rng.random(out) < 0.5)).astype(np.int32)] if rng.random() < 0.5 else []
    several = rng.random() < 0.5 or points.ndim
    own = scales if several else np.asarray(scales[0]), _each(points, several, out)
    y = made.op("QLinearConv", *state, W, *own, scale, zero, *bias, **told)
    return (y, scale, zero), out


def _each(points: Any, several: Any, out: int) -> Any:
    """Zero points as there are scales: one, or one for each kernel."""
    return np.full(out, points) if several and not points.ndim else points


def _while_running(made: RandomNetwork, x: str, channels: int) -> tuple[str, int]:
    """A ConvInteger of what is quantised while the model runs, scaled back."""
    W, points, out, told = _kernels(made, channels, np.int8 if made.rng.random() < 0.5 else np.uint8)
    names = [made.fresh() for _ in range(3)]
    made.nodes.append(helper.make_node("DynamicQuantizeLinear", [x], names))
    y = made.op("ConvInteger", names[0], W, names[2], points if not points.ndim else np.asarray(points[0]), **told)
    y = made.op("Mul", made.op("Mul", made.op("Cast", y, to=1), names[1]), np.asarray(np.float32(0.02)))
    return made.op(str(made.rng.choice(["Relu", "Tanh", "Identity"])), y), out
