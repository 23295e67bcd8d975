"""The `grouped` lowering: blocks as one convolution of one pixel with a group for each, padded where they differ.

A 1x1 convolution stays one, with its strides and pads. Of any other linear each row becomes an image of one pixel, for
which nothing has to be transposed; ONNX Runtime refuses to convolve an empty image, but not no image at all.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition, Indices
from ....ir.reason import Cause, Reason
from ..nodes.emitter import Emitter
from ..nodes.features_first import enter_rows, leave_rows
from ..nodes.last_axis import Columns
from ..nodes.primitives import addend, affine, bias_of
from ..prices import Prices
from ..seconds import permutation_seconds, window_seconds
from ..target import Target
from .padded import (
    Stack,
    pad,
    padded_ends,
    padded_entries,
    padded_seconds,
    padded_shape,
    why_not_padded,
    why_not_stored,
)
from .protocol import LinearLowering, why_not_beside, why_not_dense

__all__ = ["Grouped"]

# Of a node, what a group of a convolution takes on a GPU for a single row, where groups run one after another: on an
# H200 100 of a forest took 75 us more than predicted without, 64 of a product 32, 16 took 24; with more rows none did.
GROUP_NODES = 0.5
IMAGE_NODES = 3  # a Reshape to images of one pixel, the Conv, a Reshape back


class Grouped(LinearLowering):
    """One Conv of one pixel with as many groups as there are blocks."""

    name = "grouped"
    slices: ClassVar[bool] = True

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a linear with these blocks cannot be written so."""
        if reason := why_not_dense(linear, self):
            return reason
        if linear.slices and linear.layout.kind != "conv":
            return Reason(
                Cause.BATCHED_WEIGHT, "'grouped' convolves, and a stack of matrices is no kernel; use 'scatter'"
            )
        if linear.layout.kind == "axes":
            what = "'grouped' needs the features on the last axis or on that of channels"
            return Reason(Cause.LAYOUT, f"{what}; use 'batched' or 'scatter'")
        if linear.layout.kind == "rows" and linear.dtype != ir.DataType.FLOAT:
            what = f"ONNX Runtime convolves float32 on a CPU, not {linear.dtype.name.lower()}"
            return Reason(Cause.DATA_TYPE, f"{what}; use 'batched' or 'scatter'")
        if reason := why_not_stored(linear, self.name):
            return reason
        if found is None:
            return None
        return why_not_beside(self, linear, found) or why_not_padded(found, target.tile(linear.dtype))

    def entries(self, found: Decomposition, tile: int) -> int:
        """Those of all blocks, padded."""
        return padded_entries(found, tile)

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """One convolution of planes where there are any, else of an image of one pixel for every row."""
        if not linear.layout.boundary_transposes:
            B, k, n = padded_shape(found, prices.tile(int(linear.dtype.itemsize)))
            window = window_seconds([(B * k, n)], linear.taps, rows, int(linear.dtype.itemsize), prices)
            return padded_seconds(linear, found, rows, prices) + window
        itemsize = int(linear.dtype.itemsize)
        tile = prices.tile(itemsize)
        B, k, n = padded_shape(found, tile)
        held = B * k * n * itemsize
        load = held * (prices.dram_byte_s if held > prices.llc_bytes else prices.llc_byte_s) * prices.unpacked_factor
        # The kernels of all groups are read again for every row.
        work = max(load, rows * (held * prices.conv_byte_s + B * prices.conv_group_s))
        if prices.card and rows == 1:
            work += B * GROUP_NODES * prices.node_s
        permuted = permutation_seconds(padded_ends(found, tile), rows, itemsize, prices)
        return IMAGE_NODES * prices.node_s + work + permuted

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit the channels in block order, one Conv with as many groups as there are blocks, and the natural order."""
        stack = pad(found, target.tile(emitter.linear.dtype))
        planes = emitter.linear.layout.kind == "conv"
        return (_planes if planes else _pixels)(emitter, constants, stack)


def _planes(emitter: Emitter, constants: Constants, stack: Stack) -> ir.Value:
    linear = emitter.linear
    node, (B, _, n) = linear.node, stack.shape
    x = _channels(emitter, linear.activation, stack.inputs.reshape(-1), linear.shape[0], "gather")
    windows = (1,) * ((linear.layout.rank or 2) - 2)
    kernels = _kernels(emitter, constants, stack) if linear.slices else _weight(emitter, constants, stack, windows)
    inputs: list[ir.Value | None] = [x, kernels]
    bias = bias_of(linear, constants) if linear.bias is not None and linear.bias.node is None else None
    if bias is not None:
        inputs.append(emitter.constant(stack.spread(bias), "blocks/bias"))
    y = emitter.node(node.op_type, inputs, "blocks", {**node.attributes, "group": B}, domain=node.domain)[0]
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


def _kernels(emitter: Emitter, constants: Constants, stack: Stack) -> ir.Value:
    """Those of several pixels, (B·n, k, *window), or as a transposed convolution has them (B·k, n, *window)."""
    linear, (B, k, n) = emitter.linear, stack.shape
    stored = linear.stored(constants)
    matrices = np.moveaxis(stored.reshape(*stored.shape[:2], -1), 2, 0)
    stacks = [stack.weight(one.T if linear.transposed else one) for one in matrices]  # (B, k, n) of each pixel
    parts = [np.swapaxes(one, 1, 2).reshape(B * n, k) if linear.transposed else one.reshape(B * k, n) for one in stacks]
    whole = np.stack(parts, axis=-1)
    return emitter.constant(whole.reshape(*whole.shape[:2], *linear.slices), "blocks/weight")


def _weight(emitter: Emitter, constants: Constants, stack: Stack, windows: tuple[int, ...]) -> ir.Value:
    """The kernels of all blocks, (B·n, k) and ones."""
    B, k, n = stack.shape
    stacked = np.swapaxes(stack.weight(emitter.linear.canonical(constants)), 1, 2)
    return emitter.constant(stacked.reshape(B * n, k, *windows), "blocks/weight")
