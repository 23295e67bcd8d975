"""Random convolutions that could have another form, and much that looks like one that could: for adversarial tests."""

from __future__ import annotations

from random import Random

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FUNCTIONS = ("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Clip", "Elu", "Softmax")


class Grown:
    """A graph in the making: its nodes, constants, inputs that are fed, and what else comes out of it."""

    def __init__(self, seed: int) -> None:
        self.rng, self.values = Random(seed), np.random.default_rng(seed)
        self.opset = self.rng.choice([11, 13, 17])
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, np.ndarray] = {}
        self.inputs: dict[str, list] = {}
        self.feeds: dict[str, np.ndarray] = {}
        self.outputs: list[str] = []

    def normal(self, *shape: int) -> np.ndarray:
        return self.values.standard_normal(shape).astype(np.float32)

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(array)
        return name

    def op(self, op: str, *inputs: str, **attributes) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [output], f"{op}{len(self.nodes)}", **attributes))
        return output

    def with_axes(self, op: str, value: str, axes: list[int]) -> str:
        if self.opset >= 13:
            return self.op(op, value, self.constant(np.int64(axes)))
        return self.op(op, value, axes=axes)

    def model(self, value: str) -> onnx.ModelProto:
        self.outputs.append(value)
        weights = [numpy_helper.from_array(array, name) for name, array in self.constants.items()]
        given = [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(self.feeds[name].dtype), shape)
            for name, shape in self.inputs.items()
        ]
        told = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in dict.fromkeys(self.outputs)]
        graph = helper.make_graph(self.nodes, "g", given, told, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)


