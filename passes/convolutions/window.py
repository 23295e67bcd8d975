"""Windows of convolutions that have borders of zeros: smaller windows compute the same.

    0 0 0                         pads 1 1 1 1  ──►  pads 0 0 0 0
    0 w 0  ──►  w                 what pads do not have is cut off the input instead
    0 0 0

A frame of 512 places with a window of 400 in its middle, or a kernel that was padded to a common size, has them.
Entries that are zero read nothing, as in blocks: NaN and infinity that only they multiply are not seen any more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.node import FLOATS, NodeView
from ...ir.graph.operators import is_standard
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_convolution import ConvolutionForm
from ..decompose.fingerprint import fingerprint
from ..lowering.prices import Prices
from .sized import ShapeOf, convolution_seconds

__all__ = ["SmallerWindow", "smaller_window"]

UNPADDED = ("NOTSET", "VALID")


@dataclass(frozen=True, slots=True, eq=False)
class SmallerWindow:
    """A convolution whose window (first … last along each axis) holds all that is not zero.

    pads: before each axis, then behind each; below zero where so much is to be cut off the input.
    """

    node: ir.Node
    weight: ir.Value
    shape: tuple[int, ...]
    first: tuple[int, ...]
    last: tuple[int, ...]
    pads: tuple[int, ...]
    groups: int
    constants: Constants
    form = ConvolutionForm.WINDOW

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operator."""
        return (self.node,)

    @property
    def sha256(self) -> str:
        """Of the weight."""
        return fingerprint(self.constants.read(self.weight))

    @property
    def size(self) -> tuple[int, ...]:
        """Places of the window along each axis."""
        return tuple(last - first + 1 for first, last in zip(self.first, self.last, strict=True))

    def kernel(self) -> npt.NDArray[np.generic]:
        """The weights that stay."""
        places = (slice(first, last + 1) for first, last in zip(self.first, self.last, strict=True))
        return np.ascontiguousarray(self.constants.read(self.weight)[:, :, *places])

    def gain(self, shape_of: ShapeOf, prices: Prices) -> float:
        """Predicted seconds with the whole window over those with the smaller one."""
        extents = shape_of(self.node.outputs[0])
        positions = extents[0] * math.prod(extents[2:])
        before = convolution_seconds(self.shape, self.groups, positions, prices)
        after = convolution_seconds((*self.shape[:2], *self.size), self.groups, positions, prices)
        if min(self.pads) < 0 and self.node.inputs[0] is not None:
            after += prices.node_s + math.prod(shape_of(self.node.inputs[0])) * prices.copy_s
        return before / after

    @property
    def said(self) -> str:
        """What is done, for people."""
        before, after = ("x".join(map(str, size)) for size in (self.shape[2:], self.size))
        return f"every weight outside of {after} of its {before} places is zero: a smaller window"


def smaller_window(node: ir.Node, constants: Constants) -> SmallerWindow | None:
    """The convolution over a smaller window; None for any other node, and where the whole window is needed."""
    if node.op_type != "Conv" or not is_standard(node) or len(node.inputs) < 2 or len(node.outputs) != 1:
        return None
    one, weight = NodeView(node, constants), node.inputs[1]
    source = node.inputs[0]
    if weight is None or weight not in constants or source is None or source in constants:
        return None
    shape, dtype = constants.describe(weight)
    axes = len(shape) - 2
    if dtype not in FLOATS or axes < 1 or not all(shape) or one.attribute("auto_pad", "NOTSET") not in UNPADDED:
        return None
    if any(constants.is_ambiguous(leaf) for leaf in constants.leaves(weight)) or math.prod(shape[2:]) == 1:
        return None
    try:
        ends = _ends(constants.read(weight))
    except ModelError:
        return None
    if ends is None or all(
        first == 0 and last == extent - 1 for (first, last), extent in zip(ends, shape[2:], strict=True)
    ):
        return None
    first, last = (tuple(end) for end in zip(*ends, strict=True))
    steps = one.attribute("dilations") or [1] * axes
    pads = one.attribute("pads") or [0] * (2 * axes)
    gone = [*first, *(extent - 1 - end for extent, end in zip(shape[2:], last, strict=True))]
    left = tuple(int(pad) - less * int(step) for pad, less, step in zip(pads, gone, [*steps, *steps], strict=True))
    return SmallerWindow(node, weight, shape, first, last, left, int(one.attribute("group", 1)), constants)


def _ends(weight: npt.NDArray[np.generic]) -> Sequence[tuple[int, int]] | None:
    """The first and the last place along each axis of a window where something is not zero; None where nothing is."""
    ends = []
    for axis in range(2, weight.ndim):
        places = range(weight.shape[axis])
        first = next((place for place in places if weight.take(place, axis).any()), None)
        if first is None:
            return None
        ends.append((first, next(place for place in reversed(places) if weight.take(place, axis).any())))
    return ends
