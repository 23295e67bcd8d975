"""Why the weight of a linear cannot be annealed."""

from __future__ import annotations

from ...ir.graph.linear import Linear

__all__ = ["obstacle"]


def obstacle(linear: Linear, *, strays: bool = False) -> str | None:
    """The reason that speaks against another weight in the place of a linear's; None when nothing does.

    strays: whether some entries are to be kept beside the blocks, which needs a product to add to the result.
    """
    maker = linear.weight.producer()
    if maker is not None and maker.op_type == "DequantizeLinear":
        return "its weight is quantised, and removing weights would turn it to floating point; anneal it before"
    if sum(value is linear.weight for value in linear.node.inputs) != 1 or linear.weight is linear.activation:
        return "the operator reads its weight twice"
    if not strays:
        return None
    if linear.fused:
        return "it has an activation function of its own, so stray weights cannot be added to its result; drop them"
    if linear.layout.kind != "rows":
        return "its features are not on the last axis, so stray weights cannot be kept beside blocks; drop them"
    return None
