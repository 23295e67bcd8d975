"""Predicted seconds of branches as they are, and of what they come to."""

from __future__ import annotations

import math
from collections.abc import Callable

from ...ir.graph.constants import Constants
from ...ir.graph.linear import only_use
from ...ir.graph.operators import ARITHMETIC, FUSED_ACTIVATIONS, MOVING, PRODUCTS, RECURRENT, RESHAPING
from ...ir.onnx_ir import onnx_ir as ir
from ..lowering.prices import FLOAT_BYTES, Prices
from ..lowering.recurrent.cost import Run, seconds
from ..lowering.seconds import products_seconds, transpose_seconds
from .merging import Merged
from .packing.recipe import Fixed, Made, Ref, in_order

__all__ = ["merged_seconds", "separate_seconds"]

Shape = tuple[int, ...]
ShapeOf = Callable[[ir.Value], Shape]
MATRICES = 3  # dimensions of a stack of them
COPYING = MOVING - {"Transpose"}


def separate_seconds(found: Merged, shape_of: ShapeOf, constants: Constants, prices: Prices) -> float:
    """Predicted seconds of all nodes that go; shape_of: the extents of a value at the size that is predicted for."""
    packed = {node for pack in found.packs for node in pack}
    alike = sum(len(pack) * _node_seconds(pack[0], shape_of, constants, prices) for pack in found.packs)
    rest = (_node_seconds(node, shape_of, constants, prices) for node in found.replaced if node not in packed)
    return alike + sum(rest)


def merged_seconds(found: Merged, shape_of: ShapeOf, constants: Constants, prices: Prices) -> float:
    """Predicted seconds of the nodes that take their place."""
    made = (one for one in in_order(found.results.values()) if isinstance(one, Made))
    return sum(_made_seconds(one, shape_of, constants, prices) for one in made)


