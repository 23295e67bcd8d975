"""Random networks with channels that do nothing, of every kind: pictures and moved features beside those of layers."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from random_channels import RandomNetwork, activated, attention, conv, dense, linear, sparse

__all__ = ["KINDS", "network"]

WIDTH, PIXELS = 6, 8
TALLEST = 12  # pixels, before pictures are made smaller
Made = tuple[onnx.ModelProto, dict[str, Any], RandomNetwork]


def pictures(made: RandomNetwork) -> Made:
    """Convolutions both ways, skipped and joined, between everything that is done to pictures."""
    rng, x, channels, tall = made.rng, "x", 4, PIXELS
    earlier: list[tuple[str, int, int]] = []
    for _ in range(int(rng.integers(3, 7))):
        x, channels, tall = kernels(made, x, channels, tall)
        if rng.random() < 0.7:
            x = activated(made, x)
        made.watched.append((x, 1))
        x, tall = windowed(made, x, tall)
        x = channelwise(made, x, channels)
        made.watched.append((x, 1))
        x, channels = joined(made, x, channels, tall, earlier)
        earlier.append((x, channels, tall))
    kind = str(rng.choice(["GlobalAveragePool", "GlobalMaxPool", "ReduceSum", "ReduceMax", "ReduceL2"]))
    x = made.op(kind, x) if kind.startswith("Global") else made.op(kind, x, *(_axes(made, kind, [2, 3])))
    x = made.op("Flatten", x)
    y = made.op("Gemm", x, sparse(made, channels, 3))
    return made.model(["n", 4, PIXELS, PIXELS], y, 2), {"x": made.normal(2, 4, PIXELS, PIXELS)}, made


def kernels(made: RandomNetwork, x: str, channels: int, tall: int) -> tuple[str, int, int]:
    """A convolution, or one the other way; in groups, of each channel, with zeros around or without."""
    rng, out, k = made.rng, int(made.rng.choice([2, 4, 6])), int(made.rng.choice([1, 3]))
    groups = 2 if channels % 2 == 0 and out % 2 == 0 and rng.random() < 0.3 else 1
    if rng.random() < 0.2:
        groups = out = channels
    turned = rng.random() < 0.3
    shape = (channels, out // groups) if turned else (out, channels // groups)
    W = made.normal(*shape, k, k)
    W[made.some(shape[0])] = 0
    W[:, made.some(shape[1])] = 0
    around = k // 2 if rng.random() < 0.5 or tall <= k else 0
    bias = [made.normal(out)] if rng.random() < 0.5 else []
    x = made.op("ConvTranspose" if turned else "Conv", x, W, *bias, group=groups, pads=[around] * 4)
    more = k - 1 - 2 * around
    return x, out, tall + more if turned else tall - more


def windowed(made: RandomNetwork, x: str, tall: int) -> tuple[str, int]:
    """Something about neighbours, or about all places of a channel."""
    rng = made.rng
    if tall > TALLEST:
        return made.op("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]), tall // 2
    kind = rng.choice(["none", "none", "Pad", "Resize", "pool", "InstanceNormalization", "Tile", "squeeze"])
    if kind == "Pad":
        mode = str(rng.choice(["constant", "edge", "reflect"]))
        more = [np.float32(rng.choice([0, 1.5]))] if mode == "constant" and rng.random() < 0.5 else []
        pads = np.array([0, 0, 1, 1, 0, 0, 1, 1])
        return made.op("Pad", x, pads, *(np.asarray(one) for one in more), mode=mode), tall + 2
    if kind == "Resize":
        mode = str(rng.choice(["nearest", "linear", "cubic"]))
        return made.op("Resize", x, "", np.array([1, 1, 2, 2], np.float32), mode=mode), 2 * tall
    if kind == "pool" and tall > 2:
        pool = str(rng.choice(["MaxPool", "AveragePool", "LpPool"]))
        return made.op(pool, x, kernel_shape=[2, 2], pads=[0, 0, 1, 1]), tall
    if kind == "Tile":
        return made.op("Tile", x, np.array([1, 1, 1, 2])[[0, 1, 2, 2]]), tall
    return x, tall


def channelwise(made: RandomNetwork, x: str, channels: int) -> str:
    """Numbers of its own for each channel, or a gate that all places of it share."""
    rng = made.rng
    kind = rng.choice(["none", "none", "norm", "PRelu", "Where", "gate", "mean", "scale"])
    if kind == "norm":
        scale, bias = made.normal(channels), made.normal(channels)
        scale[made.some(channels)] = 0
        bias[made.some(channels)] = 0
        return made.op("InstanceNormalization", x, scale, bias)
    if kind == "PRelu":
        return made.op("PRelu", x, made.normal(channels, 1, 1))
    if kind == "Where":
        return made.op("Where", rng.random((channels, 1, 1)) < 0.5, x, made.normal(channels, 1, 1))
    if kind == "gate":
        W = made.normal(channels, channels, 1, 1)
        W[:, made.some(channels)] = 0
        gate = made.op("Sigmoid", made.op("Conv", made.op("GlobalAveragePool", x), W))
        return made.op("Mul", x, gate)
    if kind == "mean":
        return made.op("Sub", x, made.op("ReduceMean", x, *_axes(made, "ReduceMean", [2, 3])))
    if kind == "scale":
        scale = made.normal(channels, 1, 1)
        scale[made.some(channels)] = 0
        return made.op("Clip", made.op("Mul", x, scale), np.asarray(np.float32(-1)), np.asarray(np.float32(2)))
    return x


def _axes(made: RandomNetwork, kind: str, axes: list[int]) -> list[Any]:
    return [np.array(axes)]


def joined(
    made: RandomNetwork, x: str, channels: int, tall: int, earlier: list[tuple[str, int, int]]
) -> tuple[str, int]:
    """Joined to what was there before, added to it, or split."""
    rng = made.rng
    fits = [(value, own) for value, own, height in earlier if height == tall]
    if fits and rng.random() < 0.3:
        value, own = fits[int(rng.integers(len(fits)))]
        if own == channels and rng.random() < 0.5:
            return made.op("Add", x, value), channels
        return made.op("Concat", x, value, axis=1), channels + own
    if channels > 3 and rng.random() < 0.2:
        cut = int(rng.integers(1, channels))
        first, second = made.split(x, [cut, channels - cut], 1)
        if cut * 2 == channels:
            return made.op("Mul", first, made.op("Sigmoid", second)), cut
        return made.op("Concat", second, first, axis=1), channels
    return x, channels


def moved(made: RandomNetwork) -> Made:
    """Features cut, turned, regrouped, reduced over positions and joined again."""
    rng, x = made.rng, "x"
    for _ in range(int(rng.integers(1, 4))):
        heads, each = int(rng.choice([2, 3])), int(rng.choice([2, 4]))
        h = linear(made, x, WIDTH, heads * each, bool(rng.integers(2)))
        hidden = heads * each
        h = activated(made, h) if rng.random() < 0.6 else h
        made.watched.append((h, 2))
        kind = rng.choice(["heads", "turned", "halves", "sums", "einsum", "chosen", "normed", "plain"])
        if kind == "heads":
            h = made.op("Transpose", made.op("Reshape", h, np.array([0, 0, heads, each])), perm=[0, 2, 1, 3])
            scale = made.normal(heads, 1, each)
            scale[made.some(heads)] = 0
            h = made.op("Mul", activated(made, h), scale)
            h = made.op("Reshape", made.op("Transpose", h, perm=[0, 2, 1, 3]), np.array([0, 0, hidden]))
        elif kind == "turned":
            h = made.op("Transpose", h, perm=[2, 0, 1])
            h = made.op("Mul", h, made.normal(hidden, 1, 1))
            h = made.op("Transpose", activated(made, h), perm=[1, 2, 0])
        elif kind == "halves":
            first, second = made.split(h, [hidden // 2, hidden - hidden // 2], 2)
            h = made.op("Mul", first, made.op("Sigmoid", second))
            hidden //= 2
        elif kind == "sums":
            reduce = str(rng.choice(["ReduceSum", "ReduceMean", "ReduceMax", "ReduceL2", "ReduceSumSquare"]))
            h = made.op("Add", h, made.op(reduce, h, *_axes(made, reduce, [1])))
        elif kind == "einsum":
            W = made.normal(hidden, 2, 3)
            W[made.some(hidden)] = 0
            W[:, :, made.some(3)] = 0
            h = made.op("Reshape", made.op("Einsum", h, W, equation="nth,hde->ntde"), np.array([0, 0, 6]))
            hidden = 6
        elif kind == "chosen":
            edge = made.normal(hidden) * (rng.random(hidden) < 0.6)
            h = made.op("Where", made.op("Greater", h, np.asarray(np.float32(0))), h, edge.astype(np.float32))
        elif kind == "normed":
            scale, bias = made.normal(hidden), made.normal(hidden)
            scale[made.some(hidden)] = 0
            h = made.op(
                "Relu", made.op("LayerNormalization", h, scale, bias - np.float32(4) * (rng.random(hidden) < 0.5))
            )
        made.watched.append((h, 2))
        x = linear(made, h, hidden, WIDTH, bool(rng.integers(2)))
    return made.model(["n", "t", WIDTH], x, 3), {"x": made.normal(2, 3, WIDTH)}, made


KINDS = {"dense": dense, "conv": conv, "attention": attention, "pictures": pictures, "moved": moved}


def network(seed: int) -> Made:
    """A network of a kind that the seed chooses, inputs for it, and how it was made."""
    made = RandomNetwork(np.random.default_rng(seed))
    return KINDS[str(made.rng.choice(list(KINDS)))](made)
