"""Every way in which one linear may be lowered by itself: groups of its blocks and covers, and what fits them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import TypeAlias

from ...ir.graph.linear import Linear
from ...ir.plan.grain import Grain
from ...ir.plan.plan import Decomposition, LoweringName
from ..lowering.linear.batched import padded_shape
from ..lowering.linear.cost import Machine, fitting
from ..lowering.linear.lowering import ASKED, absorb_dormant, absorbs, apart, misfit
from .analysis import Analysis
from .grain import grained, suited_to

__all__ = ["Settings", "candidates", "misfits"]

Settings: TypeAlias = "Collection[tuple[int, Machine]]"
PADDED = 1.25  # times the entries of the blocks, where every block was asked for as it is


def candidates(
    linear: Linear,
    analysis: Analysis,
    ways: Collection[LoweringName],
    grain: Grain,
    settings: Settings,
    tile: int,
    *,
    asked: bool = False,
) -> Iterator[tuple[Decomposition, list[LoweringName]]]:
    """Groups of blocks that save something, and which of the ways fit each.

    asked: whether the one way was asked for, so that it is taken also where another would have less to move, and for
    every block unless the grain says how many.
    """
    if asked and grain.parts is None:
        grain = replace(grain, every=True)
    itemsize = int(linear.dtype.numpy().itemsize)
    absorbed = absorbs(linear) and not set(ways) <= set(ASKED)
    for found in suited_to(analysis, grain):
        if not found.blocks or apart(linear, found):
            continue
        whole = absorb_dormant(found) if absorbed else found  # their zero columns are computed, so they count
        for grouped in grained(whole, grain, analysis.components, settings, itemsize):
            if grouped.mac_share >= 1:
                continue
            if asked:
                fits = [way for way in ways if misfit(grouped, way, tile) is None]
            else:
                fits = fitting(grouped, ways, tile)
            if len(grouped.blocks) < len(whole.blocks):
                fits = [way for way in fits if way != "select"]  # which is never grouped
            if grain.every and not asked:
                fits = [way for way in fits if not _padded(grouped, way, tile)]
            yield grouped, fits


def misfits(
    found: Iterable[tuple[Decomposition, list[LoweringName]]], ways: Iterable[LoweringName], tile: int
) -> dict[LoweringName, str]:
    """Why ways fit none of the groups, as far as blocks are against them."""
    against: dict[LoweringName, str] = {}
    groups = list(found)
    for way in ways:
        if not any(way in fits for _, fits in groups):
            why = next((why for grouped, _ in groups if (why := misfit(grouped, way, tile))), None)
            against |= {} if why is None else {way: why}
    return against


def _padded(found: Decomposition, way: LoweringName, tile: int) -> bool:
    """Whether a way pads blocks to much more than they are."""
    if way not in ("batched", "grouped"):
        return False
    B, k, n = padded_shape(found, tile)
    return B * k * n > PADDED * sum(i * o for i, o in (block.shape for block in found.blocks))