def _node_seconds(node: ir.Node, shape_of: ShapeOf, constants: Constants, prices: Prices) -> float:
    op, output = str(node.op_type), shape_of(node.outputs[0])
    if op in PRODUCTS:
        left, right = (value for value in node.inputs[:2] if value is not None)
        flipped = bool(node.attributes["transB"].value) if "transB" in node.attributes else False
        weight = constants.describe(right)[0] if right in constants else None
        if weight is None:
            shape = constants.describe(left)[0] if left in constants else shape_of(left)
            return _loose(shape[-1], output, 1, prices)
        K, N = weight[-2:][::-1] if flipped else weight[-2:] if len(weight) > 1 else (weight[0], 1)
        return _products(K, N, 1, math.prod(output) // max(N, 1), prices)
    if op in RECURRENT and node.inputs[0] is not None:
        return _cells(op, shape_of(node.inputs[0]), constants.describe(_recurrence(node.inputs[2]))[0], 1, prices)
    if op == "Conv" and (kernel := node.inputs[1]) is not None and kernel in constants:
        groups = node.attributes["group"].as_int() if "group" in node.attributes else 1
        return _convolution(constants.describe(kernel)[0], groups, math.prod(output), output[0], prices)
    return _simple(op, math.prod(output), prices) - (prices.node_s if _is_inside(node) else 0.0)


def _is_inside(node: ir.Node) -> bool:
    """Whether an activation is computed inside of the convolution before it."""
    value = node.inputs[0] if node.op_type in FUSED_ACTIVATIONS else None
    maker = value.producer() if value is not None and only_use(value) is not None else None
    return maker is not None and maker.op_type == "Conv"


def _made_seconds(made: Made, shape_of: ShapeOf, constants: Constants, prices: Prices) -> float:
    elements = math.prod(shape_of(made.like)) * made.lanes
    if made.op == "Conv" and (kernel := _constant_shape(made.inputs[1], constants)) is not None:
        group = made.attributes.get("group", 1)
        groups = int(group.as_int() if isinstance(group, ir.Attr) else group)
        images = shape_of(made.like)[0] * made.lanes * shape_of(made.like)[1] // kernel[0]
        return _convolution(kernel, groups, elements, images, prices)
    if made.op in RECURRENT and isinstance(first := made.inputs[0], Made):
        recurrence = constants.describe(_recurrence(made.inputs[2]))[0]
        return _cells(made.op, shape_of(first.like), recurrence, made.lanes, prices)
    if made.op != "MatMul":
        first = made.inputs[0]
        inside = made.op in FUSED_ACTIVATIONS and isinstance(first, Made) and first.op == "Conv"
        spared = prices.node_s if inside else 0.0
        return _simple(made.op, elements, prices) + _runs(made, elements) * prices.slice_row_s - spared
    left, weight = made.inputs
    if isinstance(left, Fixed) and len(left.shape) == 2 and isinstance(weight, Made):  # a sum over all branches
        return _products(left.shape[1], left.shape[0], 1, elements // left.shape[0], prices.left())
    if isinstance(left, Fixed) and len(left.shape) == MATRICES:  # transposes, of which the rows are columns
        groups, N, K = left.shape
        columns = elements // (groups * N)
        return _products(K, N, groups, columns, prices.left()) + groups * prices.batched_block_s
    shape = _constant_shape(weight, constants)
    if shape is None:
        own = _constant_shape(left, constants)
        inner = own[-1] if own is not None else _inner(left, shape_of)
        return _loose(inner, shape_of(made.like), made.lanes, prices)
    K, N = shape[-2:]
    stacks = math.prod(shape[:-2])
    if len(shape) == 2:
        return _products(K, N, 1, elements // N, prices)
    if len(shape) == MATRICES:
        return (
            _products(K, N, stacks, elements // max(stacks * N, 1), prices.stacked()) + stacks * prices.batched_block_s
        )
    own_rows = shape_of(made.like)[-2]
    # A stack of weights multiplies each matrix of activations apart.
    groups = max(stacks, elements // max(N * own_rows, 1))
    return _products(K, N, groups, own_rows, prices.stacked()) + groups * prices.batched_block_s


def _runs(made: Made, elements: int) -> int:
    """How many runs of elements an operator computes one by one, as it does where constants are stretched over them."""
    stretched = [one for one in made.inputs if isinstance(one, Fixed) and len(one.shape) > 2 and 1 in one.shape[1:]]
    if made.op not in ARITHMETIC or not stretched:
        return 0
    shape = stretched[0].shape
    return math.prod(shape) if shape[-1] == 1 else elements // shape[-1]


def _products(K: int, N: int, groups: int, rows: int, prices: Prices) -> float:
    shapes = [(K, N)] * groups
    return products_seconds(shapes, max(rows, 1), FLOAT_BYTES, prices) - (groups - 1) * prices.gemm_launch_s


def _convolution(kernel: Shape, groups: int, elements: int, images: int, prices: Prices) -> float:
    """A convolution with weights (results, channels of a group, places ...) of which so many elements come."""
    inner, each = math.prod(kernel[1:]), max(kernel[0] // groups, 1)
    alone = _products(inner, each, groups, elements // max(kernel[0], 1), prices)
    return alone + (groups * images * prices.conv_group_s if groups > 1 else 0.0)


def _cells(op: str, read: Shape, recurrence: Shape, lanes: int, prices: Prices) -> float:
    """Recurrent operators over sequences (positions, batch, features) of so many branches in one batch."""
    long, batch, features = read
    run = Run(long, batch * lanes)
    return recurrence[0] * seconds(op, features, recurrence[2], run, FLOAT_BYTES, prices.cells)


def _recurrence(value: Ref) -> ir.Value:
    assert isinstance(value, ir.Value)
    return value


def _loose(inner: int, output: Shape, lanes: int, prices: Prices) -> float:
    """A product of two computed factors."""
    return prices.gemm_launch_s + math.prod(output) * lanes * inner * prices.mac_s * prices.unpacked_factor


def _simple(op: str, elements: int, prices: Prices) -> float:
    if op == "Transpose":
        return transpose_seconds(elements, FLOAT_BYTES, prices)
    if op in RESHAPING:
        return prices.node_s
    return prices.node_s + elements * (prices.copy_s if op in COPYING else prices.elementwise_s)


def _constant_shape(ref: Ref, constants: Constants) -> Shape | None:
    if isinstance(ref, Fixed):
        return ref.shape
    if isinstance(ref, Made):
        inner = ref.inputs[0] if ref.op == "Transpose" else None
        shape = _constant_shape(inner, constants) if isinstance(inner, ir.Value) else None
        return None if shape is None else shape[::-1]
    return constants.describe(ref)[0] if ref is not None and ref in constants else None


def _inner(ref: Ref, shape_of: ShapeOf) -> int:
    value = ref.like if isinstance(ref, Made) else ref
    assert isinstance(value, ir.Value)
    return (shape_of(value) or (1,))[-1]
