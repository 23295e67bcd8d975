"""Shares of arrays: what a part reads, taken of the whole, and what it makes, put in its places of the whole.

A request takes and puts hundreds of them, so that where they lie is worked out once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.parts.share import Share
from ..ort.library import SessionError

__all__ = ["Window", "window_of"]

Array = npt.NDArray[Any]
Ids = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """The places of a share in arrays of the whole.

    at: what indexes them, along the only axis that is cut; None where several are, and nothing may be put there.
    """

    share: Share
    name: str
    axis: int
    width: int
    size: int
    at: tuple[Any, ...] | None

    def taken(self, there: Mapping[str, Array], part: str) -> Array:
        """The share of a value, a view where its places follow one another; raises SessionError where it is not there,
        or has another size. part: its name, for messages."""
        array = there.get(self.name)
        if array is None:
            raise SessionError(f"{part}: no value for the input {self.name!r}")
        if self.at is None:
            for axis, size in self.share.size.items():
                self._require(array, axis, size, part)
            return self.share.of(array)
        if not self.at:
            return array
        self._require(array, self.axis, self.size, part)
        found: Array = array[self.at]
        return found

    def put(self, made: Array, there: dict[str, Array], part: str, rows: Ids | int | None = None) -> None:
        """Put what a part made in its places of the whole.

        rows: of the whole that it is, all of them where None; a number where it is one row for so many. Raises
        SessionError for what does not fit what other parts made.
        """
        shape, axis = made.shape, self.axis
        if self.at is None:
            raise SessionError(f"{part}: {self.name!r} is cut along several axes")
        if self.at:
            self._require(made, axis, self.width, part)
            shape = (*shape[:axis], self.size, *shape[axis + 1 :])
        whole = there.get(self.name)
        if isinstance(rows, int):
            shape, rows = (rows, *shape[1:]), None
        elif rows is not None and whole is not None:
            shape = (whole.shape[0], *shape[1:])
        if whole is None:
            whole = there[self.name] = np.empty(shape, made.dtype)
        elif whole.shape != shape or whole.dtype != made.dtype:
            raise SessionError(
                f"{part}: {self.name!r} is {made.dtype}{list(shape)}, "
                f"and of another part {whole.dtype}{list(whole.shape)}"
            )
        if rows is None:
            whole[self.at or ...] = made
        elif not self.at or isinstance(self.at[-1], slice):
            whole[(rows, *self.at[1:])] = made
        else:
            for row, own in zip(rows.tolist(), made, strict=True):
                whole[row][self.at[1:]] = own

    def _require(self, array: Array, axis: int, size: int, part: str) -> None:
        if array.ndim <= axis or array.shape[axis] != size:
            raise SessionError(
                f"{part}: {self.name!r} has the shape {list(array.shape)}, not {size} places on axis {axis}"
            )


def window_of(share: Share) -> Window:
    """Where the places of a share lie."""
    if len(share.places) != 1:
        return Window(share, share.value, 0, 0, 0, None if share.places else ())
    ((axis, places),) = share.places.items()
    return Window(share, share.value, axis, places.size, share.size[axis], share.where(axis + 1))
