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
from ...connectivity.bipartite import Labels

__all__ = ["Activity", "ActivityError"]

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
    # (K,) co-occurrence classes of inputs, numbered by smallest member: two are in one class when a chain of inputs
    # joins them, neighbours being active together in a sample; an input that never is active stays alone.
    labels: Labels
    gram: Float64 | None  # (K, K) the normal equations XᵀX
    paired: int  # samples whose output is known too
    outputs: Labels | None  # (N,) samples in which an output was active
    exposure: Labels | None  # (K, N) samples in which both ends of a weight were active
