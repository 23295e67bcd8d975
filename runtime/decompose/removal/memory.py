"""What fitting holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

from collections.abc import Sequence

from ....ir.errors import option
from ....ir.graph.linear import Linear
from ....ir.graph.shapes import shape_of
from ....passes.pruning.units import Units
from ...ort.memory import NoMemoryError, limit_of, shown_bytes
from ..task.method import DecomposeTask
from .sampled import rows_of_feed

__all__ = ["NUMBER", "fitting_bytes", "require_memory", "rows_held"]

NUMBER = 8  # bytes of a float64
GRAMS = 4  # copies of a gram while units are chosen by it


def require_memory(task: DecomposeTask, sites: Sequence[Units]) -> None:
    """Raise NoMemoryError where fitting takes more than may be used: what the user allows, or half of what is free."""
    most = limit_of(task.trials.memory, asked=True).most
    needed = fitting_bytes(sites, len(task.calibration.feeds))
    if most is not None and needed > most:
        raise NoMemoryError(
            f"{task.model.name}: leaving out units needs {shown_bytes(needed)} of memory and {shown_bytes(most)} "
            "may be used; give fewer samples, or allow more with ",
            option("memory"),
        )


def fitting_bytes(sites: Sequence[Units], feeds: int) -> int:
    """About how many bytes it takes to fit what reads units, to so many feeds.

    The results of all products that read units stay, and what enters and leaves those of one place, with their grams.
    """
    results = [[rows_held(linear, feeds) * linear.shape[1] for linear in site.readers] for site in sites]
    grams = [GRAMS * sum((linear.shape[0] + 1) ** 2 for linear in site.readers) for site in sites]
    entering = [sum(rows_held(linear, feeds) * (linear.shape[0] + 1) for linear in site.readers) for site in sites]
    largest = max(
        (2 * sum(made) + read + gram for made, read, gram in zip(results, entering, grams, strict=True)), default=0
    )
    return NUMBER * (sum(map(sum, results)) + largest)


def rows_held(linear: Linear, feeds: int) -> int:
    """Rows that are held of what enters a product; of a value whose shape is not known, as many as may be."""
    shape = shape_of(linear.activation)
    count = 1
    for extent in shape or ():
        count *= extent if isinstance(extent, int) else 1 << 62
    rows = None if shape is None else count // max(linear.shape[0], 1)
    return feeds * rows_of_feed(feeds, rows)
