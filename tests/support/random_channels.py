"""Random small networks in which some channels are dead or constant, and the slow truth about each: run it and see."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["RandomNetwork", "activated", "attention", "conv", "dense", "linear", "sparse"]

POINTWISE = ("Relu", "Tanh", "Sigmoid", "Softplus", "Gelu", "HardSwish", "Abs", "Elu")


@dataclass
class RandomNetwork:
    """A network in the making; watched: values of which channels may be planted, with the axis they lie on."""

    rng: np.random.Generator
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Any] = field(default_factory=dict)
    watched: list[tuple[str, int]] = field(default_factory=list)
    count: int = 0

    def fresh(self) -> str:
        self.count += 1
        return f"v{self.count}"

    def op(self, kind: str, *inputs: Any, **attributes: Any) -> str:
        """Append a node; arrays among its inputs become initializers."""
        names = []
        for one in inputs:
            if isinstance(one, np.ndarray):
                name = self.fresh()
                self.constants[name] = one
                one = name
            names.append(one)
        result = self.fresh()
        self.nodes.append(helper.make_node(kind, names, [result], f"n{self.count}", **attributes))
        return result

    def split(self, x: str, sizes: list[int], axis: int) -> tuple[str, ...]:
        """Append a Split."""
        self.constants[held := self.fresh()] = np.array(sizes)
        results = [self.fresh() for _ in sizes]
        self.nodes.append(helper.make_node("Split", [x, held], results, f"n{self.count}", axis=axis))
        return tuple(results)

    def normal(self, *shape: int) -> Any:
        return self.rng.standard_normal(shape).astype(np.float32)

    def some(self, extent: int) -> Any:
        """Some places, often none."""
        return np.flatnonzero(self.rng.random(extent) < self.rng.choice([0.0, 0.3, 0.6]))

    def model(self, x: list[Any], y: str, rank: int) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", 1, x)],
            [helper.make_tensor_value_info(y, 1, [None] * rank)],
            [numpy_helper.from_array(array, name) for name, array in self.constants.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def sparse(made: RandomNetwork, K: int, N: int) -> Any:
    """A weight with some rows and some columns of zeros."""
    W = made.normal(K, N)
    W[made.some(K)] = 0
    W[:, made.some(N)] = 0
    return W


def linear(made: RandomNetwork, x: str, K: int, N: int, bias: bool = True) -> str:
    form = made.rng.choice(["matmul", "gemm", "transposed"]) if x.startswith("flat") else "matmul"
    W = sparse(made, K, N)
    y = made.op("MatMul", x, W) if form == "matmul" else made.op("Gemm", x, W)
    return made.op("Add", y, made.normal(N)) if bias else y


def activated(made: RandomNetwork, x: str) -> str:
    return made.op(str(made.rng.choice(POINTWISE)), x)


def dense(made: RandomNetwork) -> tuple[onnx.ModelProto, dict[str, Any], RandomNetwork]:
    """Feed-forward layers, gated ones, residuals, channels that are scaled away, joined and cut."""
    rng, width = made.rng, 6
    x = "x"
    for _ in range(int(rng.integers(1, 4))):
        hidden = int(rng.integers(3, 9))
        h = activated(made, linear(made, x, width, hidden, bool(rng.integers(2))))
        made.watched.append((h, 2))
        if rng.random() < 0.4:  # gated
            h = made.op("Mul", h, activated(made, linear(made, x, width, hidden)))
        if rng.random() < 0.3:
            scale = made.normal(hidden)
            scale[made.some(hidden)] = 0
            h = made.op("Mul", h, scale)
        if rng.random() < 0.3:  # proved to be on one side
            bounded = made.op("Sigmoid", linear(made, x, width, hidden))
            h = made.op(
                "Add",
                h,
                made.op("Relu", made.op("Sub", bounded, np.where(rng.random(hidden) < 0.4, 1, 0).astype(np.float32))),
            )
        if rng.random() < 0.3:
            other = int(rng.integers(2, 5))
            h = made.op("Concat", h, activated(made, linear(made, x, width, other)), axis=-1)
            hidden += other
        if rng.random() < 0.3 and hidden > 4:
            cut = int(rng.integers(1, 3))
            h = made.op("Slice", h, np.array([cut]), np.array([hidden]), np.array([2]))
            hidden -= cut
        if rng.random() < 0.3:
            places = rng.integers(0, hidden, hidden + 1)
            h, hidden = made.op("Gather", h, places, axis=2), hidden + 1
        made.watched.append((h, 2))
        y = linear(made, h, hidden, width, bool(rng.integers(2)))
        x = made.op("Add", x, y) if rng.random() < 0.5 else y
        if rng.random() < 0.3:
            x = made.op("LayerNormalization", x, made.normal(width), made.normal(width))
    model = made.model(["n", "t", width], made.nodes[-1].output[0], 3)
    return model, {"x": rng.standard_normal((2, 3, width)).astype(np.float32)}, made


def conv(made: RandomNetwork) -> tuple[onnx.ModelProto, dict[str, Any], RandomNetwork]:
    """Convolutions with and without edges, in groups, of each channel; norms, pools, residuals, a classifier."""
    rng, channels, x = made.rng, 4, "x"
    for _ in range(int(rng.integers(2, 5))):
        before, x_before = channels, x
        groups = int(rng.choice([1, 1, 2]))
        if rng.random() < 0.3:  # of each channel
            W = made.normal(channels, 1, 3, 3)
            W[made.some(channels)] = 0
            x = made.op(
                "Conv", x, W, *([made.normal(channels)] if rng.random() < 0.5 else []), group=channels, pads=[1] * 4
            )
        else:
            out = int(rng.choice([2, 4, 6]))
            k = int(rng.choice([1, 3]))
            W = made.normal(out, channels // groups, k, k)
            W[made.some(out)] = 0
            W[:, made.some(channels // groups)] = 0
            pads = [k // 2] * 4 if rng.random() < 0.7 else [0] * 4
            bias = [made.normal(out)] if rng.random() < 0.6 else []
            x, channels = made.op("Conv", x, W, *bias, group=groups, pads=pads), out
        if rng.random() < 0.5:
            scale, bias = made.normal(channels), made.normal(channels)
            gone = made.some(channels)
            scale[gone] = 0
            bias[gone[: int(rng.integers(0, gone.size + 1))]] = 0
            x = made.op("BatchNormalization", x, scale, bias, made.normal(channels), np.abs(made.normal(channels)) + 1)
        x = activated(made, x) if rng.random() < 0.8 else x
        made.watched.append((x, 1))
        if rng.random() < 0.4 and before == channels:
            padded = all(
                attribute.name != "pads" or sum(attribute.ints)
                for node in made.nodes[-4:]
                for attribute in node.attribute
            )
            if padded and x_before != "x" and rng.random() < 2:
                x = made.op("Add", x, x_before) if same_extent(made, x, x_before) else x
        if rng.random() < 0.2:
            x = made.op(str(rng.choice(["MaxPool", "AveragePool"])), x, kernel_shape=[2, 2], pads=[0, 0, 1, 1])
    x = made.op("GlobalAveragePool", x)
    x = made.op("Flatten", x)
    made.nodes.append(helper.make_node("Gemm", [x, "head"], ["y"], "head"))
    made.constants["head"] = sparse(made, channels, 3)
    model = made.model(["n", 4, 8, 8], "y", 2)
    return model, {"x": rng.standard_normal((2, 4, 8, 8)).astype(np.float32)}, made


def same_extent(made: RandomNetwork, a: str, b: str) -> bool:
    """Whether two values of the network so far have one shape."""
    model = made.model(["n", 4, 8, 8], made.nodes[-1].output[0], 4)
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {one.name: one.type.tensor_type.shape for one in inferred.graph.value_info}
    shapes |= {one.name: one.type.tensor_type.shape for one in inferred.graph.output}
    dims = [[dim.dim_value for dim in shapes[name].dim][1:] for name in (a, b) if name in shapes]
    return len(dims) == 2 and dims[0] == dims[1]


def attention(made: RandomNetwork) -> tuple[onnx.ModelProto, dict[str, Any], RandomNetwork]:
    """Heads of which some are dead, some constant, and single features of all heads that are."""
    rng, heads, each = made.rng, int(made.rng.choice([2, 3, 4])), int(made.rng.choice([2, 3]))
    width, inner = 6, heads * each
    target = np.array([0, 0, -1 if rng.random() < 0.5 else heads, each])
    ends = []
    gone = made.some(heads)
    for place in range(3):
        W = made.normal(width, inner).reshape(width, heads, each)
        if rng.random() < 0.7:
            W[:, gone] = 0
        W[:, :, made.some(each)] = 0
        y = made.op("MatMul", "x", W.reshape(width, inner))
        if rng.random() < 0.5:
            y = made.op("Add", made.normal(inner), y)
        perm = [0, 2, 3, 1] if place == 1 else [0, 2, 1, 3]
        ends.append(made.op("Transpose", made.op("Reshape", y, target), perm=perm))
    scores = made.op("Mul", made.op("MatMul", ends[0], ends[1]), np.float32(0.5).reshape(1))
    mixed = made.op("MatMul", made.op("Softmax", scores, axis=-1), ends[2])
    joined = made.op(
        "Reshape", made.op("Transpose", mixed, perm=[0, 2, 1, 3]), np.array([0, 0, -1 if rng.random() < 0.5 else inner])
    )
    made.watched.append((joined, 2))
    W = made.normal(heads, each, width)
    if rng.random() < 0.6:
        W[made.some(heads)] = 0
    out = made.op("MatMul", joined, W.reshape(inner, width))
    out = made.op("Add", out, "x") if rng.random() < 0.5 else out
    model = made.model(["n", "t", width], out, 3)
    return model, {"x": rng.standard_normal((2, 4, width)).astype(np.float32)}, made
