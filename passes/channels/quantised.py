"""Products of integers: what they read of the channels that they sum over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.axis_rule import Operand, RuleView
from ...ir.axes.shared_axis import Dim
from ...ir.errors import ModelError
from ...ir.graph.operators import is_standard
from ...ir.onnx_ir import onnx_ir as ir
from ..diff.quantised import dequantised
from .axis_classes import Constraint
from .bounds.forward import Facts
from .bounds.products import weight_of
from .constraints import Grid
from .contraction import Contraction, held_along
from .sums import sum_over

__all__ = ["PackedBlocks", "integer_convolution", "packed_blocks", "quantised_sums"]


def quantised_sums(view: RuleView, facts: Facts) -> list[Constraint] | None:
    """What has to stay of the axes that a product of integers sums over, or that decide of one scale for all."""
    node = view.node
    if node.op_type == "DynamicQuantizeLinear":
        # The scale follows from the largest and the smallest, of which zero always is one: zeros change nothing.
        return [sum_over(facts, node, [(0, axis)]) for axis in range(view.rank(0))]
    right, zero, own_zero = (3, 5, 2) if node.op_type == "QLinearMatMul" else (1, 3, 2)
    x, weight = node.inputs[0], weight_of(view, right)
    if weight is None or x is None:
        return None
    shape, _ = view.constants.describe(weight)
    inner = (x, view.rank(0) - 1)
    zeros = held_along(facts, inner, shape[0]) == _zero_point(view, own_zero)
    if (scaled := _scaled_before(view, own_zero)) is not None:
        zeros = held_along(facts, (scaled, inner[1]), shape[0]) == 0

    def matrix() -> npt.NDArray[Any]:
        stored = view.constants.read(weight).astype(np.int32)
        point = view.operand(zero)
        return stored if point is None else stored - view.constants.read(point).astype(np.int32)

    held = np.where(zeros, 0.0, np.nan)
    return [_product(view, facts, inner, Operand(node, right), held, matrix)]


def integer_convolution(view: RuleView, facts: Facts) -> Contraction | None:
    """What a convolution of integers reads of its channels; None where its kernels are not constant.

    What is around the edge is zero, and so is a channel that holds its zero point.
    """
    node, linear = view.node, view.node.op_type == "QLinearConv"
    right, x = 3 if linear else 1, view.operand(0)
    weight, point = weight_of(view, right), view.operand(5 if linear else 3)
    if x is None or weight is None or (point is not None and point not in view.constants):
        return None
    shape, _ = view.constants.describe(weight)
    groups = int(view.attribute("group", 1))
    zeros = held_along(facts, (x, 1), shape[1] * groups) == _zero_point(view, 2)
    if (scaled := _scaled_before(view, 2)) is not None:
        zeros = held_along(facts, (scaled, 1), shape[1] * groups) == 0

    def matrix() -> npt.NDArray[Any]:
        stored = view.constants.read(weight).astype(np.int32)
        return stored if point is None else stored - view.constants.read(point).reshape(-1, *[1] * (stored.ndim - 1))

    held = np.where(zeros, 0.0, np.nan)
    found = _product(view, facts, (x, 1), Operand(node, right), held, matrix)
    return replace(found, outer=(Operand(node, right), 0), result_axis=len(shape) - 1, groups=groups, layout="oi")


def _product(view: RuleView, facts: Facts, inner: Dim, weight: Operand, held: Any, matrix: Any) -> Contraction:
    """A product of a weight that is stored as integers, whose results stay integers or are rounded: nothing folds."""
    outer = (weight, 0 if view.node.op_type == "MatMulNBits" else 1)
    return Contraction(
        node=view.node,
        inner=inner,
        outer=outer,
        result_axis=1,
        weight=weight,
        groups=1,
        constants=held,
        folds=False,
        tiny=0.0,
        scale=1.0,
        layout="io",
        facts=facts,
        matrix=matrix,
    )


def _zero_point(view: RuleView, index: int) -> float:
    """The integer that stands for zero, NaN where it is not known; zero where it is left out."""
    if view.operand(index) is None:
        return 0.0
    held = view.small(index)
    return float(held.item()) if held is not None and held.size == 1 else np.nan


def _scaled_before(view: RuleView, index: int) -> ir.Value | None:
    """What was quantised while the model runs, where this multiplies it, zero point included."""
    x, point = view.operand(0), view.operand(index)
    maker = x.producer() if x is not None else None
    if maker is None or maker.op_type != "DynamicQuantizeLinear" or not is_standard(maker):
        return None
    return maker.inputs[0] if x is maker.outputs[0] and point is maker.outputs[2] else None


@dataclass(frozen=True, slots=True, eq=False)
class PackedBlocks:
    """What holds of the channels that a MatMulNBits sums over: they go in whole blocks, with their scales.

    about: the axes of its operands that this is of, (operand, axis); tied: those that are cut alike.
    """

    about: frozenset[tuple[int, int]]
    tied: Sequence[Dim]
    constraints: Sequence[Constraint]
    product: Contraction


def packed_blocks(node: ir.Node, facts: Facts) -> PackedBlocks | None:
    """What holds of the channels of a MatMulNBits; None where they do not come in whole blocks of a known weight."""
    #     channels   0 … 31 | 32 … 63 | 64 … 95      K = blocks × 32
    #     stored     (N, blocks, bytes)              scales (N, blocks)
    #     zero points of 4 bits, two blocks a byte:  (N, blocks / 2), so that blocks go in pairs
    view = RuleView(node, facts.sizes.constants, facts.sizes)
    x, weight, point = node.inputs[0], weight_of(view, 1), weight_of(view, 3)
    width, length = int(view.attribute("K", 0)), int(view.attribute("block_size", 0))
    if x is None or weight is None or weight_of(view, 2) is None or not length or width % length:
        return None
    if (point is None) != (view.operand(3) is None) or len(list(weight.uses())) != 1:
        return None
    blocks: Dim = (Operand(node, 1), 1)
    inner: Dim = (x, view.rank(0) - 1)
    constraints: list[Constraint] = [Grid(inner, [blocks, length])]
    tied, about = [blocks, (Operand(node, 2), 1)], {(0, inner[1]), (1, 1), (2, 1)}
    if point is not None:
        shape, kind = view.constants.describe(point)
        each = 8 // int(view.attribute("bits", 4)) if kind == ir.DataType.UINT8 else 1
        if shape[1] * each != width // length:
            return None
        about.add((3, 1))
        if each > 1:
            constraints.append(Grid(blocks, [(Operand(node, 3), 1), each]))
        else:
            tied.append((Operand(node, 3), 1))

    def matrix() -> npt.NDArray[Any]:
        found = dequantised(weight)
        if found is None:
            raise ModelError("a packed weight cannot be read")
        return found

    product = _product(view, facts, inner, Operand(node, 1), held_along(facts, inner, width), matrix)
    folds = node not in facts.quantised and (view.operand(5) is None or weight_of(view, 5) is not None)
    return PackedBlocks(frozenset(about), tied, constraints, replace(product, folds=folds))
