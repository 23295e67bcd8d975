"""The `select` lowering: a weight that only picks features is one Gather, and nothing is multiplied at all.

What is picked is exact: 1 times a number is that number, and zeros add nothing. Only a NaN or an infinity does not
spread to the outputs that do not read it, as with blocks.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.graph.shapes import shape_of
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Decomposition, Indices
from ....ir.reason import Cause, Reason
from ..nodes.emitter import Emitter
from ..nodes.features_first import guarded
from ..nodes.last_axis import take_columns
from ..nodes.primitives import addend, affine
from ..prices import Prices
from ..seconds import permutation_seconds
from ..target import Target
from .pixels import keeps_pixels
from .protocol import LinearLowering, why_not_beside, why_not_dense

__all__ = ["Select", "selection"]


class Select(LinearLowering):
    """One Gather of the features that the outputs are."""

    name = "select"
    regroups = False
    multiplies = False
    needs: ClassVar[str] = "a weight with a single 1 for every output"

    def takes(self, weight: npt.NDArray[Any]) -> bool:
        """Whether every output is one input."""
        return selection(weight) is not None

    def why_not(self, linear: Linear, found: Decomposition | None, target: Target) -> Reason | None:
        """Why a linear with these blocks cannot be written so."""
        if reason := why_not_dense(linear, self):
            return reason
        if linear.fused:
            told = f"'select' cannot compute the activation function of {linear.op}; use 'scatter'"
            return Reason(Cause.FUSED, told)
        if float(np.asarray(linear.alpha, linear.dtype.numpy())) != linear.alpha:
            told = f"its factor {linear.alpha} is no {linear.dtype.name.lower()}; use 'scatter'"
            return Reason(Cause.DATA_TYPE, told)
        if linear.layout.kind == "conv" and not keeps_pixels(linear.node):
            told = "'select' keeps all pixels, and this convolution has strides or pads; use 'scatter'"
            return Reason(Cause.LAYOUT, told)
        if found is None:
            return None
        if reason := why_not_beside(self, linear, found):
            return reason
        if found.dormant_outputs.size:
            output = int(found.dormant_outputs[0])
            told = f"'select' needs an input for every output, and output {output} reads none; use 'scatter'"
            return Reason(Cause.BLOCKS, told)
        return None

    def seconds(self, linear: Linear, found: Decomposition, rows: int, prices: Prices) -> float:
        """One permutation of the last axis."""
        return permutation_seconds([found.shape[1]], rows, int(linear.dtype.itemsize), prices)

    def emit(self, emitter: Emitter, constants: Constants, found: Decomposition, target: Target) -> ir.Value:
        """Emit one Gather, and what is done to the product besides."""
        return _selected(emitter, constants)


def selection(weight: npt.NDArray[Any]) -> Indices | None:
    """Which input each output of a canonical weight (K, N) is, shape (N,); None where one is something else.

    >>> selection(np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])).tolist()
    [1, 0, 1]
    >>> selection(np.array([[2.0]])) is None, selection(np.array([[0.0]])) is None
    (True, True)
    """
    if not weight.size or np.count_nonzero(weight) != weight.shape[1]:
        return None
    entries = weight != 0
    if (np.count_nonzero(entries, axis=0) != 1).any():
        return None
    index = entries.argmax(axis=0)
    picked = weight[index, np.arange(weight.shape[1])]
    return index.astype(np.int64) if (picked == 1).all() else None


def _selected(emitter: Emitter, constants: Constants) -> ir.Value:
    """Emit one Gather of the features that the outputs are, and what is done to the product besides."""
    linear = emitter.linear
    index = selection(linear.canonical(constants))
    assert index is not None, "checked before"
    x, rank, K = linear.activation, linear.layout.rank, linear.shape[0]
    axis, turn = _feature_axis(linear)
    if axis == -1:
        y = take_columns(emitter, x, index, extent=K, rank=rank, shape=shape_of(x), role="select")
    elif index.size == K and (index == np.arange(K)).all():
        y = x
    else:
        y = emitter.one("Gather", [x, emitter.integers(index, "select/order")], "select", axis=axis)
    if turn is not None:
        y = guarded(emitter, emitter.one("Transpose", [y], "leave", perm=list(turn)))
        axis = turn.index(axis)
    y = affine(emitter, y, constants, behind=0 if axis == -1 or rank is None else rank - 1 - axis)
    y = addend(emitter, y)
    return emitter.one("Identity", [y], "select") if y is x else y


def _feature_axis(linear: Linear) -> tuple[int, tuple[int, ...] | None]:
    """The axis of x that features lie on, -1 for the last, and how what is picked from it is transposed to y."""
    layout = linear.layout
    if layout.kind != "axes" or layout.rank is None:
        return (1 if layout.kind == "conv" else -1), None
    axes = tuple(range(layout.rank))
    enter, leave = layout.enter or axes, layout.exit or axes
    turn = tuple(enter[axis] for axis in leave)
    return enter[0], None if turn == axes else turn
