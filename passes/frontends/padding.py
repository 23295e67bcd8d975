"""Zeros that a model puts before and behind a signal, which a convolution of its frames has as pads of its own.

x (B, T) ─ Pad ─► (B, P + T + P) ─ Unsqueeze ─► (B, 1, P + T + P) ─► frames          x ─► frames with pads P
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import only_use
from ...ir.graph.node import NodeView
from ...ir.graph.operators import is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir

__all__ = ["Padding", "padding"]

AXES, FILLED = 3, 2  # operands of Pad
LEAST = 11  # the operator set from which pads are an operand


@dataclass(frozen=True, slots=True, eq=False)
class Padding:
    """signal: what is padded; pads: zeros before and behind it; nodes: operators that do it, the first one first."""

    signal: ir.Value
    pads: tuple[int, int]
    nodes: tuple[ir.Node, ...]


def padding(signal: ir.Value, most: int, constants: Constants) -> Padding | None:
    """What puts at most so many zeros on either side of a signal that nobody else reads; None where nothing does."""
    try:
        return _padding(signal, most, constants)
    except (ModelError, MemoryError, OSError, ValueError):
        return None


def _padding(signal: ir.Value, most: int, constants: Constants) -> Padding | None:
    nodes: list[ir.Node] = []
    node = signal.producer()
    if node is not None and node.op_type == "Unsqueeze" and is_standard(node):
        source, axes = node.inputs[0], NodeView(node, constants).integers("axes", 1)
        extents = None if source is None else shape_of(source)
        if source is None or extents is None or len(extents) != 2 or axes not in ([1], [-2]):
            return None
        if only_use(signal) is None:
            return None
        nodes, signal, node = [node], source, source.producer()
    if node is None or node.op_type != "Pad" or not is_standard(node) or only_use(signal) is None:
        return None
    pads = _zeros(NodeView(node, constants))
    source = node.inputs[0]
    if source is None or source in constants or pads is None or max(pads) > most or shape_of(source) is None:
        return None
    return Padding(source, pads, (node, *nodes))


def _zeros(one: NodeView) -> tuple[int, int] | None:
    """How many zeros are put before and behind the last axis, None where that is not all that is done."""
    if one.constants.opset < LEAST or one.attribute("mode", "constant") != "constant" or one.operand(AXES) is not None:
        return None
    filled, pads = one.small(FILLED), one.integers("pads", 1)
    if one.operand(FILLED) is not None and (filled is None or np.asarray(filled).any()):
        return None
    if pads is None or len(pads) < 4 or min(pads) < 0:
        return None
    rank = len(pads) // 2
    before, behind = pads[rank - 1], pads[-1]
    return (before, behind) if sum(pads) == before + behind else None
