"""The grain of a plan: how coarse blocks are to be where that is asked for and not left to prices (paper 4.4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from ..errors import Remedy
from ..record import shown
from .decomposition import PlanError

__all__ = ["Grain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grain:
    """What blocks of a linear may be merged, or have to be cut, into; by default what is predicted to be fastest.

    every: each independent block by itself, none merged with others; granularity: features of the widest block, which
    is the larger side of independent blocks and what a group of a cover owns; only what nothing divides is wider;
    parts: how many groups, as equal in multiply-adds as can be, fewer where there are not as many. Raises PlanError
    for a number below 1, or granularity and parts at once.

    >>> bool(Grain()), Grain(parts=4).to_dict()
    (False, {'parts': 4})
    """

    every: bool = False
    granularity: int | None = None
    parts: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.every, bool):
            raise PlanError(f"grain: every is {shown(self.every)}, which is neither true nor false")
        for name in ("granularity", "parts"):
            value = getattr(self, name)
            if value is not None and (type(value) is not int or value < 1):
                raise PlanError(f"{name} is {shown(value)}; give a whole number of at least 1")
        if self.granularity is not None and self.parts is not None:
            both = Remedy("granularity and parts", "--granularity and --parts")
            raise PlanError(both, " both say how large blocks are; give one of the two")

    def __bool__(self) -> bool:
        """Whether anything is asked for."""
        return self != Grain()

    def to_dict(self) -> dict[str, Any]:
        """What is asked for, for JSON."""
        return {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name) != one.default}

    @staticmethod
    def from_dict(data: Any) -> Grain:
        """Inverse of `to_dict`; raises PlanError when the data is no such object."""
        names = {one.name for one in fields(Grain)}
        if not isinstance(data, Mapping) or not data.keys() <= names:
            raise PlanError(f"grain is {shown(data)}, which is no object of {', '.join(sorted(names))}")
        return Grain(**data)
