"""What a method may hold in memory, asked before anything of it is allocated."""

from __future__ import annotations

from ....ir.errors import Remedy, option
from ...ort.memory import NoMemoryError, limit_of, shown_bytes
from .method import DecomposeTask

__all__ = ["require_bytes"]


def require_bytes(task: DecomposeTask, needed: int, needs: str, *instead: str | Remedy) -> None:
    """Raise NoMemoryError where so many bytes are more than may be used: what the user allows, or half of what is free.

    needs: what it is that needs them, and the verb; instead: what else can be done than to allow more.
    """
    most = limit_of(task.trials.memory, asked=True).most
    if most is not None and needed > most:
        raise NoMemoryError(
            f"{task.model.name}: {needs} {shown_bytes(needed)} of memory and {shown_bytes(most)} may be used; ",
            *instead,
            "allow more with ",
            option("memory"),
        )
