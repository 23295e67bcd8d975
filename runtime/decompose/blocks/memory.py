"""What training into blocks holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

from ...ort.memory import weight_bytes
from ..task.memory import require_bytes
from ..task.method import DecomposeTask
from .places import Places

__all__ = ["require_training_memory", "training_bytes"]

NUMBER = 8  # bytes of a float64
GRAMS, ENERGIES = 3, 4  # copies of what enters a weight, and of its entries, while groups are found and blocks fitted
LEARNING = 8  # copies of all weights: their gradients, two moments, the best so far, and those that are written back


def require_training_memory(task: DecomposeTask, places: Places) -> None:
    """Raise NoMemoryError where training takes more than may be used: what the user allows, or half of what is free."""
    require_bytes(task, training_bytes(task, places), "training into blocks needs")


def training_bytes(task: DecomposeTask, places: Places) -> int:
    """About how many bytes it takes to put the units of these places into groups and to train, activations aside."""
    shapes = [one.linear.shape for one in places.places]
    grams = GRAMS * sum((K + 1) ** 2 for K, _ in shapes)
    energies = ENERGIES * sum((K + 1) * N for K, N in shapes)
    return NUMBER * (grams + energies) + LEARNING * weight_bytes(task.model.graph)
