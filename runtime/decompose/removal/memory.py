"""What fitting holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ....ir.graph.linear import Linear
from ....ir.graph.shapes import shape_of
from ....passes.pruning.shrinkage import SHRINKAGES
from ....passes.pruning.units import Units
from ..task.memory import require_bytes
from ..task.method import DecomposeTask
from .entering_rows import FITTED
from .sampled import beside_of, rows_of_feed

__all__ = ["NUMBER", "fitting_bytes", "require_memory", "rows_held"]

NUMBER, FLOAT = 8, 4  # bytes of a float64, and of a float32
GRAMS = 6  # matrices of the size of a gram while units are chosen and what is left is fitted
CHANGES = 4 * len(SHRINKAGES) + 4  # and of the size of a weight
MODELS = 2  # the original and the smaller one run beside one another


def require_memory(task: DecomposeTask, sites: Sequence[Units]) -> None:
    """Raise NoMemoryError where fitting takes more than may be used: what the user allows, or half of what is free."""
    needed = fitting_bytes(sites, len(task.calibration.feeds))
    require_bytes(task, needed, "leaving out units needs", "give fewer samples, or ")


def fitting_bytes(sites: Sequence[Units], feeds: int) -> int:
    """About how many bytes it takes to fit what reads units, to so many feeds.

    It is done place by place: what enters the products of one, and what is added to their results, stays until what
    reads it has run, in both models; sums over it and weights that are tried are those of one product at a time.
    """
    return max((_entering(site, feeds) + _fitting(site) for site in sites), default=0)


def _entering(site: Units, feeds: int) -> int:
    values = {linear.activation: linear.shape[0] for linear in site.readers}
    more = {value: linear.shape[1] for linear in site.readers if (value := beside_of(linear)) is not None}
    each = [_rows(linear) for linear in site.readers]
    rows = feeds * max(rows_of_feed(feeds, None, FITTED) if one is None else one for one in each)
    return MODELS * FLOAT * rows * sum({**values, **more}.values())


def _fitting(site: Units) -> int:
    sizes = [((linear.shape[0] + 1) ** 2, (linear.shape[0] + 1) * linear.shape[1]) for linear in site.readers]
    return NUMBER * (
        sum(2 * (gram + target) for gram, target in sizes) + max(GRAMS * g + CHANGES * t for g, t in sizes)
    )


def rows_held(linear: Linear, feeds: int) -> int:
    """Rows that are looked at of what enters a product; of a value whose shape is not known, as many as may be."""
    return feeds * rows_of_feed(feeds, _rows(linear))


def _rows(linear: Linear) -> int | None:
    """Rows that enter it in one feed; None where that is not known."""
    shape = shape_of(linear.activation)
    known = [extent for extent in shape or () if isinstance(extent, int)]
    return None if shape is None or len(known) < len(shape) else math.prod(known) // max(linear.shape[0], 1)
