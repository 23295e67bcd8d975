"""Which sizes of a model's inputs fit into the memory that may be used, and what those that do not are lowered to."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from ....ir.graph.shapes import Inference
from ....ir.graph.sizes import Setting, open_dims
from ....ir.io.load import Model
from ...ort.memory import (
    Footprint,
    NoMemoryError,
    fitting,
    footprint,
    limit_of,
    room_beside,
    session_bytes,
    tell_lowered,
    weight_bytes,
)
from ...ort.tensor_spec import TensorSpec
from ..inputs import shape_of
from ..spec import spec_of
from .settings import given_sizes, settings_of, smaller_settings

if TYPE_CHECKING:
    from ...ort.trials import Trials

__all__ = ["Room", "settings_within"]

TRIALS = 5  # inputs that are held at a time


class Room:
    """What running and comparing a model and a rewritten one takes, beside what it may take.

    asked: whether the sizes are asked for, which then may take half of what is free.
    """

    def __init__(self, model: Model, spec: Sequence[TensorSpec], trials: Trials, *, asked: bool) -> None:
        self.model, self.spec, self.trials = model, spec, trials
        self.weights = weight_bytes(model.graph)
        self.limit = limit_of(trials.memory, asked=asked, weights=self.weights)
        self._inference: Inference | None = None
        self._known: dict[tuple[tuple[int, ...], ...], Footprint] = {}
        self._fitting: list[Mapping[str, int]] = []
        self.held = session_bytes(model.graph, model.graph)  # the rewritten one is no larger

    def need(self, sizes: Mapping[str, int]) -> tuple[int, int]:
        """Bytes beside what sessions hold as they usually are, and at the very least with the weights."""
        found = self._footprint(sizes)
        return TRIALS * found.inputs + found.compared, found.inputs + found.live + self.weights

    def fits(self, sizes: Mapping[str, int]) -> bool:
        """Whether inputs of these sizes take no more than is usual; what is smaller than what does is not asked."""
        if self.room is None or any(_within(sizes, other) for other in self._fitting):
            return True
        if self.need(sizes)[0] > self.room:
            return False
        self._fitting.append(sizes)
        return True

    def lowered(self, sizes: Mapping[str, int], *, tell: bool = False) -> Mapping[str, int]:
        """These sizes, or smaller ones that fit: what the user fixes stays. tell: warn where they are smaller.

        Raises NoMemoryError where none can be run.
        """
        smaller = self.smaller(sizes)
        chosen, need = fitting(sizes, smaller, self.need, self.limit, self.held, self.model.name, sized=bool(sizes))
        if tell and chosen != sizes:
            tell_lowered(sizes, chosen, need, self.limit)
        return chosen

    @property
    def room(self) -> int | None:
        """Bytes that sessions leave to inputs and activations; None for no limit."""
        return room_beside(self.held, self.limit)

    def bytes_of_values(self, sizes: Mapping[str, int]) -> int:
        """Bytes of everything that one run of the model computes."""
        return self._footprint(sizes).values

    def _footprint(self, sizes: Mapping[str, int]) -> Footprint:
        """What one run takes, found once for the same shapes."""
        shapes = {one.name: shape_of(one, sizes) for one in self.spec}
        key = tuple(shapes.values())
        if key not in self._known:
            self._inference = self._inference or Inference(self.model.graph)
            self._known[key] = footprint(self.model.graph, shapes, self._inference)
        return self._known[key]

    def smaller(self, sizes: Mapping[str, int]) -> Iterator[Mapping[str, int]]:
        """Smaller sizes that the graph and the user allow."""
        fixed = given_sizes(self.model, self.spec, self.trials)
        return (one.sizes for one in smaller_settings(self.model, Setting(1, sizes), fixed))


def _within(sizes: Mapping[str, int], others: Mapping[str, int]) -> bool:
    """Whether sizes are of the same dimensions as others and none is larger."""
    return sizes.keys() == others.keys() and all(size <= others[name] for name, size in sizes.items())


def settings_within(
    model: Model, batch: Sequence[int] | None, trials: Trials
) -> tuple[Callable[[], tuple[Setting, ...]], Callable[[], None]]:
    """What finds the settings that a model is run in, those of `settings_of` or lower ones that fit; and what warns of
    those that are lower although they were asked for. Raises InputError at once for sizes of what is not open."""
    given = given_sizes(model, spec_of(model, given=True), trials)
    asked = settings_of(model, batch, given)

    @functools.cache
    def room() -> Room:
        return Room(model, spec_of(model, given=True), trials, asked=bool(batch or given))

    @functools.cache
    def found() -> tuple[Setting, ...]:
        fitting = [lowered(setting) for setting in asked()]
        return tuple(one for place, one in enumerate(fitting) if one not in fitting[:place])

    def lowered(setting: Setting, tell: bool = False) -> Setting:
        try:
            sizes = room().lowered(setting.sizes, tell=tell)
        except NoMemoryError:
            return setting  # whoever runs it says so
        lead = next(iter(open_dims([one.shape for one in room().spec])), None)
        return setting if sizes == setting.sizes or lead is None else Setting(sizes[lead], sizes)

    def tell() -> None:
        for setting in asked() if batch or given else ():
            lowered(setting, tell=True)

    return found, tell
