"""What training a candidate holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

from ....ir.errors import option
from ...ort.memory import NoMemoryError, limit_of, shown_bytes, weight_bytes
from ..task.method import DecomposeTask

__all__ = ["learning_bytes", "require_learning_memory"]

COPIES = 7  # of all weights: they, their gradients, two moments, the best so far, those of now, and a checkpoint


def require_learning_memory(task: DecomposeTask) -> None:
    """Raise NoMemoryError where training takes more than may be used: what the user allows, or half of what is free."""
    most = limit_of(task.trials.memory, asked=True).most
    needed = learning_bytes(task)
    if most is not None and needed > most:
        raise NoMemoryError(
            f"{task.model.name}: training needs {shown_bytes(needed)} of memory and {shown_bytes(most)} may be used; "
            "leave ",
            option("train"),
            " out, or allow more with ",
            option("memory"),
        )


def learning_bytes(task: DecomposeTask) -> int:
    """About how many bytes it takes to train a candidate as large as the model, activations and what a teacher says
    aside."""
    return COPIES * weight_bytes(task.model.graph)
