"""Convolutions of one pixel: whether every pixel has its own result."""

from __future__ import annotations

from ....ir.onnx_ir import onnx_ir as ir

__all__ = ["keeps_pixels"]


def keeps_pixels(node: ir.Node) -> bool:
    """Whether a convolution of one pixel leaves none out and adds none: it has neither strides nor pads."""
    strides, pads = node.attributes.get("strides"), node.attributes.get("pads")
    return not (strides and any(s != 1 for s in strides.as_ints())) and not (pads and any(pads.as_ints()))
