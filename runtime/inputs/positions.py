"""Which positions of a value an operand points to: ends and starts of a Slice, k of a TopK, indices, sizes of parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from ...ir.errors import ScissionError
from ...ir.graph.constants import Constants
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir

__all__ = ["POINTED", "Pointed", "cut_axes", "pointed"]

Pointed: TypeAlias = 'Literal["end", "index", "split"]'
Dims: TypeAlias = "list[int | str | None]"

POINTED: dict[str, dict[int, Pointed]] = {
    "Slice": {1: "index", 2: "end"},
    "TopK": {1: "end"},
    "Split": {1: "split"},
    "Gather": {1: "index"},
    "GatherElements": {1: "index"},
    "ScatterElements": {1: "index"},
    "Scatter": {1: "index"},
    "GatherND": {1: "index"},
    "ScatterND": {1: "index"},
}


def pointed(node: ir.Node, place: int, constants: Constants) -> tuple[Pointed, tuple[int | str | None, ...]] | None:
    """What an operand points to, and how far: the dimension that each of its entries, or all of them, lies within.

    Dimensions, as `infer_shapes` found them, are sizes or symbols, None where not known. None for an operand
    that points to nothing.
    """
    kind = POINTED.get(node.op_type, {}).get(place)
    data = node.inputs[0] if node.inputs else None
    if kind is None or data is None:
        return None
    dims = _dims(data)
    if node.op_type == "Slice":
        axes = cut_axes(node, constants)
        return kind, tuple(_at(dims, axis) for axis in axes) if axes else (None,)
    if node.op_type in ("GatherND", "ScatterND"):
        first = _integer(node, "batch_dims", 0)
        operand = node.inputs[1]
        shape = shape_of(operand) if operand is not None else None
        last = shape[-1] if shape is not None and len(shape) else None
        return kind, tuple(dims[first : first + last]) if isinstance(last, int) and dims else (None,)
    return kind, (_at(dims, _integer(node, "axis", -1 if node.op_type == "TopK" else 0)),)


def cut_axes(node: ir.Node, constants: Constants) -> Sequence[int] | None:
    """The axes that a Slice cuts, None where they are decided at run time."""
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    try:
        if axes is not None:
            return [int(axis) for axis in constants.read(axes).ravel()] if axes in constants else None
        shapes = [shape_of(one) for one in node.inputs[1:3] if one is not None]
        count = next((shape[0] for shape in shapes if shape is not None), None)
        return range(count) if isinstance(count, int) else None
    except (ScissionError, IndexError):
        return None


def _dims(value: ir.Value) -> Dims:
    shape: Any = shape_of(value)
    if shape is None and value.const_value is not None:
        shape = value.const_value.shape
    return [] if shape is None else [dim if isinstance(dim, int) else dim.value for dim in shape]


def _at(dims: Dims, axis: int) -> int | str | None:
    return dims[axis] if -len(dims) <= axis < len(dims) else None


def _integer(node: ir.Node, name: str, usual: int) -> int:
    attribute = node.attributes.get(name)
    return usual if attribute is None or attribute.is_ref() else attribute.as_int()
