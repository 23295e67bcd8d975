"""What training into blocks holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

from ....ir.errors import option
from ...ort.memory import NoMemoryError, limit_of, shown_bytes, weight_bytes
from ..task.method import DecomposeTask
from .places import Places

__all__ = ["require_training_memory", "training_bytes"]

NUMBER = 8  # bytes of a float64
GRAMS, ENERGIES = 3, 4  # copies of what enters a weight, and of its entries, while groups are found and blocks fitted
LEARNING = 8  # copies of all weights: their gradients, two moments, the best so far, and those that are written back


def require_training_memory(task: DecomposeTask, places: Places) -> None:
    """Raise NoMemoryError where training takes more than may be used: what the user allows, or half of what is free."""
    most = limit_of(task.trials.memory, asked=True).most
    needed = training_bytes(task, places)
    if most is not None and needed > most:
        raise NoMemoryError(
            f"{task.model.name}: training into blocks needs {shown_bytes(needed)} of memory and {shown_bytes(most)} "
            "may be used; allow more with ",
            option("memory"),
        )


def training_bytes(task: DecomposeTask, places: Places) -> int:
    """About how many bytes it takes to put the units of these places into groups and to train, activations aside."""
    shapes = [one.linear.shape for one in places.places]
    grams = GRAMS * sum((K + 1) ** 2 for K, _ in shapes)
    energies = ENERGIES * sum((K + 1) * N for K, N in shapes)
    return NUMBER * (grams + energies) + LEARNING * weight_bytes(task.model.graph)
