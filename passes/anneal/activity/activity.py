"""What calibration samples show of one linear: which features are active, which are active together, and how strongly.

The evidence of paper section 2.3: a weight receives an update only in a sample in which both of its ends are active
(lemma 2.1), so features that are never linked by such samples form separate classes (definitions 2.1 and 2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.errors import ScissionError
from ...connectivity.bipartite import Labels, by_smallest_member

__all__ = ["Activity", "ActivityError", "classes", "operator_classes"]

Float64: TypeAlias = "npt.NDArray[np.float64]"


class ActivityError(ScissionError):
    """Activations that do not fit their linear, or evidence that was not recorded."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Activity:
    """What M samples (rows of an activation) showed of a linear of shape (K, N).

    What was not recorded, or was too large to be, is None.
    """

    shape: tuple[int, int]
    samples: int  # M
    lost: int  # rows left out for a NaN or an Inf in them
    inputs: Labels  # (K,) samples in which an input was active
    mean: Float64  # (K,) of each input
    squares: Float64  # (K,) sum of squares of each input, so that sqrt(squares) is ‖x_k‖
    labels: Labels  # (K,) classes of inputs
    gram: Float64 | None  # (K, K) the normal equations XᵀX
    joint: Labels | None  # (K, K) samples in which both inputs were active
    paired: int  # samples whose output is known too
    outputs: Labels | None  # (N,) samples in which an output was active
    exposure: Labels | None  # (K, N) samples in which both ends of a weight were active
    links: tuple[Labels, Labels] | None  # classes of inputs and of outputs, see `operator_classes`


def classes(activity: Activity, least: int = 1) -> Labels:
    """Co-occurrence classes of the inputs (K,), numbered by smallest member (paper, definitions 2.1 and 2.2).

    Two inputs are in one class when a chain of inputs joins them, neighbours being active together in at least `least`
    samples; an input that never is stays alone. More than one sample needs `joint`: raises ActivityError without it.
    """
    if least <= 1:
        return activity.labels
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    if activity.joint is None:
        raise ActivityError(f"inputs active together in {least} samples cannot be told: their counts were not recorded")
    return by_smallest_member(connected_components(csr_array(activity.joint >= least), directed=False)[1])


def operator_classes(activity: Activity, least: int = 1) -> tuple[Labels, Labels]:
    """Classes of inputs (K,) and outputs (N,) over the weights that could have been updated, numbered by first input.

    They are the components of the bipartite graph of all (k, n) active in at least `least` common samples; -1 is a
    feature without any. Where learning was plain and local, every weight between two classes is as it was initialised.
    Outputs stand in for error signals, see `Recorder.update`. Raises ActivityError when outputs were not recorded, or
    their exposure was not and `least` needs it.
    """
    if activity.links is None:
        raise ActivityError("the outputs were not recorded, so it cannot be told which weights could be updated")
    if least <= 1:
        return activity.links
    from ...connectivity.bipartite import components
    from ...connectivity.edges import relate

    if activity.exposure is None:
        raise ActivityError(f"weights exposed in {least} samples cannot be told: their exposure was not recorded")
    found = components(relate(activity.exposure, least - 1))
    return found.inputs, found.outputs
