"""What the speed of a submodel depends on: its operators, shapes, types and blocks, and nothing else."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ....ir.io.tensors import read
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.decomposition import Decomposition
from ...decompose.blocks import is_run

__all__ = ["signature"]

SMALL = 16  # integer constants up to so many entries are sizes, axes and the like: they count by what they hold


def signature(submodel: ir.Model, decompositions: Iterable[Decomposition]) -> dict[str, Any]:
    """A submodel and the blocks of its operators without names and weights, for JSON; alike are equally fast.

    Of blocks their shapes count, and of both ends whether features lie in order, in runs or scattered.
    """
    numbers: dict[ir.Value, int] = {}
    symbols: dict[str | None, str] = {}
    constants = [value for value in submodel.graph.initializers.values() if value.const_value is not None]
    inputs = [value for value in submodel.graph.inputs if value.const_value is None]
    for value in (*inputs, *constants):
        numbers[value] = len(numbers)
    nodes = []
    for node in submodel.graph:
        read_ = [None if value is None else numbers[value] for value in node.inputs]
        for value in node.outputs:
            numbers[value] = len(numbers)
        attributes = sorted(f"{key}={_attribute(attribute)}" for key, attribute in node.attributes.items())
        nodes.append([node.domain, node.op_type, read_, attributes])
    return {
        "opset": sorted(submodel.opset_imports.items()),
        "inputs": [[_type(value), [_dim(dim, symbols) for dim in value.shape or ()]] for value in inputs],
        "constants": [_constant(value) for value in constants],
        "nodes": nodes,
        "outputs": [numbers[value] for value in submodel.graph.outputs],
        "blocks": [_blocks(found) for found in decompositions],
    }


def _type(value: ir.Value) -> str:
    return value.dtype.name if value.dtype is not None else str(value.type)


def _dim(dim: Any, symbols: dict[str | None, str]) -> int | str:
    """An extent, symbols numbered in the order that they come in: what they are called does not matter."""
    if isinstance(dim, int):
        return dim
    return symbols.setdefault(dim.value, f"#{len(symbols)}") if dim.value is not None else "?"


def _attribute(attribute: ir.Attr) -> str:
    if attribute.type != ir.AttributeType.TENSOR:
        return str(attribute.value)
    return json.dumps(_tensor(attribute.value))


def _constant(value: ir.Value) -> list[Any]:
    return _tensor(value.const_value)


def _tensor(tensor: Any) -> list[Any]:
    shape = [int(extent) for extent in tensor.shape]
    sizes = tensor.dtype in (ir.DataType.INT64, ir.DataType.INT32) and math.prod(shape) <= SMALL
    return [tensor.dtype.name, shape, *([read(tensor).tolist()] if sizes else [])]


def _blocks(found: Decomposition) -> dict[str, Any]:
    shapes = json.dumps([block.shape for block in found.blocks])
    return {
        "shape": list(found.shape),
        "count": len(found.blocks),
        "shapes": hashlib.sha256(shapes.encode()).hexdigest()[:16],  # there may be thousands
        "inputs": _order([block.inputs for block in found.blocks], found.shape[0]),
        "outputs": _order([block.outputs for block in found.blocks], found.shape[1]),
    }


def _order(parts: Sequence[Any], size: int) -> str:
    joined = np.concatenate(parts) if parts else np.empty(0, np.int64)
    if joined.size == size and bool((joined == np.arange(size)).all()):
        return "ordered"
    return "runs" if all(part.size and is_run(part) for part in parts) else "scattered"
