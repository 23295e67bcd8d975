"""The power of frequencies as operators, and products behind it: everything with frequencies before frames.

rows of powers, in the order that stages leave, (B, rows, F)  ─ Gather ─►  (B, bins, F)
                                                 or for each band  ─ Gather ─ Conv ─►  (B, outputs of it, F)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from ..lowering.nodes.kept_apart import feeds_vector, kept_apart
from .aligned import aligned
from .emit import FrameEmitter, in_order, joined, picked
from .emit_stages import AXES_AS_OPERANDS, axes_changed, last_stage, reshaped
from .mel import Mel
from .power import Power

__all__ = ["emit_mel", "emit_power"]

Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Powers (B, rows, F): bins: frequencies; places: of which rows these are."""

    value: ir.Value
    bins: Indices
    places: Indices
    count: int


def emit_power(frames: FrameEmitter, power: Power) -> ir.Value:
    """Emit the nodes that stand in for a product of frames and the power of it, and return what replaces that."""
    emitter, one = frames.emitter, frames.product
    sources = _sources(frames, power, np.arange(power.bins))
    parts = [_in_order(emitter, rows) for rows in sources]
    value = joined(emitter, parts, np.concatenate([rows.bins for rows in sources]))
    if one.transform is None:
        return axes_changed(emitter, "Unsqueeze", value, [1]) if power.keeps else value
    value = kept_apart(emitter, emitter.one("Transpose", [value], "power", perm=[0, 2, 1]), "power")
    if power.between is not None:
        value = emitter.one("Slice", [value, *power.operands(emitter)], "frames")
    return axes_changed(emitter, "Unsqueeze", value, [3]) if power.keeps else value


def emit_mel(frames: FrameEmitter, power: Power, mel: Mel, bands: Sequence[int]) -> ir.Value:
    """The same with a product behind the power, the outputs of which are computed in such bands."""
    emitter = frames.emitter
    sources, results, stop = _sources(frames, power, mel.read), [], 0
    for size in bands:
        start, stop = stop, stop + size
        results.append(_band(emitter, sources, mel.weight[:, start:stop]))
    value = results[0] if len(results) == 1 else emitter.one("Concat", results, "bands", axis=1)
    if not mel.turned:
        value = emitter.one("Transpose", [value], "bands", perm=[0, 2, 1])
        if feeds_vector(mel.product.outputs[0]):
            value = kept_apart(emitter, value, "bands")
    cuts = [power.between] if frames.product.transform is not None and power.between is not None else []
    for cut in (*cuts, *mel.slices):
        starts, ends, _, *steps = cut.inputs[1:]
        axis = emitter.integers([2 if mel.turned else 1], "frames")
        value = emitter.one("Slice", [value, starts, ends, axis, *steps], "frames")
    return value


def _band(emitter: Emitter, sources: Sequence[_Rows], weight: npt.NDArray[np.float32]) -> ir.Value:
    """The product (B, outputs, F) of the frequencies that a part (bins, outputs) of a weight reads."""
    live = np.flatnonzero(weight.any(axis=1))
    parts, columns = list[ir.Value](), list[npt.NDArray[np.float32]]()
    for rows in sources:
        wanted = np.isin(rows.bins, live)
        if not wanted.any() and (live.size or parts):
            continue
        if not live.size:
            wanted[:1] = True  # of which nothing is left
        elif 2 * wanted.sum() > rows.count:  # most of them: no copy is made, and the weight has zeros for the others
            whole = np.zeros((rows.count, weight.shape[1]), np.float32)
            whole[rows.places[wanted]] = weight[rows.bins[wanted]]
            parts.append(rows.value)
            columns.append(whole)
            continue
        parts.append(picked(emitter, rows.value, rows.places[wanted]))
        columns.append(weight[rows.bins[wanted]])
    value = parts[0] if len(parts) == 1 else emitter.one("Concat", parts, "bands", axis=1)
    # A convolution of one place takes no signals as well; ONNX Runtime broadcasts no matrix to a stack of none.
    held = emitter.constant(np.ascontiguousarray(np.concatenate(columns).T)[..., None], "bands")
    return emitter.node("Conv", [value, held], "bands", {"kernel_shape": [1]})[0]


def _sources(frames: FrameEmitter, power: Power, wanted: Indices) -> list[_Rows]:
    """The powers of some frequencies, or magnitudes, in as many values as they are computed in."""
    emitter, one, stages, bins = frames.emitter, frames.product, frames.stages, power.bins
    if one.bias is not None:
        value = _power_of(emitter, _halves(emitter, in_order(frames), bins))
        found = [_Rows(value, np.arange(bins), np.arange(bins), bins)]
    else:
        whole = np.intersect1d(np.unique(stages.whole % bins), wanted)
        rest, found = np.setdiff1d(wanted, whole), []
        if whole.size:
            both = frames.whole(np.concatenate([whole, bins + whole]))
            value = _power_of(emitter, _halves(emitter, both, whole.size))
            found.append(_Rows(value, whole, np.arange(whole.size), whole.size))
        if rest.size:
            found.append(_staged(frames, bins, rest))
    if not power.root:
        return found
    return [replace(rows, value=emitter.one("Sqrt", [rows.value], "power")) for rows in found]


def _staged(frames: FrameEmitter, bins: int, wanted: Indices) -> _Rows:
    """Powers of what the stages make."""
    emitter, stages = frames.emitter, frames.stages
    found = aligned(stages, bins, wanted)
    if found is None:  # both parts are picked from where the stages leave them
        staged, order = frames.staged(), stages.factors.order
        value = _power_of(emitter, [picked(emitter, staged, order[half]) for half in (wanted, bins + wanted)])
        return _Rows(value, wanted, np.arange(wanted.size), wanted.size)
    groups, inputs, _, size = found.weight.shape
    value = last_stage(emitter, found.weight.reshape(groups, inputs, -1), frames.begun)
    value = axes_changed(emitter, "Unsqueeze", emitter.one("Mul", [value, value], "power"), [1, 2])
    value = reshaped(emitter, value, [0, groups, 2, size, 0], "power")
    value = reshaped(emitter, _sum(emitter, value, 2), [0, 1, groups * size, 0], "power")
    return _Rows(axes_changed(emitter, "Squeeze", value, [1]), wanted, found.places, groups * size)


def _in_order(emitter: Emitter, rows: _Rows) -> ir.Value:
    """The powers of frequencies alone, in their order."""
    if rows.count == rows.bins.size and np.array_equal(rows.places, np.arange(rows.count)):
        return rows.value
    return picked(emitter, rows.value, rows.places)


def _sum(emitter: Emitter, value: ir.Value, axis: int) -> ir.Value:
    if emitter.opset >= AXES_AS_OPERANDS:
        return emitter.one("ReduceSum", [value, emitter.integers([axis], "power")], "power", keepdims=0)
    return emitter.one("ReduceSum", [value], "power", axes=[axis], keepdims=0)


def _power_of(emitter: Emitter, halves: Sequence[ir.Value]) -> ir.Value:
    return emitter.one("Add", [emitter.one("Mul", [half, half], "power") for half in halves], "power")


def _halves(emitter: Emitter, parts: ir.Value, bins: int) -> Sequence[ir.Value]:
    """Real and imaginary parts of (B, 2 · bins, F)."""
    sizes = [bins, bins]
    if emitter.opset >= AXES_AS_OPERANDS:
        return emitter.node("Split", [parts, emitter.integers(sizes, "parts")], "power", {"axis": 1}, 2)
    return emitter.node("Split", [parts], "power", {"axis": 1, "split": sizes}, 2)
