"""What a test decided about the edges of a weight, and what all tests say about their decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from ....ir.errors import ScissionError
from ....ir.evidence.evidence import Evidence
from ...connectivity.chunked import Array
from .correction import Correction
from .random_walk import Band

__all__ = [
    *("AnnealError", "Decision", "band_notes", "beside", "check_level", "combined"),
    *("confirmed_share", "intersection", "percolation_notes"),
]


class AnnealError(ScissionError):
    """A test that cannot be made of this weight; the message says what is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a test decided about the edges of a weight (K, N).

    confirmed: Boolean matrix, where the weight lies; p_values: float32, classes: int8 (1 preferred, 0 random,
    -1 suppressed), both only on request and where the test has them.
    """

    confirmed: Array
    evidence: Evidence
    p_values: Array | None = None
    classes: Array | None = None


def check_level(level: float, correction: Correction) -> None:
    """Raise AnnealError for a level or a correction that is none."""
    if not 0 < level < 1:
        raise AnnealError(f"a level lies between 0 and 1, not at {level}")
    if correction not in get_args(Correction):
        raise AnnealError(f"unknown correction {correction!r}; use one of {', '.join(get_args(Correction))}")


def percolation_notes(correction: Correction, per_edge: float, tests: int, shape: Sequence[int]) -> tuple[str, ...]:
    """Notes where a test lets through so many false edges that they join everything, or one is enough."""
    notes = []
    if per_edge * math.sqrt(math.prod(shape)) >= 1:
        notes.append(
            f"noise alone percolates: {per_edge * tests:,.0f} false edges are expected, and from "
            f"{math.sqrt(tests):,.0f} on they join everything"
        )
    if correction == "benjamini-hochberg":
        notes.append("benjamini-hochberg bounds the share of false edges, not their number: one glues two blocks")
    return tuple(notes)


def beside(weight: Array, host: npt.NDArray[Any]) -> Array:
    """A host chunk where the weight lies."""
    if isinstance(weight, np.ndarray) or not isinstance(host, np.ndarray):
        return host
    import torch

    return torch.from_numpy(np.array(host, order="C")).to(weight.device)  # a copy: torch warns of read-only memory


def band_notes(found: Band) -> tuple[str, ...]:
    """Notes where the null of equal influence was rejected at once, or could not be tested."""
    if found.held:
        return ()
    if not found.windows:
        return ("too few entries near an equal share to test whether influence is equal: delta* is 0",)
    return ("the null of equal influence never held: delta* is 0",)


def intersection(one: Array, other: Array) -> Array:
    """What two Boolean matrices both hold, where the first lies."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one & other
    return one & beside(one, other)


def combined(test: str, one: Decision, other: Decision) -> Decision:
    """What two tests both confirm (paper 3.4), with the evidence of the first and what the second adds to it."""
    both = intersection(one.confirmed, other.confirmed)
    evidence = replace(
        one.evidence,
        test=test,
        confirmed=confirmed_share(both),
        bandwidth=other.evidence.bandwidth,
        classes=other.evidence.classes,
        misfit=one.evidence.misfit or other.evidence.misfit,
        power=f"{one.evidence.power}; {other.evidence.power}",
        notes=one.evidence.notes + other.evidence.notes,
    )
    return Decision(both, evidence, one.p_values, other.classes)


def confirmed_share(mask: Array) -> float:
    """Share of true entries, 0 to 1."""
    share: float = float(mask.sum()) / max(math.prod(mask.shape), 1)
    return share
