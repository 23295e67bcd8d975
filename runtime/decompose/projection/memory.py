"""What fitting projections holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

from collections.abc import Sequence

from ....ir.errors import option
from ....ir.graph.linear import Linear
from ...ort.memory import NoMemoryError, limit_of, shown_bytes
from ..removal.memory import NUMBER, rows_held
from ..task.method import DecomposeTask

__all__ = ["projection_bytes", "require_memory"]

GRAMS = 6  # copies of a gram while a weight is projected
WEIGHTS = 8  # copies of a weight


def require_memory(task: DecomposeTask, linears: Sequence[Linear]) -> None:
    """Raise NoMemoryError where fitting takes more than may be used: what the user allows, or half of what is free."""
    most = limit_of(task.trials.memory, asked=True).most
    needed = projection_bytes(linears, len(task.calibration.feeds))
    if most is not None and needed > most:
        raise NoMemoryError(
            f"{task.model.name}: projecting weights needs {shown_bytes(needed)} of memory and {shown_bytes(most)} "
            "may be used; give fewer samples, or allow more with ",
            option("memory"),
        )


def projection_bytes(linears: Sequence[Linear], feeds: int) -> int:
    """About how many bytes it takes to project the weights of linears to so many feeds, those that read one value at a
    time.

    Of each of these what enters and leaves it in the original and in what it becomes, its gram, and its weight.
    """
    needed: dict[object, int] = {}
    for linear in linears:
        K, N = linear.shape
        held = 2 * rows_held(linear, feeds) * (K + 1 + 2 * N)
        whole = needed.get(linear.activation, 0) + held + GRAMS * (K + 1) ** 2 + WEIGHTS * K * N
        needed[linear.activation] = whole
    return NUMBER * max(needed.values(), default=0)
