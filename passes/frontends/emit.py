"""Products of frames as operators: the frames of a signal (B, …) to (B, outputs, F), without a copy of any frame.

    x (B, 1, T) ─ Conv with ones ─► pieces (B, p, L) ─ Conv in p groups ─► (B, p · m, F) ─ Transpose ─► (B, m · p, F)
                                                                                                            │
                                          (B, outputs, F) ◄─ Gather ─ (B, made, F) ◄─ Conv of one place ◄───┘

The first convolution cuts the signal into pieces with its pads, and leaves out what is no whole piece, whatever its
length is. Products in groups are convolutions too, which take any batch, and none; and so do frames, in the order that
they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from ..lowering.nodes.kept_apart import kept_apart
from .framed import Framed
from .power import Power
from .staging import FrameStages

__all__ = ["emit"]

Indices: TypeAlias = npt.NDArray[np.int64]

AXES_AS_OPERANDS = 13  # the operator set from which Squeeze and Unsqueeze read them


def emit(emitter: Emitter, one: Framed, stages: FrameStages, power: Power | None = None) -> ir.Value:
    """Emit the nodes that stand in for a product of frames, and return the value that replaces its result.

    power: what takes its power behind it, for which they stand in as well.
    """
    if power is not None:
        return _power(emitter, one, stages, power)
    if one.transform is None:
        return _in_order(emitter, one, stages)
    bins = one.transform.bins
    turns = np.arange(2 * bins).reshape(2, bins).T.reshape(-1)
    whole = _picked(emitter, _staged(emitter, one, stages), stages.factors.order[turns])
    result = emitter.one("Transpose", [whole], "parts", perm=[0, 2, 1])
    # No -1, which would be ambiguous without any signals.
    return emitter.one("Reshape", [result, emitter.integers([0, 0, bins, 2], "parts")], "parts")


def _in_order(emitter: Emitter, one: Framed, stages: FrameStages) -> ir.Value:
    """All outputs (B, outputs, F) in the order of the weight, with the bias."""
    outputs = np.arange(one.weight.shape[1])
    rest, parts = np.setdiff1d(outputs, stages.whole), []
    if stages.whole.size:
        parts.append(_summed(emitter, one, stages.whole))
    if rest.size:
        parts.append(_picked(emitter, _staged(emitter, one, stages), stages.factors.order[rest]))
    whole = _joined(emitter, parts, np.concatenate([stages.whole, rest]))
    return whole if one.bias is None else _biased(emitter, whole, one.bias)


def _power(emitter: Emitter, one: Framed, stages: FrameStages, power: Power) -> ir.Value:
    """Both parts squared and added as they lie, with what stood between behind them."""
    value = _squares(emitter, one, stages, power.bins)
    if power.root:
        value = emitter.one("Sqrt", [value], "power")
    if one.transform is None:
        return _axis(emitter, "Unsqueeze", value, 1) if power.keeps else value
    value = kept_apart(emitter, emitter.one("Transpose", [value], "power", perm=[0, 2, 1]), "power")
    if power.between is not None:
        value = emitter.one("Slice", [value, *power.operands(emitter)], "frames")
    return _axis(emitter, "Unsqueeze", value, 3) if power.keeps else value


def _squares(emitter: Emitter, one: Framed, stages: FrameStages, bins: int) -> ir.Value:
    """The power (B, bins, F)."""
    if one.bias is not None:
        return _power_of(emitter, _halves(emitter, _in_order(emitter, one, stages), bins))
    whole = np.unique(stages.whole % bins)
    rest, parts = np.setdiff1d(np.arange(bins), whole), []
    if whole.size:
        both = _summed(emitter, one, np.concatenate([whole, bins + whole]))
        parts.append(_power_of(emitter, _halves(emitter, both, whole.size)))
    if rest.size:  # both halves are picked from where the stages leave them
        staged, order = _staged(emitter, one, stages), stages.factors.order
        halves = [_picked(emitter, staged, order[half]) for half in (rest, bins + rest)]
        parts.append(_power_of(emitter, halves))
    return _joined(emitter, parts, np.concatenate([whole, rest]))


def _power_of(emitter: Emitter, halves: Sequence[ir.Value]) -> ir.Value:
    return emitter.one("Add", [emitter.one("Mul", [half, half], "power") for half in halves], "power")


def _halves(emitter: Emitter, parts: ir.Value, bins: int) -> Sequence[ir.Value]:
    """Real and imaginary parts of (B, 2 · bins, F)."""
    sizes = [bins, bins]
    if emitter.opset >= AXES_AS_OPERANDS:
        return emitter.node("Split", [parts, emitter.integers(sizes, "parts")], "power", {"axis": 1}, 2)
    return emitter.node("Split", [parts], "power", {"axis": 1, "split": sizes}, 2)


def _summed(emitter: Emitter, one: Framed, outputs: Indices) -> ir.Value:
    """Some outputs (B, wanted, F) without stages."""
    kernel = emitter.constant(np.ascontiguousarray(one.weight[:, outputs].T)[:, None], "whole")
    frames = {"kernel_shape": [one.weight.shape[0]], "strides": [one.hop], "pads": list(one.pads)}
    return emitter.node("Conv", [one.signal, kernel], "whole", frames)[0]


def _joined(emitter: Emitter, parts: Sequence[ir.Value], places: Indices) -> ir.Value:
    """Parts (B, some, F) as one, in the order of what is at these places."""
    whole = parts[0] if len(parts) == 1 else emitter.one("Concat", list(parts), "joined", axis=1)
    order = np.argsort(places)
    return whole if np.array_equal(order, np.arange(order.size)) else _picked(emitter, whole, order)


def _staged(emitter: Emitter, one: Framed, stages: FrameStages) -> ir.Value:
    """What the stages make of the frames, (B, made, F), of which outputs are to be picked."""
    places, (first, last) = stages.split.stride, stages.factors.stages
    signal = one.signal
    if one.transform is not None:
        signal = _as_channel(emitter, one)
    made, groups = first.weight.shape[3], first.weight.shape[3] // first.ranks
    ones = emitter.constant(np.eye(places, dtype=np.float32)[:, None], "pieces")
    cut = {"kernel_shape": [places], "strides": [places], "pads": list(one.pads)}
    pieces = emitter.node("Conv", [signal, ones], "pieces", cut)[0]
    own = np.broadcast_to(first.weight[0], (places, *first.weight.shape[2:])).swapaxes(1, 2)
    kernel = emitter.constant(own.reshape(places * made, 1, -1).astype(np.float32), "stage.0")
    overlapped = {"kernel_shape": [stages.pieces], "strides": [one.hop // places], "group": places}
    value = emitter.node("Conv", [pieces, kernel], "stage.0", overlapped)[0]
    value = _axis(emitter, "Unsqueeze", value, 1)
    value = _reshape(emitter, value, [0, places, made, 0], "stage.0")
    value = emitter.one("Transpose", [value], "stage.1", perm=[0, 2, 1, 3])
    value = _axis(emitter, "Squeeze", _reshape(emitter, value, [0, 1, made * places, 0], "stage.1"), 1)
    whole = np.broadcast_to(last.weight[:, 0], (groups, *last.weight.shape[2:])).swapaxes(1, 2)
    count = groups * last.weight.shape[3]
    kernel = emitter.constant(whole.reshape(count, -1, 1).astype(np.float32), "stage.1")
    return emitter.node("Conv", [value, kernel], "stage.1", {"kernel_shape": [1], "group": groups})[0]


def _picked(emitter: Emitter, value: ir.Value, order: Indices) -> ir.Value:
    """Outputs (B, wanted, F) from where the stages leave them."""
    return emitter.one("Gather", [value, emitter.integers(order, "order")], "order", axis=1)


def _as_channel(emitter: Emitter, one: Framed) -> ir.Value:
    """The signals (B, T) or (B, T, 1) of a transform as (B, 1, T)."""
    assert one.transform is not None
    if one.transform.rank == 2:
        return _axis(emitter, "Unsqueeze", one.signal, 1)
    return emitter.one("Transpose", [one.signal], "signal", perm=[0, 2, 1])


def _biased(emitter: Emitter, whole: ir.Value, bias: ir.Value) -> ir.Value:
    return emitter.one("Add", [whole, _axis(emitter, "Unsqueeze", bias, 1)], "bias")


def _axis(emitter: Emitter, op: str, value: ir.Value, axis: int) -> ir.Value:
    if emitter.opset >= AXES_AS_OPERANDS:
        return emitter.one(op, [value, emitter.integers([axis], "axis")], "axis")
    return emitter.one(op, [value], "axis", axes=[axis])


def _reshape(emitter: Emitter, value: ir.Value, shape: list[int], role: str) -> ir.Value:
    return emitter.one("Reshape", [value, emitter.integers(shape, f"{role}/shape")], role)
