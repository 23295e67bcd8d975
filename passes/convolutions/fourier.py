"""Fourier transforms of windows of a signal, which are a convolution with constant weights.

STFT of frames of n places, a step apart:    y[t, k] = sum over j of x[t·step + j] · w[j] · exp(-2πi·j·k / n)

As a convolution, one kernel for each real and each imaginary part:

    x (B, 1, N)  *  (bins·2, 1, n), stride step  ──►  (B, bins·2, T)  ──►  (B, T, bins·2)  ──►  (B, T, bins, 2)
                     w[j]·cos(2π·j·k/n)
                    -w[j]·sin(2π·j·k/n)

Places where the window is zero, as in one that is shorter than the transform, are left out of the kernels, and of the
ends of the signal. ONNX Runtime transforms lengths that are no power of two by way of one that is, four times as long,
and in single precision: such a convolution is ten times faster and a hundred times nearer to the exact result.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...ir.graph.constants import Constants
from ...ir.graph.node import NodeView
from ...ir.graph.operators import is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plan.rewritten_convolution import ConvolutionForm
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import products_seconds, transpose_seconds
from .sized import ShapeOf

__all__ = ["Fourier", "fourier", "transform_seconds"]

LONGEST = 4096  # places of a frame; the kernels of longer ones would take more memory than the transform is worth
BUTTERFLY_S = 2.2e-9  # seconds of ONNX Runtime's transform a place and halving, where the length is a power of two
CHIRP_S = 4.5e-9  # the same of the longer power of two by way of which it computes any other length


@dataclass(frozen=True, slots=True, eq=False)
class Fourier:
    """An STFT of real signals (B, N) or (B, N, 1) with a constant window; step: between frames; bins: frequencies."""

    node: ir.Node
    signal: ir.Value
    rank: int
    step: int
    window: npt.NDArray[np.float64]
    bins: int
    form = ConvolutionForm.FOURIER

    @property
    def nodes(self) -> tuple[ir.Node, ...]:
        """The operator."""
        return (self.node,)

    @property
    def sha256(self) -> str:
        """Of the window, and of what else decides the result."""
        digest = hashlib.sha256(repr((self.rank, self.step, self.bins, self.window.size)).encode())
        digest.update(self.window.tobytes())
        return digest.hexdigest()

    @property
    def places(self) -> tuple[int, int]:
        """The first and the last place of the window that is not zero."""
        there = np.flatnonzero(self.window)
        return int(there[0]), int(there[-1])

    def kernel(self) -> npt.NDArray[np.float32]:
        """The weights (bins · 2, 1, places), computed in float64 and rounded once."""
        first, last = self.places
        length = self.window.size
        # The angle modulo a whole turn is exact as an integer.
        turns = np.arange(self.bins)[:, None] * np.arange(first, last + 1)[None] % length
        angles = 2 * math.pi / length * turns
        both = np.stack([np.cos(angles), -np.sin(angles)], 1).reshape(2 * self.bins, -1)
        return (both * self.window[first : last + 1]).astype(np.float32)[:, None]

    def gain(self, shape_of: ShapeOf, prices: Prices) -> float:
        """Predicted seconds of the transform over those of the convolution."""
        before, after = self.seconds(shape_of, prices)
        return before / after

    def seconds(self, shape_of: ShapeOf, prices: Prices) -> tuple[float, float]:
        """Predicted of the transform, and of the convolution."""
        length = self.window.size
        extents = shape_of(self.signal)
        frames = extents[0] * max((extents[1] - length) // self.step + 1, 1)
        first, last = self.places
        shape = (last - first + 1, 2 * self.bins)
        after = products_seconds([shape], frames, FLOAT_BYTES, prices)
        after += transpose_seconds(frames * 2 * self.bins, FLOAT_BYTES, prices) + 3 * prices.node_s
        return prices.node_s + frames * transform_seconds(length), after

    @property
    def said(self) -> str:
        """What is done, for people."""
        return f"the Fourier transform of {self.window.size} places is a product with a constant: written as one"


def transform_seconds(length: int) -> float:
    """Of one transform by ONNX Runtime's own kernel."""
    if length & (length - 1) == 0:
        return BUTTERFLY_S * length * max(math.log2(length), 1)
    longer = 1 << (2 * length - 2).bit_length()
    return CHIRP_S * longer * math.log2(longer)


def fourier(node: ir.Node, constants: Constants) -> Fourier | None:
    """The transform that a node computes; None for any other node, and where the window is not known."""
    if node.op_type != "STFT" or not is_standard(node) or len(node.inputs) < 2:
        return None
    one, signal = NodeView(node, constants), node.inputs[0]
    shape = None if signal is None else shape_of(signal)
    if signal is None or shape is None or signal in constants or not _is_float(one, signal):
        return None
    if len(shape) not in (2, 3) or (len(shape) == 3 and shape[2] != 1):
        return None
    step, length, window = one.small(1), one.small(3), one.small(2)
    if any(one.operand(place) is not None and array is None for place, array in ((2, window), (3, length))):
        return None
    if step is None or step.size != 1 or (length is not None and length.size != 1):
        return None
    if window is None and length is None:
        return None
    weights = np.ones(int(length.item())) if window is None and length is not None else np.asarray(window, np.float64)
    if weights.ndim != 1 or not 2 <= weights.size <= LONGEST or not weights.any() or int(step.item()) < 1:
        return None
    if not np.isfinite(weights).all() or (length is not None and int(length.item()) != weights.size):
        return None
    bins = weights.size // 2 + 1 if one.attribute("onesided", 1) else weights.size
    return Fourier(node, signal, len(shape), int(step.item()), weights, bins)


def _is_float(one: NodeView, signal: ir.Value) -> bool:
    """Whether a signal is of single precision; models need not say so of what they compute, but the window is alike."""
    window = one.operand(2)
    if signal.dtype is not None or window is None or window not in one.constants:
        return signal.dtype == ir.DataType.FLOAT
    return one.constants.describe(window)[1] == ir.DataType.FLOAT
