"""Features of the last axis in another order: one permutation, in the way that copies it fastest.

A Gather on the last axis copies element by element and looks each of them up: 9 ns an element on ONNX Runtime's CPU.
GatherElements, whose indices are a tensor as large as the result, takes 1 to 2 ns, the Expand that makes them included.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.onnx_ir import onnx_ir as ir
from ...decompose.blocks import is_run
from .emitter import Emitter

__all__ = ["GATHER_ELEMENTS", "Columns", "take_columns"]

Array = npt.NDArray[Any]
GATHER_ELEMENTS = 11  # operator set that brought it


def take_columns(
    emitter: Emitter,
    value: ir.Value,
    order: npt.ArrayLike,
    *,
    extent: int,
    rank: int | None,
    shape: Iterable[object] | None = None,
    role: str = "columns",
) -> ir.Value:
    """`value[..., order]`: entries of its last axis, of `extent`, in another order, some of them or repeated.

    rank: of the value, None when unknown; shape: its extents as far as they are known, what is no number is decided at
    run time. Returns the value itself where nothing moves.
    """
    return Columns(emitter, value, rank, shape).take(value, order, extent, role)


class Columns:
    """The same for several values that differ in their last extent only: what they share is computed once.

    value: one of them, with at least one feature; rank, shape: as in `take_columns`.
    """

    def __init__(
        self, emitter: Emitter, value: ir.Value, rank: int | None, shape: Iterable[object] | None = None
    ) -> None:
        self._emitter = emitter
        self._value = value
        self._axis = -1 if rank is None else rank - 1
        self._known: list[int] | None = [] if rank == 1 else None
        if rank is not None and shape is not None:
            lead = [extent for extent in list(shape)[:-1] if isinstance(extent, int)]
            self._known = lead if len(lead) == rank - 1 else self._known
        self._shape: ir.Value | None = None

    def take(self, value: ir.Value, order: npt.ArrayLike, extent: int, role: str) -> ir.Value:
        """`value[..., order]` of a value whose last axis is of `extent`."""
        emitter, axis = self._emitter, self._axis
        order = np.asarray(order, np.int64)
        if order.size == extent and (order == np.arange(extent)).all():
            return value
        if order.size and emitter.opset >= 10 and (np.diff(order) == 1).all() and is_run(order):
            window = ((int(order[0]), "start"), (int(order[-1]) + 1, "stop"), (axis, "axis"))
            inputs = [value, *(emitter.integers([v], f"{role}/{name}") for v, name in window)]
            return self._typed(emitter.one("Slice", inputs, role), value)
        if emitter.opset < GATHER_ELEMENTS or (self._known is not None and all(n == 1 for n in self._known)):
            index = emitter.integers(order, f"{role}/order")
            return self._typed(emitter.one("Gather", [value, index], role, axis=axis), value)
        indices = self._expand(emitter.constant(order.astype(np.int32), f"{role}/order"), role)
        return self._typed(emitter.one("GatherElements", [value, indices], role, axis=axis), value)

    def repeat(self, row: Array, role: str) -> ir.Value:
        """A constant row (n,) once for every row of the value: (…, n). From operator set 8 on."""
        return self._expand(self._emitter.constant(row, role), role)

    def _expand(self, row: ir.Value, role: str) -> ir.Value:
        return self._typed(self._emitter.one("Expand", [row, self._lead()], role), row)

    def _lead(self) -> ir.Value:
        """All extents but the last, and 1: what a row of any length is broadcast to."""
        if self._shape is None:
            emitter = self._emitter
            if self._known is not None:
                self._shape = emitter.integers([*self._known, 1], "columns/shape")
            else:  # the shape of one column: fewer nodes than cutting the shape and joining it again
                zero, one, axis = (emitter.integers([v], f"columns/{n}") for v, n in ((0, "0"), (1, "1"), (-1, "axis")))
                column = self._typed(emitter.one("Slice", [self._value, zero, one, axis], "columns"), self._value)
                self._shape = emitter.one("Shape", [column], "columns")
        return self._shape

    @staticmethod
    def _typed(made: ir.Value, like: ir.Value) -> ir.Value:
        made.type = like.type or made.type
        return made
