"""The `grouped` lowering: blocks as one convolution of one pixel with a group for each, padded where they differ.

A 1x1 convolution stays one, with its strides and pads. Of any other linear each row becomes an image of one pixel, for
which nothing has to be transposed; ONNX Runtime refuses to convolve an empty image, but not no image at all.
"""

from __future__ import annotations

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition, Indices
from ..nodes.emitter import Emitter
from ..nodes.features_first import enter_rows, leave_rows
from ..nodes.last_axis import Columns
from ..nodes.primitives import addend, affine, bias_of
from .batched import Stack, pad

__all__ = ["grouped"]


def grouped(emitter: Emitter, constants: Constants, decomposition: Decomposition, tile: int = 1) -> ir.Value:
    """Emit the channels in block order, one Conv with as many groups as there are blocks, and the natural order."""
    stack = pad(decomposition, tile)
    planes = emitter.linear.layout.kind == "conv"
    return (_planes if planes else _pixels)(emitter, constants, stack)


def _planes(emitter: Emitter, constants: Constants, stack: Stack) -> ir.Value:
    linear = emitter.linear
    node, (B, _, n) = linear.node, stack.shape
    x = _channels(emitter, linear.activation, stack.inputs.reshape(-1), linear.shape[0], "gather")
    windows = (1,) * ((linear.layout.rank or 2) - 2)
    inputs: list[ir.Value | None] = [x, _weight(emitter, constants, stack, windows)]
    bias = bias_of(linear, constants) if linear.bias is not None and linear.bias.node is None else None
    if bias is not None:
        inputs.append(emitter.constant(stack.spread(bias), "blocks/bias"))
    y = emitter.node("Conv", inputs, "blocks", {**node.attributes, "group": B}, domain=node.domain)[0]
    return _channels(emitter, y, stack.places(), B * n, "scatter")


def _channels(emitter: Emitter, value: ir.Value, order: Indices, extent: int, role: str) -> ir.Value:
    if order.size == extent and (order == np.arange(extent)).all():
        return value
    return emitter.one("Gather", [value, emitter.integers(order, f"{role}/order")], role, axis=1)


def _pixels(emitter: Emitter, constants: Constants, stack: Stack) -> ir.Value:
    linear, (B, k, n) = emitter.linear, stack.shape
    frame = enter_rows(emitter)
    single = linear.layout.rank == 1
    columns = Columns(emitter, frame.features, 2, (1, linear.shape[0]) if single else None)
    ordered = columns.take(frame.features, stack.inputs.reshape(-1), linear.shape[0], "gather")
    images = emitter.one("Reshape", [ordered, emitter.integers([-1, B * k, 1], "blocks/inputs")], "blocks")
    inputs = [images, _weight(emitter, constants, stack, (1,))]
    results = emitter.one("Conv", inputs, "blocks", group=B, kernel_shape=[1])
    joined = emitter.one("Reshape", [results, emitter.integers([-1, B * n], "blocks/outputs")], "blocks")
    whole = affine(emitter, columns.take(joined, stack.places(), B * n, "scatter"), constants, behind=0)
    return addend(emitter, leave_rows(emitter, frame, whole))


def _weight(emitter: Emitter, constants: Constants, stack: Stack, windows: tuple[int, ...]) -> ir.Value:
    """The kernels of all blocks, (B·n, k) and ones."""
    B, k, n = stack.shape
    stacked = np.swapaxes(stack.weight(emitter.linear.canonical(constants)), 1, 2)
    return emitter.constant(stacked.reshape(B * n, k, *windows), "blocks/weight")
