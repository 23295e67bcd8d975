"""How many units to leave out where, so that enough time is saved for the least loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ....ir.plan.decomposition import Indices

__all__ = ["Curve", "spend"]

Float64: TypeAlias = "npt.NDArray[np.float64]"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """At one place, with `counts` units left out, 0 first: the seconds that it saves and what it loses."""

    counts: Indices
    saved: Float64
    losses: Float64


def spend(curves: Sequence[Curve], seconds: float) -> list[int]:
    """How many units go at each place, so that all of them together save so much, or whatever can be saved.

    The places with the least loss for a second go first: along the lower convex hull of each curve, which is the least
    loss at every saving that the hulls have a corner at (Lagrange multipliers: Everett, 1963).

    >>> one = Curve(counts=np.array([0, 4, 8]), saved=np.array([0, 1.0, 2.0]), losses=np.array([0, 1.0, 5.0]))
    >>> other = Curve(counts=np.array([0, 4, 8]), saved=np.array([0, 1.0, 2.0]), losses=np.array([0, 2.0, 3.0]))
    >>> spend([one, other], 3.0)
    [4, 8]
    """
    steps = sorted(
        (float(slope), place, corner) for place, curve in enumerate(curves) for slope, corner in _hull(curve)
    )
    at = [0] * len(curves)
    total = 0.0
    for _, place, corner in steps:
        curve = curves[place]
        missing = seconds - (total - curve.saved[at[place]])
        if total >= seconds:
            break
        total -= curve.saved[at[place]]
        enough = np.flatnonzero(curve.saved[: corner + 1] >= missing)
        at[place] = int(enough[0]) if enough.size else corner
        total += curve.saved[at[place]]
    return [int(curve.counts[place]) for curve, place in zip(curves, at, strict=True)]


def _hull(curve: Curve) -> list[tuple[float, int]]:
    """The corners of the lower convex hull of losses over seconds, each with the slope that leads to it."""
    corners = [0]
    for place in np.flatnonzero(curve.saved > 0).tolist():
        if curve.saved[place] <= curve.saved[corners[-1]]:
            continue
        while len(corners) > 1 and _slope(curve, corners[-1], place) <= _slope(curve, corners[-2], corners[-1]):
            corners.pop()
        corners.append(place)
    return [(_slope(curve, before, after), after) for before, after in pairwise(corners)]


def _slope(curve: Curve, before: int, after: int) -> float:
    return float((curve.losses[after] - curve.losses[before]) / (curve.saved[after] - curve.saved[before]))
