"""The hidden units of one feed-forward network as experts, and the router that says which of them a sample runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.brief import brief
from ...ir.errors import ScissionError

__all__ = ["ExpertError", "ExpertSplit", "largest"]

Array = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]


class ExpertError(ScissionError):
    """Hidden units that cannot be grouped so, or a model that was not grouped so."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ExpertSplit:
    """y = relu(x U + a) V + b, of which a sample runs the units in `shared` and those in `active` of the `groups`.

    up, down: addresses of the two linears; sha256: of their weights. shared: units (S,) that always run; groups: units
    (E, h) of each expert; together they are all H units once. router (d, E) and offset (E,): the experts with the
    largest x · router + offset run. weight: V (H, d') fitted to what runs, None for the one that the model has.
    Raises ExpertError where units are lost or run twice, or shapes do not belong together.
    """

    up: str
    down: str
    sha256: tuple[str, str]
    shared: Indices
    groups: Indices
    router: Array
    offset: Array
    active: int
    weight: Array | None = None

    __repr__ = brief

    def __post_init__(self) -> None:
        count = len(self.groups)
        units = np.sort(np.concatenate([self.shared, self.groups.ravel()]))
        if self.groups.ndim != 2 or not np.array_equal(units, np.arange(units.size)):
            raise ExpertError(f"{self.up}: the groups are to hold each hidden unit once")
        if not 1 <= self.active <= count:
            raise ExpertError(f"{self.up}: {self.active} of {count} experts cannot run; give 1 to {count}")
        if self.router.ndim != 2 or self.router.shape[1] != count or self.offset.shape != (count,):
            raise ExpertError(f"{self.up}: the router is to have a column and an offset for each of {count} experts")
        if self.weight is not None and len(self.weight) != units.size:
            raise ExpertError(f"{self.up}: the fitted weight is to have a row for each of {units.size} hidden units")

    @property
    def unit_share(self) -> float:
        """The share of the hidden units that a sample runs."""
        own: int = self.groups.shape[1]
        return (self.shared.size + self.active * own) / (self.shared.size + self.groups.size)

    def scores(self, x: Array) -> Array:
        """What the router makes of samples (M, d): a number (M, E) for each expert."""
        found: Array = x @ self.router + self.offset
        return found

    def running(self, x: Array) -> npt.NDArray[np.bool_]:
        """Which hidden units (M, H) samples (M, d) run."""
        found = np.ones((len(x), self.shared.size + self.groups.size), bool)
        chosen = largest(self.scores(x), self.active)
        for expert, units in enumerate(self.groups):
            found[:, units] = chosen[:, expert, None]
        return found


def largest(scores: Array, count: int) -> npt.NDArray[np.bool_]:
    """Where the `count` largest of each row are; of equal ones the first, as TopK has it.

    >>> largest(np.array([[1, 3, 2, 3]]), 2).tolist()
    [[False, True, False, True]]
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    found = np.zeros(scores.shape, bool)
    np.put_along_axis(found, order, True, axis=1)
    return found
