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
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_convolution import ConvolutionForm
from ..decompose.fingerprint import fingerprint
from ..lowering.prices import Prices
from .sized import ShapeOf, convolution_seconds

__all__ = ["SmallerWindow", "smaller_window"]

UNPADDED = ("NOTSET", "VALID")


@dataclass(frozen=True, slots=True, eq=False)
class SmallerWindow:
    """A convolution of whose window only first … last along each axis has to stay.

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
    if constants.has_ambiguous_leaf(weight) or math.prod(shape[2:]) == 1:
        return None
    try:
        ends = _ends(constants.read(weight))
    except ModelError:
        return None
    if ends is None:
        return None
    steps = one.attribute("dilations") or [1] * axes
    pads = one.attribute("pads") or [0] * (2 * axes)
    extents = shape_of(source)
    first, behind, left = [], [], [0] * (2 * axes)
    for axis, (start, end) in enumerate(ends):
        step, padding = int(steps[axis]), (int(pads[axis]), int(pads[axis + axes]))
        extent = None if extents is None else extents[axis + 2]
        gone = _gone((start, shape[axis + 2] - 1 - end), padding, step, extent if isinstance(extent, int) else 0)
        first.append(gone[0])
        behind.append(gone[1])
        left[axis], left[axis + axes] = (pad - less * step for pad, less in zip(padding, gone, strict=True))
    if not any(first) and not any(behind):
        return None
    last = tuple(extent - 1 - less for extent, less in zip(shape[2:], behind, strict=True))
    return SmallerWindow(
        node, weight, shape, tuple(first), last, tuple(left), int(one.attribute("group", 1)), constants
    )


def _gone(zeros: tuple[int, int], pads: tuple[int, int], step: int, least: int) -> tuple[int, int]:
    """How many places a window loses at either end of an axis; least: places that the input has at least.

    Of an input that is shorter than what is to be cut off one end, less is cut off. Padded at the other end, it has
    places for the smaller window that the whole one does not have: there only what pads have goes.

    >>> _gone((4, 0), (4, 0), 1, 0), _gone((0, 4), (4, 0), 1, 0), _gone((0, 4), (4, 0), 1, 4)
    ((4, 0), (0, 0), (0, 4))
    """
    left = tuple(pad - less * step for pad, less in zip(pads, zeros, strict=True))
    if min(left) >= 0 or max(left) <= 0 or sum(max(-pad, 0) for pad in left) <= least:
        return zeros
    before, behind = (min(less, pad // step) for pad, less in zip(pads, zeros, strict=True))
    return before, behind


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
