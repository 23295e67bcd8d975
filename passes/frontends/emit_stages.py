"""Both stages as convolutions, which take any batch, and none; and frames, in the order that they have.

    x (B, 1, 1, T) ─ Conv of every p-th sample, p times, a sample later each ─ Concat ─► (B, m, p, F) ─► (B, m · p, F)
                                                        (B, groups · made, F) ◄─ Conv of one place, in groups ◄─┘

ONNX Runtime has kernels for images that read a signal where it is: what is one row high is no copy of its frames. A
convolution that begins a sample later has one pad fewer before the signal, and leaves out what is no whole frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...ir.graph.shapes import shape_of
from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.nodes.emitter import Emitter
from .framed import Framed
from .staging import FrameStages

__all__ = ["AXES_AS_OPERANDS", "axes_changed", "first_stage", "image", "last_stage", "reshaped", "whole_outputs"]

AXES_AS_OPERANDS = 13  # the operator set from which Squeeze, Unsqueeze and ReduceSum read them


def image(emitter: Emitter, one: Framed) -> ir.Value:
    """The signals as images (B, 1, 1, T) of one row."""
    extents = shape_of(one.signal)
    if extents is not None and len(extents) == 2:
        return axes_changed(emitter, "Unsqueeze", one.signal, [1, 2])
    signal = one.signal
    if one.transform is not None:
        signal = emitter.one("Transpose", [signal], "signal", perm=[0, 2, 1])
    return axes_changed(emitter, "Unsqueeze", signal, [2])


def first_stage(emitter: Emitter, one: Framed, stages: FrameStages, signal: ir.Value) -> ir.Value:
    """What the first stage makes of images of signals, (B, made · places, F)."""
    places, weight = stages.split.stride, stages.factors.stages[0].weight
    own = np.broadcast_to(weight[0], (places, *weight.shape[2:])).swapaxes(1, 2)
    parts = [_strided(emitter, one, own[place], place, signal) for place in range(places)]
    value = parts[0] if places == 1 else emitter.one("Concat", parts, "stage.0", axis=2)
    value = reshaped(emitter, value, [0, 1, stages.made * places, 0], "stage.0")
    return axes_changed(emitter, "Squeeze", value, [1])


def _strided(emitter: Emitter, one: Framed, kernel: npt.NDArray[np.float64], place: int, signal: ir.Value) -> ir.Value:
    """(B, made, 1, F) of the samples of each frame that are `place` behind where a piece begins."""
    before, behind = one.pads
    apart, n = one.weight.shape[0] // kernel.shape[1], one.weight.shape[0]
    live = np.flatnonzero(kernel.any(axis=0))
    first, last = (int(live[0]), int(live[-1])) if live.size else (0, 0)
    # No pads are negative: zeros stand in the kernel for what they would leave out.
    first = min(first, (before - place) // apart)
    last = max(last, -((behind + 1 + place - n) // apart))
    taps = np.zeros((kernel.shape[0], last - first + 1))
    inside = slice(max(first, 0), min(last + 1, kernel.shape[1]))
    taps[:, inside.start - first : inside.stop - first] = kernel[:, inside]
    pads = [0, before - apart * first - place, 0, behind - n + apart * last + place + 1]
    frames = {"kernel_shape": [1, taps.shape[1]], "strides": [1, one.hop], "dilations": [1, apart], "pads": pads}
    held = emitter.constant(taps[:, None, None].astype(np.float32), "stage.0")
    return emitter.node("Conv", [signal, held], "stage.0", frames)[0]


def last_stage(emitter: Emitter, weight: npt.NDArray[np.float64], value: ir.Value) -> ir.Value:
    """What the last stage makes of that, (B, groups · outputs, F); weight: (groups, inputs, outputs)."""
    kernel = np.ascontiguousarray(weight.swapaxes(1, 2)).reshape(-1, weight.shape[1], 1)
    held = emitter.constant(kernel.astype(np.float32), "stage.1")
    return emitter.node("Conv", [value, held], "stage.1", {"kernel_shape": [1], "group": weight.shape[0]})[0]


def whole_outputs(emitter: Emitter, one: Framed, outputs: npt.NDArray[np.int64], signal: ir.Value) -> ir.Value:
    """Some outputs (B, wanted, F) of images of signals without stages."""
    kernel = np.ascontiguousarray(one.weight[:, outputs].T)
    live = np.flatnonzero(kernel.any(axis=0))
    first, last = (int(live[0]), int(live[-1])) if live.size else (0, kernel.shape[1] - 1)
    first, last = min(first, one.pads[0]), max(last, kernel.shape[1] - 1 - one.pads[1])
    pads = [0, one.pads[0] - first, 0, one.pads[1] - (kernel.shape[1] - 1 - last)]
    frames = {"kernel_shape": [1, last - first + 1], "strides": [1, one.hop], "pads": pads}
    held = emitter.constant(kernel[:, None, None, first : last + 1], "whole")
    return axes_changed(emitter, "Squeeze", emitter.node("Conv", [signal, held], "whole", frames)[0], [2])


def axes_changed(emitter: Emitter, op: str, value: ir.Value, axes: Sequence[int]) -> ir.Value:
    """A Squeeze or an Unsqueeze."""
    if emitter.opset >= AXES_AS_OPERANDS:
        return emitter.one(op, [value, emitter.integers(axes, "axis")], "axis")
    return emitter.one(op, [value], "axis", axes=list(axes))


def reshaped(emitter: Emitter, value: ir.Value, shape: Sequence[int], role: str) -> ir.Value:
    """A Reshape; 0 is the extent that is there, and there is no -1, which would be ambiguous without any signals."""
    return emitter.one("Reshape", [value, emitter.integers(shape, f"{role}/shape")], role)
