"""Which sizes of a model's inputs fit into the memory that may be used, and what those that do not are lowered to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ...ir.graph.sizes import Setting
from ...ir.io.load import Model
from ..ort.memory import fitting, footprint, limit_of, room_beside, session_bytes, tell_lowered, weight_bytes
from ..ort.session import TensorSpec
from .drawing import wished_sizes, wishes_of
from .inputs import shape_of
from .settings import smaller_settings

if TYPE_CHECKING:
    from ..ort.trials import Trials

__all__ = ["Room"]

TRIALS = 5  # inputs that are held at a time


class Room:
    """What running and comparing a model and a rewritten one takes, beside what it may take.

    asked: whether the sizes are asked for, which then may take half of what is free.
    """

    def __init__(self, model: Model, spec: Sequence[TensorSpec], trials: Trials, *, asked: bool) -> None:
        self.model, self.spec, self.trials = model, spec, trials
        self.weights = weight_bytes(model.graph)
        self.limit = limit_of(trials.memory, asked=asked, weights=self.weights)
        self.held = session_bytes(model.graph, model.graph)  # the rewritten one is no larger

    def need(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """Bytes beside what sessions hold as they usually are, and at the very least with the weights."""
        found = footprint(self.model.graph, {one.name: shape_of(one, sizes) for one in self.spec})
        return TRIALS * found.inputs + found.compared, found.inputs + found.live + self.weights

    def fits(self, sizes: Mapping[str, int]) -> bool:
        """Whether inputs of these sizes take no more than is usual."""
        return self.room is None or self.need(sizes)[0] <= self.room

    def lowered(self, sizes: Mapping[str, int], *, tell: bool = False) -> Mapping[str, int]:
        """These sizes, or smaller ones that fit: what the user fixes stays. tell: warn where they are smaller.

        Raises NoMemoryError where none can be run.
        """
        chosen, need = fitting(sizes, self._smaller(sizes), self.need, self.limit, self.held, self.model.name)
        if tell and chosen != sizes:
            tell_lowered(sizes, chosen, need, self.limit)
        return chosen

    @property
    def room(self) -> int | None:
        """Bytes that sessions leave to inputs and activations; None for no limit."""
        return room_beside(self.held, self.limit)

    def _smaller(self, sizes: Mapping[str, int]) -> Iterator[Mapping[str, int]]:
        """Smaller sizes that the graph and the user allow."""
        fixed = wished_sizes(self.spec, wishes_of(self.trials)) | dict(self.trials.sizes or {})
        return (one.sizes for one in smaller_settings(self.model, Setting(1, sizes), fixed))
