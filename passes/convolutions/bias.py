"""What follows a convolution behind operators that only move elements: it may as well come before them.

    Conv ─► Squeeze ─► Add(b) ─► Relu ─► Transpose        Conv(b) ─► Relu ─► Squeeze ─► Transpose

ONNX Runtime adds a bias and applies a function inside of the convolution, where both directly follow; converters of
networks in one dimension put a Squeeze between them. A constant that has one value a channel becomes the bias; the
function gives every element what it gave it before. The bias was added to the finished sum, and it is added to it last
in the convolution's kernels as well: no sum is rounded otherwise than it was, where ONNX Runtime takes those kernels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import only_use
from ...ir.graph.node import FLOATS, NodeView
from ...ir.graph.operators import CONVOLUTIONS, FUSED_ACTIVATIONS, MOVES_WHOLE, is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_convolution import ConvolutionForm
from ..decompose.fingerprint import fingerprint
from ..lowering.prices import Prices
from .moves import added_by_channel, axis_behind, channels_of
from .sized import ShapeOf, convolution_seconds

__all__ = ["LateBias", "late_bias"]

BIAS = 2  # the operand of a convolution


@dataclass(frozen=True, slots=True, eq=False)
class LateBias:
    """A convolution, and what follows it: the sum that becomes its bias, the function that comes to stand behind it.

    added: the operand of the sum that is the constant. Either may be None, not both.
    """

    node: ir.Node
    sum: ir.Node | None
    added: ir.Value | None
    function: ir.Node | None
    constants: Constants
    form = ConvolutionForm.BIAS

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operators."""
        return tuple(node for node in (self.node, self.sum, self.function) if node is not None)

    @property
    def sha256(self) -> str:
        """Of the constant."""
        return fingerprint(np.zeros(0) if self.added is None else self.constants.read(self.added))

    def bias(self) -> npt.NDArray[np.generic]:
        """One value for each channel."""
        assert self.added is not None
        given, channels = self.constants.read(self.added).reshape(-1), channels_of(self.node, self.constants)
        return np.broadcast_to(given, (channels,))

    def gain(self, shape_of: ShapeOf, prices: Prices) -> float:
        """Predicted seconds with what follows apart over those of the convolution alone."""
        weight, output = self.node.inputs[1], shape_of(self.node.outputs[0])
        assert weight is not None
        groups = NodeView(self.node, self.constants).attribute("group", 1)
        kernel, positions = self.constants.describe(weight)[0], output[0] * math.prod(output[2:])
        alone = convolution_seconds(kernel, groups, positions, prices)
        each = prices.node_s + math.prod(output) * prices.elementwise_s
        return (alone + (len(self.nodes) - 1) * each) / alone

    @property
    def said(self) -> str:
        """What is done, for people."""
        names = " and ".join(str(node.op_type) for node in (self.sum, self.function) if node is not None)
        return f"{names} behind operators that move elements: ONNX Runtime does them inside of the convolution"


def late_bias(node: ir.Node, constants: Constants) -> LateBias | None:
    """What follows a convolution that could come before operators that move elements; None where nothing does."""
    if node.op_type not in CONVOLUTIONS or not is_standard(node) or len(node.outputs) != 1 or len(node.inputs) < BIAS:
        return None
    weight = node.inputs[1]
    if weight is None or weight not in constants or constants.describe(weight)[1] not in FLOATS:
        return None
    moved = gains = False
    total, added, function = None, None, None
    for reader, axis, rank in _followers(node, constants):
        if reader.op_type in MOVES_WHOLE:
            moved = True
            continue
        if reader.op_type == "Add" and total is None and len(node.inputs) == BIAS:
            added = added_by_channel(reader, axis, rank, channels_of(node, constants), constants)
            if added is None:
                break
            total, gains = reader, moved
            continue
        if moved and _is_function(reader, constants):
            function, gains = reader, True
        break
    return LateBias(node, total, added, function, constants) if gains else None


def _followers(node: ir.Node, constants: Constants) -> Iterator[tuple[ir.Node, int, int]]:
    """The only reader of the result, its only reader and so on, with the axis of channels and the rank of what it
    reads, as long as both are known."""
    value, axis = node.outputs[0], 1
    while True:
        shape, use = shape_of(value), only_use(value)
        if shape is None or use is None:
            return
        reader, slot = use
        if reader.graph is not node.graph or not is_standard(reader) or len(reader.outputs) != 1:
            return
        yield reader, axis, len(shape)
        if reader.op_type in MOVES_WHOLE:
            behind = axis_behind(NodeView(reader, constants), axis, len(shape)) if slot == 0 else None
            if behind is None:
                return
            axis = behind
        value = reader.outputs[0]


def _is_function(node: ir.Node, constants: Constants) -> bool:
    """Whether kernels of convolutions can apply a function of elements: its bounds are constants that can be read."""
    bounds = [value for value in node.inputs[1:] if value is not None]
    if node.op_type not in FUSED_ACTIVATIONS or not all(value in constants for value in bounds):
        return False
    try:
        for value in bounds:
            constants.read(value)
    except ModelError:
        return False
    return not any(map(constants.has_ambiguous_leaf, bounds))
