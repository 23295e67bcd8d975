"""What one reading of a constant tells, so that a large one that everything reads need not be read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.node import FLOATS
from ....ir.onnx_ir import onnx_ir as ir
from .interval import Floats

__all__ = ["FEW", "Scan", "scanned"]

EXPONENTS = {ir.DataType.FLOAT16: 0x7C00, ir.DataType.BFLOAT16: 0x7F80}  # all of these bits: not finite
PIECE = 1 << 20  # entries that are looked at together
FEW = 32  # places of an axis that are looked at first


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """is_finite: whether all entries of a constant are; largest: by axis, of the first two, how large the largest entry
    of each place is beside the first `FEW` places of the other; NaN where one of these is."""

    #            first FEW     largest along the rows
    #     rows   [ 3  0  . . . . ]   3                    whatever stands in the other columns: none of the rows is zero
    #            [ 0 -1  . . . . ]   1
    is_finite: bool
    largest: Mapping[int, Floats] = field(default_factory=dict)


def scanned(array: npt.NDArray[Any], kind: ir.DataType) -> Scan:
    """The scan of a constant; reads each entry once."""
    if kind not in FLOATS:
        return Scan(True)
    axes = (0, 1) if array.ndim > 1 and array.size else ()
    return Scan(_is_finite(array, kind), {axis: _largest(array, axis) for axis in axes})


def _largest(array: npt.NDArray[Any], axis: int) -> Floats:
    corner = np.moveaxis(array, axis, 0)[:, :FEW]
    with np.errstate(invalid="ignore"):
        sizes: Floats = np.abs(corner).reshape(len(corner), -1).max(axis=1).astype(np.float64)
    return sizes


def _is_finite(array: npt.NDArray[Any], kind: ir.DataType) -> bool:
    flat = array.ravel(order="K")  # as it lies in memory
    for start in range(0, flat.size, PIECE):
        piece = flat[start : start + PIECE]
        if (bits := EXPONENTS.get(kind)) is not None:
            if ((np.ascontiguousarray(piece).view(np.uint16) & bits) == bits).any():
                return False
            continue
        with np.errstate(all="ignore"):
            total = piece.sum()  # is finite only where every entry is; it may be infinite where every entry is finite
        if not np.isfinite(total) and not np.isfinite(piece).all():
            return False
    return True
