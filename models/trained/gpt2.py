"""A random transformer of the size and shape of GPT-2 small: what a language model costs to read and leave alone."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..matrix import Array
from ..sketch import Attribute

__all__ = ["build"]

POSITIONS = 1024
HEAD = 64


def build(
    rng: np.random.Generator,
    path: str | os.PathLike[str],
    layers: int = 12,
    width: int = 768,
    vocabulary: int = 50257,
) -> None:
    """Write a GPT-2 with random float32 weights (124 M parameters by default) to one ONNX file.

    input_ids (batch, sequence) int64 to logits (batch, sequence, vocabulary); sequence at most 1024; heads of 64
    features. Linears are Gemms between Reshapes, as Hugging Face's Conv1D is exported; the embedding is tied: logits
    are a MatMul with its Transpose. Raises ValueError when width is not a multiple of 64.
    Source: Radford et al. 2019, Language models are unsupervised multitask learners.
    """
    if width % HEAD:
        raise ValueError(f"width {width} is not a multiple of the head size {HEAD}")
    net = _Net(rng, width)
    h = net.embed(vocabulary)
    for layer in range(layers):
        h = net.add(h, net.attention(net.normalize(h, f"h{layer}.ln_1"), f"h{layer}.attn"))
        h = net.add(h, net.feed_forward(net.normalize(h, f"h{layer}.ln_2"), f"h{layer}.mlp"))
    table = net.op("Transpose", ["wte"], perm=[1, 0])
    net.op("MatMul", [net.normalize(h, "ln_f"), table], "logits", name="lm_head")
    onnx.save(net.model(vocabulary), path)


class _Net:
    """Nodes and initializers of one GPT-2; methods append to them and return the name of a value (batch, sequence, …).

    onnx.helper, because half a gigabyte of weights should be copied as few times as possible.
    """

    def __init__(self, rng: np.random.Generator, width: int) -> None:
        self.rng, self.width, self.heads = rng, width, width // HEAD
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []

    def op(self, op: str, inputs: Sequence[str], output: str = "", name: str = "", **attributes: Attribute) -> str:
        name = name or f"{op.lower()}_{len(self.nodes)}"
        output = output or f"{name}.out"
        self.nodes.append(helper.make_node(op, inputs, [output], name=name, **attributes))
        return output

    def constant(self, name: str, value: Array) -> str:
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def random(self, name: str, *shape: int) -> str:
        values = self.rng.standard_normal(shape, np.float32)
        values *= np.float32(0.02)
        return self.constant(name, values)

    def number(self, value: float) -> str:
        return self.constant(f"number_{len(self.weights)}", np.array(value, np.float32))

    def integers(self, *values: int) -> str:
        return self.constant(f"integers_{len(self.weights)}", np.array(values, np.int64))

    def add(self, a: str, b: str) -> str:
        return self.op("Add", [a, b])

    def embed(self, vocabulary: int) -> str:
        """Token plus position embedding; also the shapes and the causal mask that all layers share."""
        batch_sequence = self.op("Shape", ["input_ids"])
        for name, tail in (("hidden", [-1]), ("by_head", [self.heads, HEAD])):
            self.op("Concat", [batch_sequence, self.integers(*tail)], f"{name}_shape", axis=0)
        zero, one = (self.constant(n, np.array(v, np.int64)) for n, v in (("zero", 0), ("one", 1)))
        length = self.op("Gather", [batch_sequence, one], axis=0)
        positions = self.op("Range", [zero, length, one])
        column = self.op("Unsqueeze", [positions, self.integers(1)])
        self.op("LessOrEqual", [positions, column], "causal")
        tokens = self.op("Gather", [self.random("wte", vocabulary, self.width), "input_ids"], axis=0)
        return self.add(tokens, self.op("Gather", [self.random("wpe", POSITIONS, self.width), positions], axis=0))

    def normalize(self, x: str, name: str) -> str:
        scale = self.constant(f"{name}.weight", np.ones(self.width, np.float32))
        shift = self.constant(f"{name}.bias", np.zeros(self.width, np.float32))
        return self.op("LayerNormalization", [x, scale, shift], name=name, axis=-1, epsilon=1e-5)

    def linear(self, x: str, name: str, inputs: int, outputs: int) -> str:
        rows = self.op("Reshape", [x, self.integers(-1, inputs)])
        weights = self.random(f"{name}.weight", inputs, outputs), self.random(f"{name}.bias", outputs)
        return self.op("Reshape", [self.op("Gemm", [rows, *weights], name=name), "hidden_shape"])

    def attention(self, x: str, name: str) -> str:
        qkv = self.linear(x, f"{name}.c_attn", self.width, 3 * self.width)
        parts = [f"{name}.{part}" for part in "qkv"]
        self.nodes.append(helper.make_node("Split", [qkv], parts, name=f"{name}.split", axis=2))
        heads = [self.op("Reshape", [part, "by_head_shape"]) for part in parts]
        perms = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
        q, k, v = (self.op("Transpose", [head], perm=perm) for head, perm in zip(heads, perms, strict=True))
        scores = self.op("Mul", [self.op("MatMul", [q, k]), self.number(HEAD**-0.5)])
        masked = self.op("Where", ["causal", scores, self.number(float(np.finfo(np.float32).min))])
        mixed = self.op("MatMul", [self.op("Softmax", [masked], axis=-1), v])
        merged = self.op("Reshape", [self.op("Transpose", [mixed], perm=[0, 2, 1, 3]), "hidden_shape"])
        return self.linear(merged, f"{name}.c_proj", self.width, self.width)

    def feed_forward(self, x: str, name: str) -> str:
        h = self.gelu(self.linear(x, f"{name}.c_fc", self.width, 4 * self.width))
        return self.linear(h, f"{name}.c_proj", 4 * self.width, self.width)

    def gelu(self, x: str) -> str:
        """The tanh form, spelt out as it is exported: x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))."""
        cubic = self.op("Mul", [self.op("Pow", [x, self.number(3)]), self.number(0.044715)])
        inner = self.op("Mul", [self.add(x, cubic), self.number((2 / np.pi) ** 0.5)])
        gate = self.add(self.op("Tanh", [inner]), self.number(1))
        return self.op("Mul", [self.op("Mul", [x, self.number(0.5)]), gate])

    def model(self, vocabulary: int) -> onnx.ModelProto:
        ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", "sequence", vocabulary])
        graph = helper.make_graph(self.nodes, "gpt2", [ids], [logits], self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
