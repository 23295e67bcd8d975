"""Blocks of the grain that is asked for: every one, none wider than so many features, or so many groups (paper 4.4).

What is merged is exact, only larger. A block that is too wide is cut where a cover of it is known; one whose outputs
all read all of its inputs is indivisible, as an irreducible diagonal block is in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...ir.plan.grain import Grain
from ...ir.plan.plan import Decomposition
from ..connectivity.bipartite import Components
from ..decompose.blocks import is_cover
from ..decompose.merging import balanced, narrowed, width
from ..lowering.prices import FLOAT_BYTES
from .analysis import Analysis
from .groupings import Settings, groupings

__all__ = ["grained", "suited_to"]


def suited_to(analysis: Analysis, grain: Grain) -> tuple[Decomposition, ...]:
    """The blocks and covers of a weight that can have a grain, all of them where none can.

    Where blocks are wider than the granularity and a cover cuts them, that is only the covers; where there are fewer
    blocks than parts, what has the most.
    """
    found = analysis.decompositions
    if grain.granularity is not None:
        least = min(width(one) for one in found)
        return tuple(one for one in found if width(one) <= max(grain.granularity, least))
    if grain.parts is not None:
        most = min(grain.parts, max(len(one.blocks) for one in found))
        return tuple(one for one in found if len(one.blocks) >= most)
    return found


def grained(
    found: Decomposition, grain: Grain, components: Components, settings: Settings = (), itemsize: int = FLOAT_BYTES
) -> Iterator[Decomposition]:
    """The groups of blocks that a grain allows, of which prices choose; components: those of the weight, of which
    `every` keeps each for itself; settings, itemsize: see `groupings`, which are all where nothing is asked for."""
    if not grain:
        yield from groupings(found, settings, itemsize)
    elif grain.parts is not None:
        yield balanced(found, grain.parts)
    elif grain.granularity is not None:
        yield from _within(found, grain.granularity, every=grain.every)
    elif is_cover(found):
        yield from (one for one in groupings(found, settings, itemsize) if not _crosses(one, components))
    else:
        yield found


def _within(found: Decomposition, granularity: int, *, every: bool) -> Iterator[Decomposition]:
    """Groups up to a width, and up to halves of it, until nothing is merged."""
    if every and not is_cover(found):
        yield found
        return
    count, most = -1, granularity
    while most and count < len(found.blocks):
        made = narrowed(found, most)
        if len(made.blocks) != count:
            yield made
        count, most = len(made.blocks), 0 if every else most // 2


def _crosses(found: Decomposition, components: Components) -> bool:
    """Whether some group has features of two components."""
    labels = components.inputs if found.split_k else components.outputs
    owned = (labels[block.inputs if found.split_k else block.outputs] for block in found.blocks)
    return any(np.unique(own[own >= 0]).size > 1 for own in owned)
