"""What every lowering is made of: the rows of a block, the results joined, each output in its place."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import numpy.typing as npt

from ....ir.graph.constants import Constants
from ....ir.graph.linear import Linear
from ....ir.onnx_ir import onnx_ir as ir
from ....ir.plan.plan import Block
from ...decompose.blocks import is_run
from .emitter import Emitter

__all__ = ["addend", "affine", "bias_of", "cut", "gather", "join", "reorder", "window"]

Array = npt.NDArray[Any]


def gather(emitter: Emitter, features: ir.Value, block: Block, role: str, axis: int) -> ir.Value:
    """What one block reads of the features on `axis`: all of them as they are, one run of them, or those gathered."""
    if block.inputs.size == emitter.linear.shape[0]:
        return features
    if not is_run(block.inputs):
        return emitter.one("Gather", [features, emitter.integers(block.inputs, f"{role}/inputs")], role, axis=axis)
    return window(emitter, features, int(block.inputs[0]), int(block.inputs[-1]) + 1, role, axis)


def window(emitter: Emitter, value: ir.Value, start: int, stop: int, role: str, axis: int) -> ir.Value:
    """What lies between two places on an axis."""
    if emitter.opset < 10:
        return emitter.one("Slice", [value], role, starts=[start], ends=[stop], axes=[axis])
    bounds = ((start, "start"), (stop, "stop"), (axis, "axis"))
    return emitter.one("Slice", [value, *(emitter.integers([v], f"{role}/{name}") for v, name in bounds)], role)


def cut(emitter: Emitter, value: ir.Value, sizes: list[int], axis: int) -> list[ir.Value]:
    """The pieces of a value that follow one another on `axis`; the value itself where there is one."""
    if len(sizes) == 1:
        return [value]
    if emitter.opset >= 13:
        inputs = [value, emitter.integers(sizes, "split/sizes")]
        return emitter.node("Split", inputs, "split", {"axis": axis}, len(sizes))
    return emitter.node("Split", [value], "split", {"axis": axis, "split": sizes}, len(sizes))


def join(emitter: Emitter, results: list[ir.Value], axis: int, most: int = sys.maxsize) -> ir.Value:
    """The results of all blocks, one after another; most: how many one Concat may join, else in groups of so many."""
    while len(results) > most:
        groups = [results[start : start + most] for start in range(0, len(results), most)]
        results = [join(emitter, group, axis) for group in groups]
    return results[0] if len(results) == 1 else emitter.one("Concat", results, "join", axis=axis)


def reorder(emitter: Emitter, joined: ir.Value, order: Array, axis: int) -> ir.Value:
    """Put what is joined in `order` back in natural order; nothing to do where it already is."""
    if (order == np.arange(order.size)).all():
        return joined
    return emitter.one("Gather", [joined, emitter.integers(np.argsort(order), "scatter/order")], "scatter", axis=axis)


def affine(emitter: Emitter, product: ir.Value, constants: Constants, behind: int) -> ir.Value:
    """What the operator itself does to a product besides: alpha and a constant bias, along the axis of the outputs.

    behind: how many axes the product has behind that one.
    """
    linear = emitter.linear
    if linear.alpha != 1.0:
        alpha = emitter.constant(np.asarray(linear.alpha, linear.dtype.numpy()), "alpha")
        product = emitter.one("Mul", [product, alpha], "alpha")
    bias = bias_of(linear, constants) if linear.bias is not None and linear.bias.node is None else None
    if bias is None:
        return product
    added = bias if linear.beta == 1.0 else bias * np.asarray(linear.beta, bias.dtype)
    return emitter.one("Add", [product, emitter.constant(added.reshape(-1, *(1,) * behind), "bias")], "bias")


def addend(emitter: Emitter, y: ir.Value) -> ir.Value:
    """What a Gemm adds that is not one constant per output."""
    linear = emitter.linear
    if linear.addend is None:
        return y
    added = linear.addend
    if linear.beta != 1.0:
        beta = emitter.constant(np.asarray(linear.beta, linear.dtype.numpy()), "addend/beta")
        added = emitter.one("Mul", [added, beta], "addend")
    return emitter.one("Add", [y, added], "addend")


def bias_of(linear: Linear, constants: Constants) -> Array | None:
    """The bias as (N,), unless an operator stands between it and the product."""
    if linear.bias is None or linear.bias.via is not None:
        return None
    return np.ascontiguousarray(np.broadcast_to(constants.read(linear.bias.value).reshape(-1), linear.shape[1]))
