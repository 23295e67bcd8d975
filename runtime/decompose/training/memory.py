"""What training a candidate holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

from ....ir.errors import option
from ...ort.memory import weight_bytes
from ..task.memory import require_bytes
from ..task.method import DecomposeTask

__all__ = ["learning_bytes", "require_learning_memory"]

COPIES = 7  # of all weights: they, their gradients, two moments, the best so far, those of now, and a checkpoint


def require_learning_memory(task: DecomposeTask) -> None:
    """Raise NoMemoryError where training takes more than may be used: what the user allows, or half of what is free."""
    require_bytes(task, learning_bytes(task), "training needs", "leave ", option("train"), " out, or ")


def learning_bytes(task: DecomposeTask) -> int:
    """About how many bytes it takes to train a candidate as large as the model, activations and what a teacher says
    aside."""
    return COPIES * weight_bytes(task.model.graph)
