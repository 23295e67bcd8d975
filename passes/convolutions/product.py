"""Products of the channels of convolutions behind operators that move elements: convolutions of one place before them.

    Conv ─► Relu ─► Squeeze ─► Transpose ─► MatMul(W) ─► Add(b)
    Conv ─► Relu ─► Conv(Wᵀ, b) ─► Squeeze ─► Transpose

A network in one dimension has its channels first in convolutions, and last in a dense layer that follows. Kernels of
ONNX Runtime keep the channels of convolutions in blocks of their own, which it takes apart before anything else reads
them: it is the results of the product that are taken apart and moved, where these are fewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.linear import only_use
from ...ir.graph.node import NodeView
from ...ir.graph.operators import FUSED_ACTIVATIONS, MOVES_WHOLE, is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_convolution import ConvolutionForm
from ..decompose.fingerprint import fingerprint
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import products_seconds
from .moves import added_by_channel, axis_behind, channels_of
from .sized import ShapeOf, convolution_seconds

__all__ = ["LateProduct", "late_product"]

IMAGE = 4  # axes of what kernels that keep channels in blocks convolve


@dataclass(frozen=True, slots=True, eq=False)
class LateProduct:
    """A product with a constant; moves: what stands before it, the first of them first; source: what that moves.

    sum, added: what is added to each of the results right behind it, and the operator that does; None where nothing is.
    """

    node: ir.Node
    moves: tuple[ir.Node, ...]
    source: ir.Value
    sum: ir.Node | None
    added: ir.Value | None
    constants: Constants
    form = ConvolutionForm.PRODUCT

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operators."""
        return (self.node, *self.moves, *([] if self.sum is None else [self.sum]))

    @property
    def sha256(self) -> str:
        """Of its weight and of what is added."""
        bias = self.bias()
        return fingerprint(np.concatenate([self._weight().reshape(-1), [] if bias is None else bias]))

    def kernel(self) -> npt.NDArray[np.generic]:
        """The weights of a convolution (results, channels, 1, 1)."""
        return np.ascontiguousarray(self._weight().T)[:, :, None, None]

    def bias(self) -> npt.NDArray[np.generic] | None:
        """One value for each result; None where nothing is added."""
        if self.added is None:
            return None
        return np.broadcast_to(self.constants.read(self.added).reshape(-1), (self._weight().shape[1],))

    def _weight(self) -> npt.NDArray[np.generic]:
        weight = self.node.inputs[1]
        assert weight is not None
        return self.constants.read(weight)

    def gain(self, shape_of: ShapeOf, prices: Prices) -> float:
        """Predicted seconds as it is over those of the convolution; 0 on a card, whose kernels keep no blocks."""
        weight = self.node.inputs[1]
        assert weight is not None
        if prices.card:
            return 0.0
        shape = shape_of(self.source)
        (channels, results), places = self.constants.describe(weight)[0], shape[0] * math.prod(shape[2:])
        turns = sum(move.op_type == "Transpose" for move in self.moves) * prices.transpose_cached_s
        before = products_seconds([(channels, results)], places, FLOAT_BYTES, prices) + turns * places * channels
        before += prices.node_s + places * results * prices.elementwise_s if self.sum is not None else 0.0
        after = convolution_seconds((results, channels, 1, 1), 1, places, prices) + turns * places * results
        return before / after

    @property
    def said(self) -> str:
        """What is done, for people."""
        return "a product of channels behind operators that move them: a convolution of one place before these"


def late_product(node: ir.Node, constants: Constants) -> LateProduct | None:
    """A product that could be a convolution before what moves the channels; None for any other node.

    It makes no more results than there are channels.
    """
    weight, x = _weight_of(node, constants), node.inputs[0] if node.inputs else None
    if weight is None or x is None:
        return None
    moves, source = _moves_before(x, node)
    channels, results = constants.describe(weight)[0]
    made, shape = shape_of(node.outputs[0]), shape_of(source)
    if not moves or made is None or shape is None or len(shape) != IMAGE or results > channels:
        return None
    if _axis_behind(moves, constants) != len(made) - 1 or not _is_convolved(source, channels, constants):
        return None
    total, added = _sum_behind(node, len(made), results, constants)
    return LateProduct(node, moves, source, total, added, constants)


def _weight_of(node: ir.Node, constants: Constants) -> ir.Value | None:
    """The matrix on the right of a product that nobody gives otherwise; None where there is none."""
    if node.op_type != "MatMul" or not is_standard(node) or len(node.inputs) != 2:
        return None
    weight = node.inputs[1]
    if weight is None or weight not in constants or constants.has_ambiguous_leaf(weight):
        return None
    shape, dtype = constants.describe(weight)
    if len(shape) != 2 or not all(shape) or dtype != ir.DataType.FLOAT or constants.is_overridable(weight):
        return None
    try:
        constants.read(weight)
    except ModelError:
        return None
    return weight


def _moves_before(value: ir.Value, reader: ir.Node) -> tuple[tuple[ir.Node, ...], ir.Value]:
    """The operators that move what makes a value, and nobody else reads, and what the first of them reads."""
    moves: list[ir.Node] = []
    while True:
        maker = value.producer()
        if (
            maker is None
            or maker.op_type not in MOVES_WHOLE
            or not is_standard(maker)
            or maker.graph is not reader.graph
        ):
            break
        if only_use(value) is None or maker.inputs[0] is None:
            break
        moves.append(maker)
        value = maker.inputs[0]
    return tuple(moves[::-1]), value


def _axis_behind(moves: tuple[ir.Node, ...], constants: Constants) -> int | None:
    """Where the channels of an image are behind operators that move it; None where that is not known."""
    axis: int | None = 1
    for move in moves:
        read = move.inputs[0]
        shape = None if read is None else shape_of(read)
        if shape is None or axis is None:
            return None
        axis = axis_behind(NodeView(move, constants), axis, len(shape))
    return axis


def _is_convolved(value: ir.Value, channels: int, constants: Constants) -> bool:
    """Whether a convolution makes so many channels of images, and functions that its kernels apply."""
    maker = value.producer()
    while (
        maker is not None and maker.op_type in FUSED_ACTIVATIONS and is_standard(maker) and maker.inputs[0] is not None
    ):
        maker = maker.inputs[0].producer()
    if maker is None or maker.op_type != "Conv" or not is_standard(maker) or len(maker.inputs) < 2:
        return False
    weight = maker.inputs[1]
    if weight is None or weight not in constants:
        return False
    shape, dtype = constants.describe(weight)
    return dtype == ir.DataType.FLOAT and len(shape) == IMAGE and channels_of(maker, constants) == channels


def _sum_behind(node: ir.Node, rank: int, results: int, constants: Constants) -> tuple[ir.Node | None, ir.Value | None]:
    """The operator that adds a constant to each result, and that; None where the only reader does something else."""
    use = only_use(node.outputs[0])
    if use is None or use[0].op_type != "Add" or not is_standard(use[0]) or use[0].graph is not node.graph:
        return None, None
    reader, _ = use
    added = added_by_channel(reader, rank - 1, rank, results, constants)
    return (None, None) if added is None else (reader, added)
