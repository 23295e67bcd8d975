"""What rounding may come to in a model, where an operator decides by a number."""

from __future__ import annotations

from dataclasses import dataclass

from ....ir.axes.axis_rule import RuleView
from ....ir.graph.constants import Constants
from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["RoundedView", "nearness"]

NEAR = 1e-4  # of a number, or of 1: what rounding of floats of 32 bits may add up to
COARSE = {ir.DataType.FLOAT16: 2e-2, ir.DataType.BFLOAT16: 0.15}  # some forty roundings


@dataclass(frozen=True, eq=False)
class RoundedView(RuleView):
    """A node as bounds look at it; near: what rounding may come to, of a number or of 1."""

    near: float


def nearness(graph: ir.Graph, constants: Constants) -> float:
    """What rounding may come to in a graph: a number that was ever of a coarse type stays as it was rounded."""
    kinds: set[ir.DataType | None] = set()
    read: dict[ir.Value | None, None] = {}
    for node in graph:
        if not (node.outputs and node.outputs[0] in constants):  # then all of them are
            kinds.update([value.dtype for value in node.outputs])
            read.update(dict.fromkeys(node.inputs))
    known = [value for value in read if value is not None]
    kinds |= {constants.describe(value)[1] if value in constants else value.dtype for value in known}
    return max(COARSE.get(kind, NEAR) if kind is not None else NEAR for kind in kinds | {None})
