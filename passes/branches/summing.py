"""Sums over branches whose last operator is a product of its own: they are one product with all of the weights.

    sum over b of  W_b · x_b + c_b      (B, N, K) · (B, K, M)  ──►  (N, B K) · (B K, M)  +  sum over b of c_b

Only sums of all branches are, directly or by way of sums of as many each: which goes where does not matter then. A mean
scales the weights, where that rounds none of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ...ir.onnx_ir import onnx_ir as ir
from .packing.packed import Pack, Packed, Products
from .packing.recipe import Fixed, Made, Ref, integers

__all__ = ["products_of", "scaled", "summed"]

Array: TypeAlias = npt.NDArray[Any]

TURNED = 3  # dimensions of a stack of transposes


def products_of(packed: Packed) -> Products | None:
    """The products that the values of some branches are, or that sums of them are sums of; None where they are not."""
    if packed.products is not None:
        return packed.products
    if packed.kind != "turned" or packed.each > 1 or not isinstance(packed.ref, Made):
        return None
    product, bias = packed.ref, None
    if product.op == "Add":
        parts = product.inputs
        bias = next((one for one in parts if isinstance(one, Fixed)), None)
        inner = next((one for one in parts if isinstance(one, Made)), None)
        if bias is None or inner is None or len(bias.shape) != TURNED:
            return None
        product = inner
    weight, source = product.inputs[:2] if product.op == "MatMul" else (None, None)
    if not isinstance(weight, Fixed) or len(weight.shape) != TURNED or not isinstance(source, Made):
        return None
    if bias is not None and bias.shape != (*weight.shape[:2], 1):
        return None
    return Products(source, weight, bias, 1.0)


def summed(pack: Pack, found: Products, output: ir.Value) -> Ref:
    """The sum over all branches as one product; output: what it takes the place of."""
    lanes, N, K = found.weight.shape
    source = pack.made("Reshape", found.source, integers([lanes * K, -1], "shape"), like=found.source.like)
    weight = Fixed((N, lanes * K), _joined(found.weight, found.factor), "sum")
    total: Ref = Made("MatMul", (weight, source), output, 1)
    if found.bias is not None:
        total = Made("Add", (total, Fixed((N, 1), _total(found.bias, found.factor), "sum")), output, 1)
    return Made("Transpose", (total,), output, 1, {"perm": [1, 0]})


def _joined(weight: Fixed, factor: float) -> Callable[[], Array]:
    def make() -> Array:
        stack = weight.make()
        lanes, N, K = stack.shape
        joined: Array = np.ascontiguousarray(stack.transpose(1, 0, 2)).reshape(N, lanes * K)
        joined *= stack.dtype.type(factor)
        return joined

    return make


def _total(bias: Fixed, factor: float) -> Callable[[], Array]:
    def make() -> Array:
        stack = bias.make()
        total: Array = (stack.sum(0, dtype=np.float64) * factor).astype(stack.dtype)
        return total

    return make


def scaled(found: Products, op: str, count: int) -> Products | None:
    """The same for a sum or a mean of so many; None where it is neither, or where scaling would round the weights."""
    if op == "ReduceSum":
        return found
    if op != "ReduceMean" or math.frexp(count)[0] != 0.5:
        return None
    return Products(found.source, found.weight, found.bias, found.factor / count)
