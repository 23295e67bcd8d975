"""Why operators that transform are not written as products with a constant: each of them has a reason."""

from __future__ import annotations

from collections.abc import Sequence

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.node import NodeView
from ...ir.graph.operators import TRANSFORMS, is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.reason import Cause, Reason
from .fourier import LONGEST
from .transform_matrix import axis_and_length, is_ambiguous

__all__ = ["IN_BODY", "MEL", "why_no_transform"]

MEL = "MelWeightMatrix"
IN_BODY = Reason(  # what stands there may never run, and how often it does is not known
    Cause.OUT_OF_REACH, "it stands in a body of another operator, and only what always runs is written otherwise"
)
OPERANDS = {  # that have to be constant, by operator
    "STFT": ("signal", "step between frames", "window", "length of frames"),
    "DFT": ("signal", "length", "axis"),
    MEL: ("number of mels", "length of transforms", "rate", "lowest frequency", "highest frequency"),
}


def why_no_transform(node: ir.Node, constants: Constants) -> Reason | None:
    """Why an operator that transforms, or that makes the weights of mels, has no constant that it multiplies with; None
    for any other node, and for mels that are constant."""
    if node.op_type not in OPERANDS or not is_standard(node):
        return None
    try:
        return _why(NodeView(node, constants))
    except (ModelError, MemoryError, OSError, ValueError) as error:
        return Reason(Cause.UNREADABLE, f"what it is told cannot be read: {error}")


def _why(one: NodeView) -> Reason | None:
    node, transforms = one.node, one.node.op_type in TRANSFORMS
    for place, name in enumerate(OPERANDS[node.op_type]):
        value = one.operand(place)
        if (place or not transforms) and value is not None and value not in one.constants:
            return Reason(Cause.NOT_CONSTANT, f"its {name} is computed when the model runs")
    if not transforms:
        return None
    signal = one.operand(0)
    extents = None if signal is None else shape_of(signal)
    if signal is None or extents is None:
        return Reason(Cause.UNKNOWN_RANK, "the shape of its signals is not known")
    if signal in one.constants:
        return Reason(Cause.UNSUPPORTED, "its signals are constant, and so is its result")
    if signal.dtype != ir.DataType.FLOAT:
        kind = "of no known type" if signal.dtype is None else signal.dtype.name.lower()
        return Reason(Cause.DATA_TYPE, f"its signals are {kind}, and products are of float32")
    if node.op_type == "STFT":
        if len(extents) == 3 and extents[2] != 1:
            return Reason(Cause.UNSUPPORTED, "its signals are complex, or may be")
        told = f"its window is zero or not finite, of another length than its frames, or longer than {LONGEST}"
        return Reason(Cause.UNSUPPORTED, told)
    return _why_no_matrix(one, tuple(extents))


def _why_no_matrix(one: NodeView, extents: Sequence[object]) -> Reason:
    """Why a DFT of signals of these extents is no product with a constant."""
    told = axis_and_length(one)
    if told is None or not -len(extents) <= told[0] < len(extents):
        return Reason(Cause.UNSUPPORTED, "its axis is none of its signals', or is more than one number")
    places, parts = extents[told[0]], extents[-1]
    if not isinstance(places, int) or not isinstance(parts, int):
        return Reason(
            Cause.UNSUPPORTED, "the size of its axis, or whether its signals are complex, is known only there"
        )
    if is_ambiguous(one, places, parts, told[1]):
        why = "releases of ONNX Runtime disagree about half of the frequencies of complex signals, and about an inverse"
        return Reason(
            Cause.AMBIGUOUS, f"{why} of half of them, unless its length is that of a real signal that has so many"
        )
    return Reason(
        Cause.UNSUPPORTED, f"its axis has fewer than 2 places or more than {LONGEST}, or is that of the parts"
    )
