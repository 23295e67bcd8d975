"""Fourier transforms along one axis of known length, which are products with a constant matrix.

DFT of n places, real or complex (C is 1 or 2), forward or inverse, all frequencies or half of them:

    x (…, n, …, C)  ──►  (…, n · C)  ·  W (n · C, bins · 2)  ──►  (…, bins · 2)  ──►  (…, bins, …, 2)

and of half of the frequencies of a real signal back to its n places, where the other half is the same turned round:

    X (…, n/2 + 1, …, 2)  ──►  (…, n + 2)  ·  W (n + 2, n)  ──►  (…, n)  ──►  (…, n, …, 1)

ONNX Runtime transforms lengths that are no power of two by way of one that is, four times as long, and in single
precision: the product is faster and nearer to the exact result, and may be written as smaller ones.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.graph.constants import Constants
from ...ir.graph.node import NodeView, from_first
from ...ir.graph.operators import is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_convolution import ConvolutionForm
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import dense_seconds, transpose_seconds
from .fourier import transform_seconds
from .sized import ShapeOf

__all__ = ["TransformMatrix", "axis_and_length", "is_ambiguous", "transform_matrix"]

LONGEST = 4096  # places of either side; the matrices of longer ones would take more memory than the transform is worth
AXIS_AS_OPERAND = 20  # the operator set from which DFT reads its axis


@dataclass(frozen=True, slots=True, eq=False)
class TransformMatrix:
    """A DFT of float32 along an axis of known length; places: of that axis; parts: 1 of real signals, 2 of complex
    ones; length: of the transform, for which places are left out or zeros are added; bins: places of the result;
    results: its parts, 2, or 1 of an inverse of half of the frequencies."""

    node: ir.Node
    signal: ir.Value
    rank: int
    axis: int
    places: int
    parts: int
    length: int
    bins: int
    inverse: bool
    results: int = 2
    form = ConvolutionForm.MATRIX

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operator."""
        return (self.node,)

    @property
    def sha256(self) -> str:
        """Of all that decides the result."""
        told = (self.rank, self.axis, self.places, self.parts, self.length, self.bins, self.inverse)
        # What digests were made of before there were results of one part.
        whole = told if self.results == 2 else (*told, self.results)
        return hashlib.sha256(repr(whole).encode()).hexdigest()

    @property
    def moves(self) -> bool:
        """Whether the axis does not stand before the parts already."""
        return self.axis != self.rank - 2

    def matrix(self) -> npt.NDArray[np.float32]:
        """The weight (places · parts, bins · results), computed in float64 and rounded once."""
        # The angle modulo a whole turn is exact as an integer.
        turns = np.outer(np.arange(self.places), np.arange(self.bins)) % self.length
        angles = (2 if self.inverse else -2) * math.pi / self.length * turns
        cosines, sines = np.cos(angles), np.sin(angles)
        cosines[self.length :], sines[self.length :] = 0, 0
        if self.results == 1:  # what has a counterpart in the other half counts twice
            twice = np.where(np.arange(self.places) * 2 % self.length, 2.0, 1.0)[:, None]
            cosines, sines = twice * cosines, twice * sines
        of_real = np.stack([cosines, sines][: self.results], 2).reshape(self.places, 1, -1)
        of_imaginary = np.stack([-sines, cosines][: self.results], 2).reshape(self.places, 1, -1)
        whole = np.concatenate([of_real, of_imaginary][: self.parts], 1).reshape(self.places * self.parts, -1)
        return (whole / (self.length if self.inverse else 1)).astype(np.float32)

    def gain(self, shape_of: ShapeOf, prices: Prices) -> float:
        """Predicted seconds of the transform over those of the product."""
        extents = shape_of(self.signal)
        rows = math.prod(extents) // max(self.places * self.parts, 1)
        sides = (self.places * self.parts, self.bins * self.results)
        after = dense_seconds(sides, rows, FLOAT_BYTES, prices) + 2 * prices.view_s
        if self.moves:
            after += sum(transpose_seconds(rows * side, FLOAT_BYTES, prices) for side in sides)
        return (prices.node_s + rows * transform_seconds(self.length)) / after

    @property
    def said(self) -> str:
        """What is done, for people."""
        return f"the Fourier transform of {self.length} places is a product with a constant: written as one"


def transform_matrix(node: ir.Node, constants: Constants) -> TransformMatrix | None:
    """The transform that a node computes; None for any other node, and where its length or axis is not known."""
    if node.op_type != "DFT" or not is_standard(node) or not node.inputs:
        return None
    one, signal = NodeView(node, constants), node.inputs[0]
    shape = None if signal is None else shape_of(signal)
    if signal is None or shape is None or signal.dtype != ir.DataType.FLOAT or signal in constants or len(shape) < 3:
        return None
    told = axis_and_length(one)
    if told is None or not -len(shape) <= told[0] < len(shape):
        return None
    axis, parts = from_first(told[0], len(shape)), shape[-1]
    places = shape[axis]
    if axis == len(shape) - 1 or not isinstance(places, int) or not isinstance(parts, int) or parts not in (1, 2):
        return None
    onesided, inverse = bool(one.attribute("onesided", 0)), bool(one.attribute("inverse", 0))
    back = onesided and inverse
    length = (2 * (places - 1) if back else places) if told[1] is None else told[1]
    if is_ambiguous(one, places, parts, told[1]) or not 2 <= length <= LONGEST or not 1 <= places <= LONGEST:
        return None
    bins = length // 2 + 1 if onesided and not back else length
    return TransformMatrix(node, signal, len(shape), axis, places, parts, length, bins, inverse, 1 if back else 2)


def is_ambiguous(one: NodeView, places: int, parts: int, length: int | None) -> bool:
    """Whether releases disagree about a DFT of so many places and parts, of a length that it is told or of none.

    Half of the frequencies is what real signals have. An inverse of half of them gives a real signal by newer releases
    of ONNX, as shapes tell; where frequencies are missing or too many for its length, runtimes and numpy differ.
    """
    onesided, inverse = bool(one.attribute("onesided", 0)), bool(one.attribute("inverse", 0))
    if not onesided or (parts == 1 and not inverse):
        return False
    if parts == 1 or not inverse or not (length is None or length // 2 + 1 == places):
        return True
    result = shape_of(one.node.outputs[0])
    return result is None or result[-1] != 1


def axis_and_length(one: NodeView) -> tuple[int, int | None] | None:
    """The axis of a DFT and the length that it is told, None for none; None where either is computed."""
    length = one.small(1)
    if one.operand(1) is not None and (length is None or length.size != 1):
        return None
    if one.constants.opset < AXIS_AS_OPERAND:
        axis = int(one.attribute("axis", 1))
    else:
        read = one.small(2)
        if one.operand(2) is not None and (read is None or read.size != 1):
            return None
        axis = -2 if read is None else int(read.item())
    return axis, None if length is None else int(length.item())
