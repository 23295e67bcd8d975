"""What keeps a model from being recorded as a CUDA graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..brief import brief_line
from ..plural import counted

__all__ = ["Blocker", "RecordingObstacle", "told_of_recording"]


class Blocker(StrEnum):
    """Why what runs is not one row of kernels on the GPU, each time the same."""

    CONTROL_FLOW = "control_flow"  # what runs is decided on the way
    SIZED_BY_DATA = "sized_by_data"  # how much an operator finds is read back from the GPU
    ON_CPU = "on_cpu"  # it computes sizes on the CPU, and the GPU reads them as data
    OPEN_SIZE = "open_size"  # a graph is of one size: of a model with others, one of each


TOLD = {
    Blocker.CONTROL_FLOW: "control flow",
    Blocker.SIZED_BY_DATA: "sizes that depend on data",
    Blocker.ON_CPU: "sizes computed on the CPU and read on the GPU",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingObstacle:
    """One of them.

    node: the address of the operator, or the name of an open dimension; op: the operator, '' for a dimension; readers:
    the operators on the GPU that read what one on the CPU computes.
    """

    blocker: Blocker
    node: str
    op: str = ""
    readers: tuple[str, ...] = ()

    __repr__ = brief_line

    @property
    def blocks(self) -> bool:
        """Whether nothing can be recorded with it, at any size."""
        return self.blocker is not Blocker.OPEN_SIZE

    @property
    def sentence(self) -> str:
        """The same for people."""
        if self.blocker is Blocker.OPEN_SIZE:
            return f"dimension {self.node} is open, and a CUDA graph is of one size"
        if self.blocker is Blocker.ON_CPU:
            return f"stays on the CPU, and {', '.join(self.readers)} on the GPU read what it computes from sizes"
        return f"cannot be recorded as a CUDA graph: {TOLD[self.blocker]} ({self.op})"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"blocker": self.blocker.value, "node": self.node, "op": self.op, "readers": list(self.readers)}


def told_of_recording(found: Sequence[RecordingObstacle]) -> str:
    """What obstacles come to, for people; '' where nothing is in the way.

    >>> told_of_recording([RecordingObstacle(blocker=Blocker.CONTROL_FLOW, node="if", op="If")])
    'it cannot be recorded as a CUDA graph: control flow (1 operator)'
    """
    numbers = {blocker: sum(one.blocker is blocker for one in found) for blocker in TOLD}
    told = [f"{TOLD[blocker]} ({counted(number, 'operator')})" for blocker, number in numbers.items() if number]
    if not told:
        return ""
    named = [one.node for one in found if not one.blocks]
    mend = f"; sizes of {', '.join(named)} can be fixed" if named and numbers[Blocker.ON_CPU] else ""
    return f"it cannot be recorded as a CUDA graph: {', '.join(told)}{mend}"
