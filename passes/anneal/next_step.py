"""What to try next with a weight that does not fall apart, and why it does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.evidence.null import Null
from ...ir.findings.decomposability import STEPS, Sensitivity, Step
from ..connectivity.bipartite import Components
from ..connectivity.chunked import as_real

__all__ = ["deviation", "next_step"]

Array = npt.NDArray[Any]

WIDEST = 2048  # features of the shorter side up to which singular values are computed
ENERGY = 0.99  # of a weight that a lower rank must hold
CHEAP = 0.5  # multiply-adds of a lower rank, over those of the weight, from which it is worth to name
SAME = 0.1  # by which the deviation of an untouched weight may differ from sigma
IDLE = 0.1  # of the features without a confirmed entry, from which it is worth to name
FEW = 1.0  # confirmed entries that may as well be false


def next_step(
    weight: Array, graph: Components, null: Null | None, seen: Sequence[Sensitivity], use: str, initial: bool
) -> tuple[Step, str, str]:
    """(What to try next, why the weight does not fall apart, the first with its figures), by the first case that holds.

    weight: (K, N), and its components; seen: what is confirmed below, at and above sigma; use: 'channels' in a
    feed-forward network, 'heads' for queries and keys, 'other'; initial: whether its initial weight is known:
    then nothing more is asked about the start. A confirmed edge is known to be learned, so where these alone are a
    giant no better knowledge of the start helps.
    """
    if not graph.count:
        return _told("dormant", "it has no edge at all")
    if graph.giant < 0.5:
        return _told("split", f"it has {graph.count:,} components, the largest with {graph.giant:.1%} of the features")
    if null is None:
        if not initial:
            return _told("sigma", "nothing is known of how it was initialised")
        return _other(weight, use, "its initial weight has no spread, so that no size of an entry is surprising")
    _, now, high = seen
    circular, ratio = null.estimated, deviation(weight) / null.sigma
    if now.confirmed * weight.size <= FEW and not circular:
        reason = f"no entry is larger than initialisation explains, and their sd is {ratio:.2f} sigma"
        if abs(ratio - 1) <= SAME:
            return _told("untrained", reason)
        return _other(weight, use, reason) if initial else _told("sigma", reason)
    known = "the bulk" if circular else "initialisation"
    larger = f"{now.confirmed:.2%} of the entries are larger than {known} explains"
    share = now.dormant / sum(weight.shape)
    if now.giant < 0.5:
        reason = f"{larger}, in {now.components:,} components; {now.dormant:,} features have none"
        if share < 0.5:
            return _told("anneal", reason)
        return _told("train" if initial else "sigma" if circular else "checkpoint", reason)
    reason = f"{larger}, {now.distance:,.0f} times as many as hold a random weight together"
    if graph.dormant or (share >= IDLE and not circular):
        return _told("dormant", reason, f"{graph.dormant:,} have no edge, {now.dormant:,} no confirmed one")
    if circular and not initial:
        return _told("sigma", reason)
    if high.giant < 0.5 and not initial:
        return _told("checkpoint", f"{reason}, though not at {high.factor:g} sigma")
    return _other(weight, use, reason)


def _other(weight: Array, use: str, reason: str) -> tuple[Step, str, str]:
    """What needs no blocks, else training for them."""
    if use in ("channels", "heads"):
        return _told("channels" if use == "channels" else "heads", reason)
    rank, macs = _rank(weight)
    if macs <= CHEAP:
        held = f"rank {rank} holds {ENERGY:.0%} of the squared weight, with {macs:.0%} of the multiply-adds"
        return _told("rank", reason, held)
    return _told("train", reason)


def _told(step: Step, reason: str, figures: str = "") -> tuple[Step, str, str]:
    return step, reason, f"{STEPS[step]} ({figures})" if figures else STEPS[step]


def deviation(weight: Array) -> float:
    """Root mean square of the finite entries, 0 where there are none.

    >>> deviation(np.array([3.0, -3.0, np.nan]))
    3.0
    """
    values = as_real(weight)
    values = values[np.isfinite(values)].astype(np.float64)
    return math.sqrt(float(np.mean(values * values))) if values.size else 0.0


def _rank(weight: Array) -> tuple[int, float]:
    """(Rank that holds ENERGY of the squared weight, multiply-adds of such two factors over those of the weight)."""
    K, N = weight.shape
    values = as_real(weight if K <= N else weight.T).astype(np.float64)
    if min(K, N) > WIDEST or not np.isfinite(values).all():
        return min(K, N), math.inf
    energy = np.linalg.eigvalsh(values @ values.T)[::-1].clip(0)
    rank = int(np.searchsorted(np.cumsum(energy), ENERGY * energy.sum())) + 1
    return rank, rank * (K + N) / (K * N)
