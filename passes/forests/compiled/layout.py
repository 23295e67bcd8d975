"""Where the elements of a tensor lie whose batch is open: how shapes change them, proved for every batch.

(N, T)  -- Reshape(-1) ->  (N*T,)  -- Reshape(-1, T) ->  (N, T)        in memory: before x batch x after elements
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..trees.forest import Array

__all__ = ["OPEN", "OpenLayout"]

OPEN = None  # the batch, in a shape


@dataclass(frozen=True, slots=True)
class OpenLayout:
    """A shape with one open axis, of `before` times the batch times `after` elements in the order of memory.

    dims: the extents; that of the open axis is how many batches it holds: it is clean where that is one, and where the
    axes in front of it come to `before`.

    >>> flat = OpenLayout.of((1, 3), 0).reshaped([-1])
    >>> flat, flat.is_clean, flat.reshaped([-1, 3]).is_clean
    (OpenLayout(dims=(3,), axis=0, before=1, after=3), False, True)
    """

    dims: tuple[int, ...]
    axis: int
    before: int
    after: int

    @staticmethod
    def of(dims: Sequence[int], axis: int) -> OpenLayout:
        """The clean one of some extents, 1 at the open axis."""
        return OpenLayout(tuple(dims), axis, math.prod(dims[:axis]), math.prod(dims[axis + 1 :]))

    @property
    def is_clean(self) -> bool:
        """Whether the open axis is the batch and nothing else."""
        return self.dims[self.axis] == 1 and math.prod(self.dims[: self.axis]) == self.before

    @property
    def cells(self) -> int:
        """Elements of each row of the batch."""
        return self.before * self.after

    def reshaped(self, target: Sequence[int | None]) -> OpenLayout | None:
        """The same elements under a shape as Reshape is given it, `OPEN` where it says the batch; None where that
        does not hold for every batch."""
        dims: list[int | None] = []
        for place, extent in enumerate(target):
            if extent == 0:
                if place >= len(self.dims):
                    return None
                extent = OPEN if place == self.axis and self.dims[place] == 1 else self.dims[place]
                if place == self.axis and extent is not OPEN:
                    return None
            dims.append(extent)
        batches = [place for place, extent in enumerate(dims) if extent is OPEN]
        rest = [place for place, extent in enumerate(dims) if extent == -1]
        known = math.prod(extent for extent in dims if extent is not None and extent != -1)
        if len(rest) > 1 or len(batches) > 1 or not (rest or batches) or known < 1 or self.cells % known:
            return None
        left = self.cells // known
        if rest:
            dims[rest[0]] = left
        elif left != 1:
            return None
        axis = batches[0] if batches else rest[0]
        return OpenLayout(tuple(1 if extent is None else extent for extent in dims), axis, self.before, self.after)

    def transposed(self, perm: Sequence[int]) -> tuple[OpenLayout, Array] | None:
        """The layout behind a Transpose, and (cells,) which element comes to each place; None where it is not clean."""
        if not self.is_clean or sorted(perm) != list(range(len(self.dims))):
            return None
        order = np.arange(self.cells).reshape(self.dims).transpose(perm)
        return OpenLayout.of(order.shape, list(perm).index(self.axis)), order.reshape(-1)

    def without(self, axes: Sequence[int]) -> OpenLayout | None:
        """Without axes of extent one; None where one of them is the open one or has another extent."""
        axes = [axis % len(self.dims) for axis in axes]
        if self.axis in axes or any(self.dims[axis] != 1 for axis in axes):
            return None
        left = [extent for place, extent in enumerate(self.dims) if place not in axes]
        return replace(self, dims=tuple(left), axis=self.axis - sum(axis < self.axis for axis in axes))

    def spread(self, constant: Array) -> Array | None:
        """(cells,) what an elementwise operator combines each element with; None where it gives another shape, or
        differs along the batch."""
        if constant.size == 1 and constant.ndim <= len(self.dims):
            return np.broadcast_to(constant.reshape(-1), self.cells)
        if not self.is_clean or constant.ndim > len(self.dims):
            return None
        shape = (1,) * (len(self.dims) - constant.ndim) + constant.shape
        if shape[self.axis] != 1 or any(own not in (1, dim) for own, dim in zip(shape, self.dims, strict=True)):
            return None
        return np.broadcast_to(constant.reshape(shape), self.dims).reshape(-1)
