"""Hidden units of recurrent operators: they go out of every gate, of states and of results together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.axis_rule import Operand
from ...ir.axes.shared_axis import Dim
from ...ir.graph.recurrent import BIAS, INITIAL_C, INITIAL_H, PEEPHOLES
from .axis_classes import AxisClasses, Constraint, Masks
from .bounds.cells import RECURRENCE, RecurrentCells
from .bounds.forward import Facts
from .constraints import Grid, Pinned
from .contraction import Contraction, own_product
from .negligible import Negligible

__all__ = ["relate_cells"]

# The axes of each operand that are told of, those of units and of features
UNITS = {1: (1, 2), RECURRENCE: (1, 2), BIAS: (1,), PEEPHOLES: (1,), INITIAL_H: (2,), INITIAL_C: (2,)}


@dataclass(frozen=True, slots=True, eq=False)
class Recurrence:
    """The units of a step that units of the next one read, whatever a unit reads of itself."""

    hidden: Dim
    cells: RecurrentCells
    facts: Facts
    tiny: float

    @property
    def dims(self) -> tuple[Dim]:
        """That of the hidden units."""
        return (self.hidden,)

    def hold(self, masks: Masks) -> None:
        """Keep what a unit that stays reads."""
        stays = masks.of(self.hidden)
        if stays.all():
            return
        place, _ = self.hidden
        assert isinstance(place, Operand)
        cells = self.cells
        R = self.facts.sizes.constants.read(place.value).reshape(cells.count, cells.gates, cells.hidden, -1)
        read = (np.abs(R[:, :, stays]) > self.tiny).any(axis=(1, 2))  # (directions, hidden)
        masks.keep(self.hidden, (read & ~cells.zero).any(axis=0))


def relate_cells(
    classes: AxisClasses, facts: Facts, cells: RecurrentCells, small: Negligible
) -> tuple[list[Constraint], list[Contraction]]:
    """What holds of the axes of a recurrent operator, and its product with the features that it reads."""
    #     W  (directions, gates × hidden, features)      a unit has a row in every gate, and goes out of all
    #     R  (directions, gates × hidden, hidden)        directions where it does nothing in any of them
    #     B  (directions, 2 × gates × hidden)            Y  (positions, directions, batch, hidden)
    node, view = cells.view.node, cells.view
    weight, recurrence = Operand(node, 1), Operand(node, RECURRENCE)
    hidden: Dim = (recurrence, 2)
    found: list[Constraint] = [
        Grid((Operand(node, index), 1), [gates, hidden])
        for index, gates in ((1, cells.gates), (2, cells.gates), (BIAS, 2 * cells.gates), (PEEPHOLES, 3))
        if view.operand(index) is not None
    ]
    x = node.inputs[0]
    assert x is not None
    states = [hidden, *((value, 3 if place == 0 else 2) for place, value in enumerate(node.outputs) if value.name)]
    rest: list[Dim] = [(x, 0), (x, 1)]
    for index in range(1, len(node.inputs)):
        value = node.inputs[index]
        if value is None:
            continue
        place = facts.sizes.place(node, index)
        # Zeros to start from are left out once there are fewer of them.
        begins = index in (INITIAL_H, INITIAL_C)
        told = () if begins and cells.starts_at_zero(index) else UNITS.get(index, ())
        rest += [(place, axis) for axis in range(len(facts.sizes.of(value) or ())) if axis not in told]
        states += [(place, axis) for axis in told if begins]
    for place_, value in enumerate(node.outputs):
        rest += [(value, axis) for axis in range(3 if place_ == 0 else 2) if value.name]
    features: list[Dim] = [(x, 2), (weight, 2)]
    for dims in (states, features):
        if not classes.join(dims):
            rest += dims
    found.append(Recurrence(hidden, cells, facts, small.below(facts, recurrence.value)))
    found.append(Pinned([dim for dim in rest if classes.extent(dim) > 1], node))

    return found, [_product(cells, facts, small)]


def _product(cells: RecurrentCells, facts: Facts, small: Negligible) -> Contraction:
    """The product of the features that are read, in every direction, which takes that of the states along."""
    node, view = cells.view.node, cells.view
    weight = Operand(node, 1)

    def matrix() -> npt.NDArray[Any]:
        return np.transpose(view.constants.read(weight.value), (2, 1, 0))

    found = own_product(node, facts, small, matrix)
    return replace(found, recurrence=Operand(node, RECURRENCE))
