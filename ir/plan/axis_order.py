"""Another order for the features of a shared axis: values whose order nobody outside the model sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..brief import brief
from ..record import shown
from .decomposition import LARGEST, Indices, PlanError, in_order, to_ranges

__all__ = ["Reordering"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Reordering:
    """The order that the features of one shared axis of the main graph are to have; exact, since constants follow it.

    value: the name of one value of the shared axis; axis: the dimension of that value that the features lie on, counted
    from the first, 0; order: a permutation, feature order[i] comes to place i. Raises PlanError when it is none.

    >>> found = Reordering(value="h", axis=1, order=[2, 0, 1])
    >>> Reordering.from_dict(found.to_dict()) == found, found.to_dict()["order"]
    (True, '2,0-1')
    """

    value: str
    axis: int
    order: Indices

    __repr__ = brief

    def __post_init__(self) -> None:
        order = np.array(self.order, dtype=np.int64).reshape(-1)
        order.setflags(write=False)
        object.__setattr__(self, "order", order)
        if not isinstance(self.value, str) or not self.value:
            raise PlanError(f"a reordering names no value, but {shown(self.value)}")
        if type(self.axis) is not int or self.axis < 0:
            raise PlanError(f"{self.value}: axis is {shown(self.axis)}, not 0 for the first, 1 for the second, …")
        if not np.array_equal(np.sort(order), np.arange(order.size)):
            raise PlanError(f"{self.value}: its order is no permutation of {order.size} features")

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Reordering)
            and (self.value, self.axis) == (other.value, other.axis)
            and np.array_equal(self.order, other.order)
        )

    def __hash__(self) -> int:
        return hash((self.value, self.axis, self.order.tobytes()))

    def to_dict(self) -> dict[str, Any]:
        """For JSON, the order as runs of features that follow one another."""
        cuts = np.flatnonzero(np.diff(self.order) != 1) + 1
        return {
            "value": self.value,
            "axis": self.axis,
            "order": ",".join(to_ranges(run) for run in np.split(self.order, cuts)),
        }

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> Reordering:
        """Inverse of `to_dict`; raises PlanError when the text is no list of runs of features."""
        if not isinstance(data, Mapping) or not isinstance(data.get("order"), str):
            raise PlanError("a reordering is no object with an order such as '4-7,0-3'")
        if unknown := sorted(set(data) - {"value", "axis", "order"}):
            raise PlanError(f"reordering of {shown(data.get('value'))}: there is no field {unknown[0]!r}")
        order = in_order(data["order"], LARGEST)
        return Reordering(value=data.get("value", ""), axis=data.get("axis", -1), order=order)
