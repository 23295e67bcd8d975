"""Convolutions of one pixel: which pixels they read, and those by themselves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....ir.onnx_ir import onnx_ir as ir
from ....ir.reason import Cause, Reason
from ..nodes.emitter import Emitter

__all__ = ["PADS", "STEPS", "keeps_pixels", "pixels", "why_not_pixels"]

PADS = 11  # operator set whose Pad takes pads as an operand, and every type of a product
STEPS = 10  # operator set whose Slice takes steps


def keeps_pixels(node: ir.Node) -> bool:
    """Whether a convolution of one pixel leaves none out and adds none: it has neither strides nor pads."""
    return not (_steps(node) or _pads(node))


def why_not_pixels(node: ir.Node, opset: int) -> Reason | None:
    """Why the pixels that a convolution reads cannot be had by themselves in an operator set; None where they can."""
    if _pads(node) and opset < PADS:
        told = f"Pad has taken every type since operator set {PADS}, the model has {opset}"
        return Reason(Cause.OPERATOR_SET, told)
    if _steps(node) and opset < STEPS:
        told = f"Slice has taken steps since operator set {STEPS}, the model has {opset}"
        return Reason(Cause.OPERATOR_SET, told)
    return None


def pixels(emitter: Emitter) -> ir.Value:
    """The pixels that a convolution of one pixel reads, one for each that it writes: padded by zeros, every nth."""
    value, node = emitter.linear.activation, emitter.linear.node
    pads, steps = _pads(node), _steps(node)
    if pads:
        half = len(pads) // 2
        around = [0, 0, *pads[:half], 0, 0, *pads[half:]]
        value = emitter.one("Pad", [value, emitter.integers(around, "pixels/pads")], "pixels")
    if steps:
        axes = range(2, 2 + len(steps))
        bounds = {
            "starts": [0] * len(steps),
            "ends": [np.iinfo(np.int64).max] * len(steps),
            "axes": list(axes),
            "steps": list(steps),
        }
        operands = [emitter.integers(numbers, f"pixels/{name}") for name, numbers in bounds.items()]
        value = emitter.one("Slice", [value, *operands], "pixels")
    return value


def _steps(node: ir.Node) -> Sequence[int]:
    """Of every axis of pixels each how manieth is read; none where all are."""
    strides = node.attributes.get("strides")
    found = strides.as_ints() if strides else ()
    return found if any(step != 1 for step in found) else ()


def _pads(node: ir.Node) -> Sequence[int]:
    """Zeros before and behind each axis of pixels; none where there are none. One pixel needs no padding to be whole,
    so that whatever else than numbers is said of it adds nothing."""
    pads, auto = node.attributes.get("pads"), node.attributes.get("auto_pad")
    if pads is None or (auto is not None and auto.as_string() != "NOTSET"):
        return ()
    found = pads.as_ints()
    return found if any(found) else ()
