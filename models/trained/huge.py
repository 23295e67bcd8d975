"""A model larger than memory should have to hold: external data, and one weight to split among many dense ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from ...ir.plan.plan import Decomposition
from ..matrix import Array, weight

__all__ = ["build"]

BLOCKS = 16


def build(
    rng: np.random.Generator, path: str | os.PathLike[str], gib: float = 3.0, width: int = 4096
) -> dict[str, Decomposition]:
    """Write a chain of float32 MatMuls (width, width) of about `gib` GiB, weights in the file `path`.data beside it.

    x (batch, width) to y (batch, width). The middle weight has 16 hidden blocks; returns its truth, by node name.
    The others are one dense random matrix rolled by another step each: two weights at most are in memory.
    Raises PlanError when width is below 16.
    """
    path = Path(path)
    count = max(3, round(gib * 2**30 / (4 * width**2)))
    dense = rng.standard_normal(width**2, np.float32) / np.float32(width**0.5)
    tensors, truth = [], {}
    with path.with_name(f"{path.name}.data").open("wb") as data:
        for layer in range(count):
            if layer == count // 2:
                W, truth[f"layer{layer}"] = _planted(rng, width)
                data.write(W.data)
            else:
                data.write(dense[layer * width // count :].data)
                data.write(dense[: layer * width // count].data)
            tensors.append(_external(f"W{layer}", width, data.name, 4 * width**2 * layer))
    onnx.save(_model(tensors, width), path)
    return truth


def _planted(rng: np.random.Generator, width: int) -> tuple[Array, Decomposition]:
    sizes = [part.size for part in np.array_split(np.arange(width), BLOCKS)]
    W, truth = weight(rng, list(zip(sizes, sizes, strict=True)))
    W *= np.float32((BLOCKS / width) ** 0.5)
    return W, truth


def _external(name: str, width: int, file: str, offset: int) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=(width, width))
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", Path(file).name), ("offset", offset), ("length", 4 * width**2)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _model(weights: list[TensorProto], width: int) -> onnx.ModelProto:
    """A chain of MatMuls over the given initializers; onnx.helper, because graphsurgeon would load every weight."""
    values = ["x", *(f"h{layer}" for layer in range(1, len(weights))), "y"]
    nodes = [
        helper.make_node("MatMul", [values[layer], W.name], [values[layer + 1]], name=f"layer{layer}")
        for layer, W in enumerate(weights)
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in "xy")
    graph = helper.make_graph(nodes, "huge", [x], [y], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
