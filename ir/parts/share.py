"""A share of a value: the places along some of its axes that a part of a model reads or writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ScissionError
from ..plan.decomposition import LARGEST, Indices, PlanError, from_ranges, indices, to_ranges
from ..record import Record, shown

__all__ = ["AXES", "ManifestError", "Share"]

AXES = 64  # that a value may have


class ManifestError(ScissionError):
    """A folder of parts, or its manifest, that is malformed, contradicts itself, or is not what it says it is."""


@dataclass(frozen=True, slots=True, eq=False)
class Share:
    """Which places of a value belong to a part: `places` along each axis that is cut, all of it where there is none.

    value: its name; size: how many places each cut axis has in the whole. Raises ManifestError for places that are none
    of such an axis.

    >>> share = Share("x", {1: indices([0, 2])}, {1: 4})
    >>> share.of(np.arange(8).reshape(2, 4)).tolist()
    [[0, 2], [4, 6]]
    >>> Share.from_dict(share.to_dict(), "reads[0]") == share
    True
    """

    value: str
    places: Mapping[int, Indices]
    size: Mapping[int, int]

    def __post_init__(self) -> None:
        if self.places.keys() != self.size.keys():
            raise ManifestError(f"{self.value}: places and sizes are told of different axes")
        for axis, places in self.places.items():
            if not 0 <= axis < AXES or not 0 < self.size[axis] <= LARGEST:
                raise ManifestError(f"{self.value}: axis {axis} of {self.size[axis]} places is none that can be cut")
            if not places.size or places[-1] >= self.size[axis]:
                raise ManifestError(f"{self.value}: its places along axis {axis} are none of {self.size[axis]}")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Share) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.value, tuple((axis, places.tobytes()) for axis, places in sorted(self.places.items()))))

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the value."""
        return not self.places

    def of(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The share of an array, which has the sizes of the whole: a copy, or the array where that is all of it."""
        for axis, places in self.places.items():
            array = _taken(array, axis, places)
        return array

    def where(self, rank: int) -> tuple[Any, ...]:
        """What indexes the share in an array of so many axes."""
        if len(self.places) > 1:
            sides = [self.places.get(axis) for axis in range(rank)]
            raise ManifestError(f"{self.value}: {sum(side is not None for side in sides)} axes are cut at once")
        return tuple(_slice_of(self.places[axis]) if axis in self.places else slice(None) for axis in range(rank))

    def to_dict(self) -> dict[str, Any]:
        """For JSON, the places as ranges."""
        cut = [
            {"axis": axis, "size": self.size[axis], "places": to_ranges(places)}
            for axis, places in sorted(self.places.items())
        ]
        return {"value": self.value, "cut": cut}

    @staticmethod
    def from_dict(data: Any, where: str) -> Share:
        """Inverse of `to_dict`; raises ManifestError when a field is missing, unknown or nonsense."""
        record = Record.of(data, where, ManifestError)
        value, cut = record.text("value"), record.items("cut")
        record.done()
        places: dict[int, Indices] = {}
        size: dict[int, int] = {}
        for index, one in enumerate(cut):
            own = Record.of(one, f"{where}: cut[{index}]", ManifestError)
            axis, extent, text = own.whole("axis"), own.whole("size"), own.text("places")
            own.done()
            if axis in places or not 0 < extent <= LARGEST:
                raise own.wrong(f"axis {shown(axis)} of size {shown(extent)} cannot be cut, or is cut twice")
            try:
                places[axis], size[axis] = from_ranges(text, extent), extent
            except PlanError as error:
                raise own.wrong(str(error)) from None
        try:
            return Share(value, places, size)
        except ManifestError as error:
            raise record.wrong(str(error)) from None


def _slice_of(places: Indices) -> slice | Indices:
    """The places as a slice, which takes no copy, where they follow one another."""
    first, last = int(places[0]), int(places[-1])
    return slice(first, last + 1) if last - first + 1 == places.size else places


def _taken(array: npt.NDArray[Any], axis: int, places: Indices) -> npt.NDArray[Any]:
    own = _slice_of(places)
    if isinstance(own, slice):
        return array[(*[slice(None)] * axis, own)]
    return np.take(array, own, axis=axis)


def whole(value: str) -> Share:
    """All of a value."""
    return Share(value, {}, {})


def share_of(value: str, cut: Mapping[int, npt.NDArray[np.bool_]]) -> Share:
    """The share of a value by what stays along its axes; those of which all stays are not cut."""
    some = {axis: mask for axis, mask in cut.items() if not mask.all()}
    places = {axis: indices(np.flatnonzero(mask)) for axis, mask in some.items()}
    return Share(value, places, {axis: mask.size for axis, mask in some.items()})