def random_convolution(seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A convolution with borders of zeros or none, padded, strided, dilated and in groups, and what follows it; with
    feeds, of which the spatial extents may be too short for what it cuts."""
    made, rng = Grown(seed), Random(seed + 1)
    axes, groups = rng.choice([1, 1, 2]), rng.choice([1, 1, 1, 2])
    inner, outer = rng.randint(1, 3) * groups, rng.randint(1, 3) * groups
    window = [rng.randint(1, 5) for _ in range(axes)]
    flat = axes == 2 and rng.random() < 0.7  # a network in one dimension, as converters write it
    if flat:
        window[1] = 1
    transposed = rng.random() < 0.15
    weight = made.normal(*((inner, outer // groups) if transposed else (outer, inner // groups)), *window)
    weight = bordered(rng, weight)
    attributes: dict = {"group": groups}
    if rng.random() < 0.7:
        attributes["dilations"] = [rng.randint(1, 2) for _ in range(axes)]
    if rng.random() < 0.7:
        attributes["strides"] = [rng.randint(1, 3) for _ in range(axes)]
    if rng.random() < 0.15:
        attributes["auto_pad"] = rng.choice(["VALID", "SAME_UPPER", "SAME_LOWER"])
        if attributes["auto_pad"] != "VALID":
            attributes.pop("dilations", None)
    elif rng.random() < 0.7:
        attributes["pads"] = [rng.randint(0, 5) for _ in range(2 * axes)]
    if rng.random() < 0.5:
        attributes["kernel_shape"] = window
    batch, sides = rng.choice([1, 2]), [rng.choice([1, 2, 3, 5, 8, 11, 11, 16]) for _ in range(axes)]
    if flat:
        sides[1] = 1
        for name in ("pads", "strides", "dilations"):
            if name in attributes:
                attributes[name] = [
                    one if place % 2 == 0 else int(name != "pads") for place, one in enumerate(attributes[name])
                ]
    made.feeds["x"] = made.normal(batch, inner, *sides)
    named = [f"s{axis}" for axis in range(axes)]
    made.inputs["x"] = ["n", inner, *(sides if rng.random() < 0.4 else named)]
    operands = ["x", made.constant(weight)]
    if rng.random() < 0.25:
        operands.append(made.constant(made.normal(outer)))
    value = made.op("ConvTranspose" if transposed else "Conv", *operands, **attributes)
    return made.model(
        followed(made, rng, value, outer, ["n", "c", "s", "one" if flat else "s"][: 2 + axes])
    ), made.feeds


def random_product(seed: int) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A convolution, operators that move its channels, and a product of them or of another axis that is as long."""
    made, rng = Grown(seed), Random(seed + 1)
    channels, inner, batch = rng.choice([2, 3, 4, 8, 12]), rng.randint(1, 4), rng.choice([1, 1, 2])
    same = rng.random() < 0.4  # every axis is as long as there are channels
    window = [1, 1] if same else [rng.randint(1, 2), rng.randint(1, 3)]
    ones = not same and rng.random() < 0.7
    sides = [channels, channels] if same else [window[0] if ones else rng.randint(2, 5), rng.randint(3, 6)]
    made.feeds["x"] = made.normal(channels if same and rng.random() < 0.5 else batch, inner, *sides)
    made.inputs["x"] = [rng.choice(["n", len(made.feeds["x"])]), inner, sides[0], rng.choice(["s", sides[1]])]
    operands = ["x", made.constant(made.normal(channels, inner, *window))]
    operands += [made.constant(made.normal(channels))] if rng.random() < 0.5 else []
    value = made.op("Conv", *operands)
    for _ in range(rng.choice([0, 1, 1, 2])):
        value = function(made, rng, value)
    axes = ["n", "c", "one" if ones else "s", "s"]
    for _ in range(rng.choice([0, 1, 2, 3])):
        value, axes = moved(made, rng, value, axes)
        if rng.random() < 0.05:
            made.outputs.append(value)
        elif rng.random() < 0.05:
            made.outputs.append(made.op("Relu", value))
    if axes[-1] != "c" and not (same and rng.random() < 0.5):
        place = axes.index("c")
        order = [*(at for at in range(len(axes)) if at != place), place]
        value, axes = made.op("Transpose", value, perm=order), [axes[at] for at in order]
    if axes[-1] != "c" and not (same and axes[-1] == "s"):
        return made.model(value), made.feeds
    return made.model(_multiplied(made, rng, value, axes, channels)), made.feeds


def _multiplied(made: Grown, rng: Random, value: str, axes: list[str], channels: int) -> str:
    """The product of the last axis with a matrix, or what only looks like it, and what follows."""
    results = rng.randint(1, channels + 1)
    weight = made.normal(*([1] if rng.random() < 0.1 else []), channels, results)
    name = made.constant(weight)
    if rng.random() < 0.08:  # a default that a caller may give otherwise
        made.inputs[name], made.feeds[name] = list(weight.shape), made.normal(*weight.shape)
    value = made.op("MatMul", value, name)
    if rng.random() < 0.1:
        made.outputs.append(value)
    axes = [*(["one"] if weight.ndim > len(axes) else []), *(one.replace("c", "s") for one in axes[:-1]), "c"]
    if rng.random() < 0.7:
        value = added(made, rng, value, len(axes) - 1, results, len(axes))
        return function(made, rng, value) if rng.random() < 0.5 else value
    return followed(made, rng, value, results, axes)


def bordered(rng: Random, weight: np.ndarray) -> np.ndarray:
    """With zeros at the ends of a window, of one channel more than of others, or of all."""
    for axis in range(2, weight.ndim):
        for end in (1, -1):
            for _ in range(rng.choice([0, 0, 1, 2, weight.shape[axis]])):
                count = rng.randint(0, weight.shape[axis])
                places: list = [slice(None)] * weight.ndim
                places[axis] = slice(0, count) if end > 0 else slice(weight.shape[axis] - count, None)
                if rng.random() < 0.2:
                    places[0] = rng.randrange(weight.shape[0])
                weight[tuple(places)] = 0
    return weight


def followed(made: Grown, rng: Random, value: str, channels: int, axes: list[str]) -> str:
    """Operators that move elements, sums with constants of all kinds and functions behind a convolution; axes: what
    each of its result is, 'c' for channels and 'one' where there is one place."""
    for _ in range(rng.randint(0, 6)):
        kind = rng.choice(["move", "move", "move", "sum", "sum", "function", "watched", "twice"])
        if kind == "move":
            value, axes = moved(made, rng, value, axes)
        elif kind == "sum":
            value = added(made, rng, value, axes.index("c"), channels, len(axes))
        elif kind == "function":
            value = function(made, rng, value)
        elif kind == "watched" and rng.random() < 0.3:
            made.outputs.append(value)
        elif kind == "twice" and rng.random() < 0.3:
            value = made.op("Add", value, made.op("Neg", made.op("Relu", value)))
    return value


def moved(made: Grown, rng: Random, value: str, axes: list[str]) -> tuple[str, list[str]]:
    """An operator that moves elements, and the axes behind it."""
    what = rng.choice(["Identity", "Transpose", "Unsqueeze", "Squeeze", "Squeeze"])
    if what == "Identity":
        return made.op("Identity", value), axes
    if what == "Transpose":
        order = rng.sample(range(len(axes)), len(axes))
        return made.op("Transpose", value, perm=order), [axes[one] for one in order]
    if what == "Unsqueeze" and len(axes) < 5:
        place = rng.randint(0, len(axes))
        told = place if rng.random() < 0.5 else place - len(axes) - 1
        return made.with_axes("Unsqueeze", value, [told]), [*axes[:place], "one", *axes[place:]]
    ones = [place for place, one in enumerate(axes) if one == "one"]
    if what == "Squeeze" and ones:
        place = rng.choice(ones)
        told = place if rng.random() < 0.5 else place - len(axes)
        return made.with_axes("Squeeze", value, [told]), [one for at, one in enumerate(axes) if at != place]
    return value, axes


def added(made: Grown, rng: Random, value: str, axis: int, channels: int, rank: int) -> str:
    """The sum with one value a channel, or with something that only looks like it."""
    kind = rng.choice(["channel", "channel", "channel", "scalar", "wide", "given", "fed"])
    shape = [1] * rank
    if kind in ("channel", "given", "fed"):
        shape[axis] = channels
        if rng.random() < 0.5:
            shape = shape[min(axis, rng.randint(0, axis)) :]
    elif kind == "wide":
        shape[rng.randrange(rank)] = rng.choice([1, 2, channels])
    elif rng.random() < 0.5:
        shape = []
    name = made.constant(made.normal(*shape))
    if kind in ("given", "fed"):  # a default that a caller may give otherwise, or no constant at all
        made.inputs[name] = shape
        made.feeds[name] = made.normal(*shape)
        if kind == "fed":
            del made.constants[name]
            made.constants[f"unread_{name}"] = made.feeds[name]  # names stay unique
    operands = [value, name] if rng.random() < 0.7 else [name, value]
    return made.op(rng.choice(["Add", "Add", "Add", "Sub"]), *operands)


def function(made: Grown, rng: Random, value: str) -> str:
    """A function of elements that kernels of convolutions apply, or one that they do not."""
    op = rng.choice(FUNCTIONS)
    if op == "Clip":
        bounds = sorted(float(one) for one in made.normal(2))
        names = [made.constant(np.float32(one)) for one in bounds]
        if rng.random() < 0.3:
            names[0] = ""
        if rng.random() < 0.3:
            names[1] = made.op("Identity", names[1])
        return made.op("Clip", value, *names)
    attributes = {"LeakyRelu": {"alpha": 0.1}, "HardSigmoid": {"alpha": 0.3, "beta": 0.4}, "Softmax": {"axis": -1}}
    return made.op(op, value, **attributes.get(op, {}))


def random_transform(seed: int) -> tuple[onnx.ModelProto, np.ndarray, np.ndarray]:
    """A Fourier transform of random frames; with a signal, and the exact result."""
    rng, values = Random(seed), np.random.default_rng(seed)
    length, step = rng.randint(2, 40), rng.randint(1, 12)
    window = values.standard_normal(length).astype(np.float32) if rng.random() < 0.7 else np.hanning(length)
    for end in (slice(0, rng.choice([0, 0, 3])), slice(length - rng.choice([0, 0, 4]), length)):
        window[end] = 0
    window = np.asarray(window, np.float32)
    if not window.any():
        window[rng.randrange(length)] = 1
    rank, onesided = rng.choice([2, 3]), rng.choice([0, 1])
    signal = values.standard_normal((rng.choice([1, 3]), length + rng.randint(0, 60))).astype(np.float32)
    held = {"step": np.int64(step), "window": window, "length": np.int64(length)}
    names = ["x", "step", "window", "length"][: rng.choice([3, 4])]
    if rng.random() < 0.2:
        names, window = ["x", "step", "", "length"], np.ones(length, np.float32)
    node = helper.make_node("STFT", names, ["y"], "stft", onesided=onesided)
    weights = [numpy_helper.from_array(np.asarray(held[name]), name) for name in names[1:] if name]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["b", "n", 1][:rank])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", [x], [y], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    frames = np.lib.stride_tricks.sliding_window_view(signal.astype(np.float64), length, axis=1)[:, ::step] * window
    exact = np.fft.rfft(frames) if onesided else np.fft.fft(frames)
    return model, signal[..., None] if rank == 3 else signal, np.stack([exact.real, exact.imag], -1)
