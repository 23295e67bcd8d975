"""Hidden units of experts whose weights are packed integers: they go in whole blocks, with scales and zero points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.axes.axis_rule import Operand, RuleView
from ...ir.axes.shared_axis import Dim
from ...ir.graph.node import FLOATS
from ...ir.onnx_ir import onnx_ir as ir
from ..diff.quantised import unpacked
from .axis_classes import AxisClasses, Constraint
from .bounds.forward import Facts
from .bounds.products import weight_of
from .constraints import Grid, Pinned
from .contraction import Contraction
from .experts import MICROSOFT, rows_of, second_product, width_of

__all__ = ["PackedExperts", "packed_experts_of", "relate_packed_experts"]

UP_BIAS, DOWN_BIAS, GATE = 4, 7, 8  # operands
UNITS = 3  # the axis of units, which no weight has where several of them are in one byte
BITS = (2, 4, 8)
ROUNDED = 4  # level of accuracy of activations in 8 bits


@dataclass(frozen=True, slots=True, eq=False)
class PackedProduct:
    """Weights of one of the two products, (experts, results, inputs): its operands, bits, and inputs of one scale.

    block: inputs that have one scale, all of them where it is 0.
    """

    view: RuleView
    weight: int
    scale: int
    zero: int
    bits: int
    block: int
    shape: tuple[int, int, int]

    @property
    def each(self) -> int:
        """Numbers in a byte."""
        return 8 // self.bits

    def fits(self) -> bool:
        """Whether every operand has the shape that this is."""
        count, results, inputs = self.shape
        if inputs % self.each or (self.block and inputs % self.block):
            return False
        blocks = inputs // self.block if self.block else 0
        wanted: dict[int, tuple[int, ...]] = {self.weight: (count, results, inputs // self.each)}
        wanted[self.scale] = (count, results, blocks) if self.block else (count, results)
        if self.view.operand(self.zero) is not None:
            last = -(-(blocks or results) // self.each)  # bytes, the last of which may be filled up
            wanted[self.zero] = (count, results, last) if blocks else (count, last)
        for index, shape in wanted.items():
            value = weight_of(self.view, index)
            own, kind = self.view.constants.describe(value) if value is not None else ((), None)
            stored = kind in FLOATS if index == self.scale else kind == ir.DataType.UINT8
            if own != shape or not stored:
                return False
        return True

    def numbers(self) -> npt.NDArray[np.float32]:
        """The weights as they are multiplied."""
        count, results, _ = self.shape
        codes = unpacked(self._held(self.weight).reshape(count * results, -1), self.bits).reshape(self.shape)
        scale = self._held(self.scale).astype(np.float32).reshape(count, results, -1)
        zero: Any = np.float32(1 << (self.bits - 1))
        if self.view.operand(self.zero) is not None:
            held = self._held(self.zero)
            rows = unpacked(held.reshape(-1, held.shape[-1]), self.bits)
            zero = rows[:, : scale.shape[2] if self.block else results].reshape(count, results, -1)
        by_scale = codes.astype(np.float32).reshape(count, results, scale.shape[2], -1)
        zeros = zero if zero.ndim == 0 else zero[..., None]
        found: npt.NDArray[np.float32] = ((by_scale - zeros) * scale[..., None]).reshape(self.shape)
        return found

    def _held(self, index: int) -> npt.NDArray[Any]:
        value = self.view.operand(index)
        assert value is not None
        return self.view.constants.read(value)


@dataclass(frozen=True, slots=True, eq=False)
class PackedExperts:
    """An operator of experts, of which each has `hidden` units between two products; rows: of the first for each."""

    view: RuleView
    up: PackedProduct
    down: PackedProduct
    hidden: int
    rows: int

    def idle(self) -> npt.NDArray[np.bool_]:
        """Units that are zero whatever they are fed, in every expert."""
        count = self.up.shape[0]
        zero = np.ones(self.hidden, bool)
        zero &= ~self.up.numbers().reshape(count, self.hidden, -1).any(axis=(0, 2))
        bias = self.view.operand(UP_BIAS)
        if bias is not None:
            zero &= ~self.view.constants.read(bias).reshape(count, self.hidden, -1).any(axis=(0, 2))
        return zero

    def is_finite(self) -> bool:
        """Whether every weight is a number, so that a unit of which nothing is read makes no other than that."""
        floats = (self.view.operand(index) for index in (self.up.scale, UP_BIAS, self.down.scale))
        return all(np.isfinite(self.view.constants.read(value)).all() for value in floats if value is not None)


def packed_experts_of(view: RuleView) -> PackedExperts | None:
    """An operator of experts whose packed weights are known; None for any other, or where they lie in another way."""
    #     up     (experts, rows × hidden, width / numbers in a byte)    scales  (experts, rows × hidden, blocks or none)
    #     down   (experts, width, hidden / numbers in a byte)           scales  (experts, width, blocks or none)
    #
    # Other layouts, of other releases and processors, have the same shapes only where rows × hidden is the width.
    if view.node.op_type != "QMoE" or view.node.domain != MICROSOFT or view.operand(GATE) is not None:
        return None
    if view.attribute("quant_type", "int") != "int" or view.attribute("weights_prepacked", -1) not in (-1, 0):
        return None
    rows, bias = rows_of(view), view.operand(UP_BIAS)
    scales = [weight_of(view, index) for index in (3, 6)]
    if rows == 0 or None in scales or (bias is not None and bias not in view.constants):
        return None
    (count, results, *_), (_, width, *_) = (view.constants.describe(one)[0] for one in scales if one is not None)
    block, hidden = int(view.attribute("block_size", 0)), results // rows
    if results % rows or results == width or width_of(view, DOWN_BIAS) not in (None, width):
        return None
    bits = [
        int(view.attribute(f"fc{one}_expert_weight_bits", view.attribute("expert_weight_bits", 4))) for one in (1, 2)
    ]
    # ONNX Runtime then rounds what blocks of 8 bits multiply to integers: of fewer units the last bit of a sum is
    # another now and then, and a step of those with it.
    rounded = block and (8 in bits or view.attribute("accuracy_level", 0) == ROUNDED)
    if rounded or not set(bits) <= set(BITS):
        return None
    up = PackedProduct(view, 2, 3, 11, bits[0], block, (count, results, width))
    down = PackedProduct(view, 5, 6, 12, bits[1], block, (count, width, hidden))
    found = PackedExperts(view, up, down, hidden, rows)
    return found if up.fits() and down.fits() and found.is_finite() else None


def relate_packed_experts(
    classes: AxisClasses, facts: Facts, experts: PackedExperts
) -> tuple[list[Constraint], list[Contraction]]:
    """What holds of the axes of an operator of experts, and the product of its hidden units."""
    view, node, up, down = experts.view, experts.view.node, experts.up, experts.down
    unit: Dim = (Operand(node, down.weight), UNITS)
    classes.virtual[unit] = experts.hidden
    found: list[Constraint] = []

    def tie(whole: Dim, part: Dim, each: int) -> None:
        """Places of one axis are places of another, or so many of each of that."""
        if each == 1:
            classes.join([whole, part])
        elif classes.extent(whole) != each * classes.extent(part):  # a byte is filled up
            found.append(Pinned([whole], node))
        else:
            found.append(Grid(whole, [part, each]))

    rows = [(Operand(node, index), 1) for index in (up.weight, up.scale, UP_BIAS) if view.operand(index) is not None]
    about: list[Dim] = [*rows]
    for one in rows:
        tie(one, unit, experts.rows)
    if view.operand(up.zero) is not None:
        about.append((Operand(node, up.zero), 1))
        tie(rows[0], about[-1], 1 if up.block else up.each)
    about.append((Operand(node, down.weight), 2))
    tie(unit, about[-1], down.each)
    if down.block:
        about.append((Operand(node, down.scale), 2))
        tie(unit, about[-1], down.block)
        if view.operand(down.zero) is not None:
            blocks = about[-1]
            about.append((Operand(node, down.zero), 2))
            tie(blocks, about[-1], down.each)
    product = second_product(Operand(node, down.weight), down.numbers, experts.idle(), unit, facts)
    count, width, _ = down.shape
    classes.virtual[product.outer] = count * width
    told = {*about, unit}
    there = [facts.sizes.place(node, index) for index in range(len(node.inputs)) if view.operand(index) is not None]
    dims = [(place, axis) for place in (*there, *node.outputs) for axis in range(len(facts.sizes.of(place) or ()))]
    found.append(Pinned([dim for dim in (*dims, product.outer) if dim not in told and classes.extent(dim) > 1], node))
    return found, [product]
