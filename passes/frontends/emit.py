"""Products of frames as operators: the frames of a signal (B, …) to (B, outputs, F), without a copy of any frame.

    x ─ first stage ─► (B, m · p, F) ─ last stage ─► (B, made, F) ─ Gather ─► (B, outputs, F)

Where only powers of frequencies are read, or what a product makes of these, that is what is picked, see `aligned` and
`mel`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from .emit_stages import axes_changed, first_stage, image, last_stage, whole_outputs
from .framed import Framed
from .staging import FrameStages

__all__ = ["FrameEmitter", "emit_outputs", "in_order", "joined", "picked"]

Indices: TypeAlias = npt.NDArray[np.int64]


@dataclass(eq=False)
class FrameEmitter:
    """What the nodes of one product of frames are emitted with; what several of them read is made once."""

    emitter: Emitter
    product: Framed
    stages: FrameStages

    @cached_property
    def signal(self) -> ir.Value:
        """Images (B, 1, 1, T)."""
        return image(self.emitter, self.product)

    @cached_property
    def begun(self) -> ir.Value:
        """What the first stage makes of them, (B, made · places, F)."""
        return first_stage(self.emitter, self.product, self.stages, self.signal)

    def staged(self) -> ir.Value:
        """What both stages make, (B, made, F), of which outputs are to be picked."""
        last = self.stages.factors.stages[1].weight[:, 0]
        groups = self.stages.made // self.stages.factors.stages[0].ranks
        return last_stage(self.emitter, np.broadcast_to(last, (groups, *last.shape[1:])), self.begun)

    def whole(self, outputs: Indices) -> ir.Value:
        """Some outputs (B, wanted, F) without stages."""
        return whole_outputs(self.emitter, self.product, outputs, self.signal)


def emit_outputs(frames: FrameEmitter) -> ir.Value:
    """Emit the nodes that stand in for a product of frames, and return the value that replaces its result."""
    emitter, one = frames.emitter, frames.product
    if one.transform is None:
        return in_order(frames)
    bins = one.transform.bins
    turns = np.arange(2 * bins).reshape(2, bins).T.reshape(-1)
    result = emitter.one("Transpose", [in_order(frames, turns)], "parts", perm=[0, 2, 1])
    # No -1, which would be ambiguous without any signals.
    return emitter.one("Reshape", [result, emitter.integers([0, 0, bins, 2], "parts")], "parts")


def in_order(frames: FrameEmitter, outputs: Indices | None = None) -> ir.Value:
    """All outputs (B, outputs, F) in the order of the weight or in this one, with the bias."""
    emitter, one, stages = frames.emitter, frames.product, frames.stages
    wanted = np.arange(one.weight.shape[1]) if outputs is None else outputs
    whole = np.isin(wanted, stages.whole)
    places, parts = [np.flatnonzero(whole), np.flatnonzero(~whole)], []
    if places[0].size:
        parts.append(frames.whole(wanted[whole]))
    if places[1].size:
        parts.append(picked(emitter, frames.staged(), stages.factors.order[wanted[~whole]]))
    value = joined(emitter, parts, np.concatenate(places))
    if one.bias is None:
        return value
    return emitter.one("Add", [value, axes_changed(emitter, "Unsqueeze", one.bias, [1])], "bias")


def joined(emitter: Emitter, parts: Sequence[ir.Value], places: Indices) -> ir.Value:
    """Parts (B, some, F) as one, in the order of what is at these places."""
    whole = parts[0] if len(parts) == 1 else emitter.one("Concat", list(parts), "joined", axis=1)
    order = np.argsort(places)
    return whole if np.array_equal(order, np.arange(order.size)) else picked(emitter, whole, order)


def picked(emitter: Emitter, value: ir.Value, order: Indices) -> ir.Value:
    """Rows (B, wanted, F) from where they lie."""
    return emitter.one("Gather", [value, emitter.integers(order, "order")], "order", axis=1)
