"""One direction of a recurrent operator: what was tried with it, and where its states fall apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.findings.explanation import Percolation, Trial
from ...ir.graph.recurrent import Recurrent
from ...ir.plan.plan import Step
from ...ir.reason import Cause, Reason
from ..connectivity.percolation import half_giant
from ..decompose.recurrent import edges_of_both
from ..lowering.protocol import worst_gain
from ..lowering.recurrent.lowering import CELLS
from ..lowering.target import Target
from ..planning.recurrent import runs_of

__all__ = ["percolation_of_states", "random_density", "trials_of_states"]

Array = npt.NDArray[Any]


def trials_of_states(way: Recurrent, step: Step, target: Target) -> tuple[Trial, ...]:
    """What was tried with one direction of a recurrent operator."""
    count = step.components
    what = f"{count:,} component{'s' * (count != 1)} of states, the largest with {step.giant:.1%} of all features"
    if count:
        refused = None if count > 1 else Reason(Cause.CONNECTED, "one component holds every state")
    else:
        refused = Reason(Cause.ALL_ZERO, "every entry is zero")
    found = [Trial(what="components", found=what, refused=refused)]
    whole = step.decomposition
    if not whole.blocks:
        return tuple(found)
    gain = worst_gain(CELLS, way, whole, runs_of(way, step.extents), target)
    taken = step.lowering == CELLS.name
    what = f"{len(whole.blocks)} operators side by side, {whole.mac_share:.1%} of the multiply-adds"
    why = None if taken else step.reason
    return (*found, Trial(what=CELLS.name, found=what, gain=round(gain, 3), taken=taken, refused=why))


def percolation_of_states(W: Array, R: Array) -> Percolation | None:
    """Where the states of a recurrent operator fall apart: by the largest entry of any gate.

    W: (gates, H, I); R: (gates, H, H). A state as it was and as it becomes is one, whatever the threshold.
    """
    size = np.concatenate([np.abs(W).max(axis=0).T, np.abs(R).max(axis=0).T]).astype(np.float64)
    edges = int(np.count_nonzero(edges_of_both(W, R)))
    H, I = size.shape[1], size.shape[0] - size.shape[1]  # noqa: E741 - ONNX's names
    if not edges:
        return None
    tied = size.copy()
    tied[I + np.arange(H), np.arange(H)] = np.inf
    half = half_giant(tied)
    random = random_density(*size.shape)
    gone = 1 - int(np.count_nonzero(size > half.threshold)) / edges
    return Percolation(
        threshold=half.threshold,
        gone=gone,
        giant=half.giant,
        components=half.components,
        random=random,
    )


def random_density(K: int, N: int) -> float:
    """The density at which mean degrees of inputs and outputs multiply to 1, see `percolation`."""
    return 1 / math.sqrt(K * N) if K and N else 1.0
