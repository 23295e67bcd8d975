"""Models of stages one after another: dense ones, norms over all features, and networks side by side, shuffled."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

__all__ = ["DENSE", "SPLIT", "Stack"]

DENSE, SPLIT = "dense", "split"


class Stack:
    """A model in the making, its features in `width` places."""

    def __init__(self, seed: int, width: int = 12) -> None:
        self.rng, self.width = np.random.default_rng(seed), width
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.value = "x"

    def op(self, kind: str, *read: Any, **more: Any) -> None:
        name = f"v{len(self.nodes)}"
        inputs = [one if isinstance(one, str) else self.constant(one) for one in read]
        self.nodes.append(helper.make_node(kind, inputs, [name], f"n{len(self.nodes)}", **more))
        self.value = name

    def constant(self, array: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return str(self.constants[-1].name)

    def linear(self, owner: Any) -> None:
        W = self.rng.standard_normal((self.width, self.width)).astype(np.float32)
        if owner is not None:
            W[owner[:, None] != owner[None, :]] = 0
        self.op("MatMul", self.value, W)
        self.op("Add", self.value, self.rng.standard_normal(self.width).astype(np.float32))
        self.op(str(self.rng.choice(["Relu", "Tanh"])), self.value)

    def model(self, kinds: list[str]) -> onnx.ModelProto:
        """The model once these stages follow."""
        for kind in kinds:
            if kind == DENSE:
                self.linear(None)
            elif kind == "norm":
                self.op("LayerNormalization", self.value, np.ones(self.width, np.float32), axis=-1)
            else:
                owner = self.rng.permutation(np.arange(3).repeat(4))
                for _ in range(2):
                    self.linear(owner)
        x, y = (
            helper.make_tensor_value_info(name, 1, shape)
            for name, shape in (("x", ["n", self.width]), (self.value, ["n", self.width]))
        )
        graph = helper.make_graph(self.nodes, "g", [x], [y], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
