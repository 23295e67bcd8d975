"""Convolutions at the sizes that they are predicted for."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.seconds import products_seconds

__all__ = ["ShapeOf", "convolution_seconds"]

ShapeOf = Callable[[ir.Value], tuple[int, ...]]


def convolution_seconds(kernel: tuple[int, ...], groups: int, positions: int, prices: Prices) -> float:
    """Predicted seconds of a convolution with weights (M, C / groups, places …) at so many positions."""
    shape = (math.prod(kernel[1:]), max(kernel[0] // groups, 1))
    return products_seconds([shape] * groups, positions, FLOAT_BYTES, prices) - (groups - 1) * prices.gemm_launch_s
