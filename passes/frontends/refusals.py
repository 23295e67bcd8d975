"""Why products of frames are not written as stages: each one that was looked at has a reason."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from ...ir.errors import ModelError
from ...ir.graph.constants import Constants
from ...ir.graph.node import NodeView
from ...ir.graph.operators import is_standard
from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.plural import counted
from ...ir.reason import Cause, Reason
from ..factor.certificate import certify
from ..factor.factorise import Recipe, follow
from ..factor.known_orders import RadixSplit, splits
from ..factor.refusals import NO_LESS, NOT_FINITE, why_uncertified
from .framed import LARGEST_ENTRIES, Framed
from .staging import SMALLEST

__all__ = ["takes_frames", "why_no_frames", "why_no_stages"]

NO_ORDER = Reason(
    Cause.RANK, "sampled slices of the weight of a frame have rank 3 or more at each factorisation in known orders"
)
MOST = 8  # splits whose factors are made to say what there is against them


def why_no_stages(one: Framed) -> Reason:
    """Why the weight of a product of frames, of which no stages were made, has none."""
    n, outputs = one.weight.shape
    if min(n, outputs) < SMALLEST:
        few = (
            f"frames of {counted(n, 'sample')} and {counted(outputs, 'output')} are as fast as what stands around them"
        )
        return Reason(Cause.NO_GAIN, few)
    if not np.isfinite(one.weight).all():
        return NOT_FINITE
    options = splits(one.weight)
    if not options:
        return NO_ORDER
    whole = [split for split in options if one.hop % split.stride == 0]
    if not whole:
        pieces = ", ".join(map(str, sorted({split.stride for split in options})))
        told = (
            f"frames begin {one.hop} samples apart, which is no whole number of pieces of any size that the weight of "
        )
        return Reason(Cause.OVERLAP, f"{told}a frame may be taken apart at: {pieces}")
    reasons = [why for split in whole[:MOST] if (why := _why_not_split(one, split)) is not None]
    near = next((why for why in reasons if why.cause in (Cause.INEXACT, Cause.ROUNDING)), None)
    rank = Reason(Cause.RANK, "at no size of pieces all outputs lie in few lines or planes of every slice")
    return near or next(iter(reasons), rank)


def _why_not_split(one: Framed, split: RadixSplit) -> Reason | None:
    """What is against the stages of one split; None where there are none."""
    factors = follow(one.weight, Recipe(splits=(split,)))
    if factors is None:
        return None
    found = certify(one.weight, factors)
    return NO_LESS if factors.macs >= one.weight.size else None if found.holds else why_uncertified(factors, found)


def why_no_frames(node: ir.Node, constants: Constants) -> Reason | None:
    """Why a convolution that may be one of frames of a signal is not taken for one; None for any other node."""
    if node.op_type != "Conv" or not is_standard(node) or len(node.inputs) < 2 or len(node.outputs) != 1:
        return None
    try:
        return _why_no_convolution(NodeView(node, constants))
    except (ModelError, MemoryError, OSError, ValueError) as error:
        return Reason(Cause.UNREADABLE, f"its weights cannot be read: {error}")


def takes_frames(node: ir.Node, constants: Constants) -> bool:
    """Whether a node multiplies frames of a signal by a constant that is large enough for stages, as far as its weights
    tell, which is all that is known of a body whose shapes are not; transforms say so by themselves."""
    if node.op_type != "Conv" or not is_standard(node) or len(node.inputs) < 2:
        return False
    weight = node.inputs[1]
    if weight is None or weight not in constants:
        return False
    try:
        (outputs, *rest), _ = constants.describe(weight)
    except (ModelError, MemoryError, OSError, ValueError):
        return False
    return len(rest) == 2 and rest[0] == 1 and min(outputs, rest[1]) >= SMALLEST and not _has_groups(node, constants)


def _has_groups(node: ir.Node, constants: Constants) -> bool:
    return bool(NodeView(node, constants).attribute("group", 1) != 1)


def _why_no_convolution(one: NodeView) -> Reason | None:
    signal, weight = one.operand(0), one.operand(1)
    extents = None if signal is None else shape_of(signal)
    if signal is None or weight is None or extents is None or list(extents[1:-1]) not in ([1], [1, 1]):
        return None  # no signal of one channel
    if weight not in one.constants:
        return Reason(
            Cause.NOT_CONSTANT, "its weights are computed when the model runs, so that frames have no constant"
        )
    (outputs, *rest), dtype = one.constants.describe(weight)
    if len(rest) != len(extents) - 1 or math.prod(rest[:-1]) != 1 or signal in one.constants:
        return None
    if rest[-1] < SMALLEST or outputs < (SMALLEST if len(rest) == 2 else 2):
        return None
    if one.constants.has_ambiguous_leaf(weight):
        return Reason(Cause.AMBIGUOUS, "a branch has an initializer of the same name as its weights")
    if dtype != ir.DataType.FLOAT:
        return Reason(Cause.DATA_TYPE, f"its weights are {dtype.name.lower()}, and stages are of float32")
    if outputs * rest[-1] > LARGEST_ENTRIES:
        return Reason(Cause.UNSUPPORTED, f"its weights have more than {LARGEST_ENTRIES:,} entries")
    if len(rest) == 3:
        return _why_no_kernels(np.asarray(one.constants.read(weight), np.float32).reshape(outputs, -1).T)
    told = "its frames are padded on its own, or have gaps, or a group each: no pieces are made of these"
    return Reason(Cause.UNSUPPORTED, told)


def _why_no_kernels(weight: npt.NDArray[np.float32]) -> Reason:
    """Why kernels (n, outputs) that a convolution of images one row high multiplies frames with are no stages."""
    if not np.isfinite(weight).all():
        return NOT_FINITE
    if not splits(weight):
        return NO_ORDER
    return Reason(Cause.UNSUPPORTED, "its frames are rows of images, and stages are made of signals of one axis")
