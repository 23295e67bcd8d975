"""Why the weight of a linear cannot be annealed."""

from __future__ import annotations

from ...ir.graph.linear import Linear
from ...ir.reason import Cause, Reason

__all__ = ["obstacle"]


def obstacle(linear: Linear, *, residual: bool = False) -> Reason | None:
    """The reason that speaks against another weight in the place of a linear's; None when nothing does.

    residual: whether some entries are to be kept beside the blocks, which needs a product to add to the result.
    """
    if linear.is_dequantised:
        turned = "its weight is quantised, and removing weights would turn it to floating point; anneal it before"
        return Reason(Cause.QUANTISED, turned)
    if linear.slices:
        return Reason(Cause.UNTESTED, "its weight is several matrices, and tests of edges are of one")
    if sum(value is linear.weight for value in linear.node.inputs) != 1 or linear.weight is linear.activation:
        return Reason(Cause.UNSUPPORTED, "the operator reads its weight twice")
    if not residual:
        return None
    if linear.fused:
        own = "it has an activation function of its own, so residual weights cannot be added to its result; drop them"
        return Reason(Cause.FUSED, own)
    if linear.layout.kind != "rows":
        inner = "its features are not on the last axis, so residual weights cannot be kept beside blocks; drop them"
        return Reason(Cause.LAYOUT, inner)
    return None
