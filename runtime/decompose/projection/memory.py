"""What fitting projections holds in memory, estimated before anything of it is allocated."""

from __future__ import annotations

from collections.abc import Sequence

from ....ir.graph.linear import Linear
from ..removal.memory import NUMBER, rows_held
from ..task.memory import require_bytes
from ..task.method import DecomposeTask

__all__ = ["projection_bytes", "require_memory"]

GRAMS = 6  # copies of a gram while a weight is projected
WEIGHTS = 8  # copies of a weight


def require_memory(task: DecomposeTask, linears: Sequence[Linear]) -> None:
    """Raise NoMemoryError where fitting takes more than may be used: what the user allows, or half of what is free."""
    needed = projection_bytes(linears, len(task.calibration.feeds))
    require_bytes(task, needed, "projecting weights needs", "give fewer samples, or ")


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
