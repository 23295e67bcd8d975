"""The last stage so that both parts of a frequency lie a fixed number of rows apart: their power is one sum.

    made (groups · 2 · size, F) ─ squared ─► (groups, 2, size, F) ─ ReduceSum ─► power (groups · size, F)

ONNX Runtime picks rows one by one, and parts that are picked before they are squared are twice as many as powers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .staging import FrameStages

__all__ = ["Aligned", "aligned"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """weight: (groups, inputs, 2, size) of the last stage, first of real parts, then of imaginary ones; places: which
    row of the power each frequency that was asked for is."""

    weight: npt.NDArray[np.float64]
    places: Indices


def aligned(stages: FrameStages, bins: int, wanted: Indices) -> Aligned | None:
    """The last stage of some of `bins` frequencies, real parts of which are outputs before all imaginary ones; None
    where both parts of one are of different groups."""
    last, order = stages.factors.stages[1], stages.factors.order
    groups = stages.made // stages.factors.stages[0].ranks
    size = int(last.weight.shape[3])
    own = np.broadcast_to(last.weight[:, 0], (groups, *last.weight.shape[2:]))
    real, imaginary = order[wanted], order[bins + wanted]
    silent = [np.logical_not(own[part // size, :, part % size].any(axis=1)) for part in (real, imaginary)]
    of = np.where(silent[0], imaginary, real) // size
    if not (silent[0] | (real // size == of)).all() or not (silent[1] | (imaginary // size == of)).all():
        return None
    most = int(np.bincount(of, minlength=groups).max(initial=0))
    weight = np.zeros((groups, own.shape[1], 2, most))
    places, filled = np.empty(wanted.size, np.int64), np.zeros(groups, np.int64)
    for place, group in enumerate(of.tolist()):
        for part, (outputs, nothing) in enumerate(zip((real, imaginary), silent, strict=True)):
            if not nothing[place]:
                weight[group, :, part, filled[group]] = own[group, :, outputs[place] % size]
        places[place] = group * most + filled[group]
        filled[group] += 1
    return Aligned(weight, places)
