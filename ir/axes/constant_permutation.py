"""Operators between a stored constant and its reader that keep every feature apart: a permuted constant behind them can
be had by permuting what is stored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ..errors import ModelError
from ..graph.constants import CONSTANT_ATTRIBUTES, Constants
from ..graph.operators import COPYING, is_standard
from ..onnx_ir import onnx_ir as ir

__all__ = ["operand_orders", "problem"]

T = TypeVar("T")
DEPTH = 32  # operators in a row; exports have one or two


def operand_orders(node: ir.Node, orders: Mapping[int, T], constants: Constants) -> dict[int, dict[int, T]] | None:
    """For each operand of a node over constants: the orders that its dimensions need for the result to have `orders`.

    Dimensions are counted from the first, 0. None where the node is no such operator.

    >>> node = ir.Node("", "Transpose", [ir.Value(name="w")], [ir.AttrInt64s("perm", [1, 0])])
    >>> operand_orders(node, {0: "columns"}, Constants(ir.Model(ir.Graph([], [], nodes=[]), ir_version=8)))
    {0: {1: 'columns'}}
    """
    if not is_standard(node):
        return None
    if node.op_type in COPYING:
        return {0: dict(orders)}
    if node.op_type == "Transpose":
        perm = node.attributes.get("perm")
        axes = perm.as_ints() if perm else range(len(constants.describe(node.outputs[0])[0]))[::-1]
        return {0: {axes[axis]: order for axis, order in orders.items()}}
    block = node.attributes.get("block_size")
    if node.op_type != "DequantizeLinear" or (block is not None and block.as_int()):
        return None
    found = {0: dict(orders)}
    given = node.attributes.get("axis")
    axis = given.as_int() if given else 1
    axis += len(constants.describe(node.outputs[0])[0]) if axis < 0 else 0
    for index, value in enumerate(node.inputs[1:], start=1):
        sizes = (1,) if value is None else constants.describe(value)[0]
        if any(extent != 1 for extent in sizes) and axis in orders:
            found[index] = {0: orders[axis]}
    return found


def problem(value: ir.Value, constants: Constants) -> str:
    """Why a permuted copy of a constant cannot be had; nothing where it can."""
    pending = [(value, frozenset(range(len(constants.describe(value)[0]))), 0)]
    while pending:
        value, axes, depth = pending.pop()
        node = value.producer()
        if node is None or node.op_type == "Constant":
            if constants.is_ambiguous(value):
                return f"{value.name!r} names a constant and another value, in or outside a branch"
            if node is not None and not any(name in node.attributes for name in CONSTANT_ATTRIBUTES):
                return f"the constant {value.name!r} is of an unusual kind"
            continue
        try:
            needed = operand_orders(node, dict.fromkeys(axes, True), constants)
        except ModelError as error:
            return str(error)
        if needed is None:
            return f"the constant {value.name!r} is computed by {node.op_type}"
        if depth == DEPTH:
            return f"the constant {value.name!r} is computed by more than {DEPTH} operators"
        for index, orders in needed.items():
            operand = node.inputs[index]
            if operand is not None:
                pending.append((operand, frozenset(orders), depth + 1))
    return ""
