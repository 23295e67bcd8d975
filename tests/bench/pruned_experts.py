"""Experts of which hidden units do nothing, and the same in which they were never there, in floats and in four bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["Experts"]

DOMAIN = "com.microsoft"
HALF = 8  # zero point of four bits
Weights = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Experts:
    """Experts behind a router, gated or not: so many, of so many hidden units of which some share is read by nobody."""

    width: int = 256
    hidden: int = 1024
    count: int = 8
    chosen: int = 2
    block: int = 32
    dead: float = 0.5

    def pair(self, packed: bool) -> list[onnx.ModelProto]:
        """The model with units that do nothing, in whole blocks, and the one without."""
        rng = np.random.default_rng(0)
        blocks = rng.permutation(self.hidden // self.block)[: int(self.dead * self.hidden) // self.block]
        idle = np.isin(np.arange(self.hidden) // self.block, blocks)
        up = rng.standard_normal((self.count, self.hidden, self.width), np.float32) / 16
        down = rng.standard_normal((self.count, self.width, self.hidden), np.float32) / 16
        bias = rng.standard_normal((self.count, self.hidden), np.float32)
        down[:, :, idle] = 0
        router = rng.standard_normal((self.width, self.count), np.float32)
        whole = {"up": up, "bias": bias, "down": down}
        left = {"up": up[:, ~idle], "bias": bias[:, ~idle], "down": np.ascontiguousarray(down[:, :, ~idle])}
        return [self._model(weights, router, packed) for weights in (whole, left)]

    def _model(self, weights: Weights, router: npt.NDArray[np.float32], packed: bool) -> onnx.ModelProto:
        held: Weights = {"router": router, "bias": weights["bias"]}
        attributes: dict[str, Any] = {"k": self.chosen, "activation_type": "silu"}
        names = ["x", "r", "up", "bias", "down"]
        if packed:
            names = ["x", "r", "up", "up_scale", "bias", "down", "down_scale"]
            attributes |= {"expert_weight_bits": 4, "block_size": self.block}
        for key in ("up", "down"):
            held |= self._four_bits(key, weights[key]) if packed else {key: weights[key]}
        nodes = [helper.make_node("MatMul", ["x", "router"], ["r"], "route")]
        nodes.append(helper.make_node("QMoE" if packed else "MoE", names, ["y"], "moe", domain=DOMAIN, **attributes))
        x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", self.width]) for name in "xy")
        tensors = [numpy_helper.from_array(array, name) for name, array in held.items()]
        graph = helper.make_graph(nodes, "experts", [x], [y], tensors)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def _four_bits(self, name: str, array: npt.NDArray[np.float32]) -> Weights:
        """A stack in blocks of four bits along its last axis, and their scales."""
        blocks = array.reshape(*array.shape[:2], -1, self.block)
        scale = np.maximum(np.abs(blocks).max(-1), 1e-6) / (HALF - 1)
        codes = (np.rint(blocks / scale[..., None]) + HALF).astype(np.uint8).reshape(array.shape)
        return {name: codes[..., ::2] | codes[..., 1::2] << 4, f"{name}_scale": scale.astype(np.float32)}
