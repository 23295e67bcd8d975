"""How long the sequences of a batch may be: the bounds of inputs that a recurrent operator reads as lengths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...ir.graph.recurrent import GATES, LENGTHS
from .inputs import UNNAMED, name_of, origin

if TYPE_CHECKING:
    import onnx_ir as ir

__all__ = ["length_bounds"]


def length_bounds(model: ir.Model, sizes: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """The range [1, positions + 1) of each input that says how long the sequences of a recurrent operator are.

    sizes: of the dynamic dimensions. Lengths of 1 where it is not known how many positions there are.
    """
    inputs = {id(value): value for value in model.graph.inputs}
    bounds: dict[str, tuple[int, int]] = {}
    for node in model.graph.all_nodes():
        if node.op_type not in GATES or len(node.inputs) <= LENGTHS:
            continue
        x, lengths = node.inputs[0], node.inputs[LENGTHS]
        name = None if lengths is None else inputs.get(id(origin(lengths)))
        if x is None or name is None or not name.name:
            continue
        top = bounds.get(name.name, (1, 1 << 31))[1]
        bounds[name.name] = (1, min(top, _positions(x, sizes) + 1))
    return bounds


def _positions(x: ir.Value, sizes: Mapping[str, int]) -> int:
    if x.shape is None or len(x.shape) != 3:
        return 1
    extent = x.shape[0]
    if isinstance(extent, int):
        return max(extent, 1)
    if extent.value:
        return sizes.get(extent.value, 1)
    return sizes.get(name_of(x.name or "", 0), sizes.get(UNNAMED, 1)) if x.is_graph_input() else 1
