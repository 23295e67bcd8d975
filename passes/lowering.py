"""How a decomposition is written in operators: the nodes that stand in for one dense linear.

split    for blocks that lie one after another: Split along the features, the operator itself once for each block with
         its part of the weight, Concat. No index work, no change of layout.
scatter  for all others: the activation is brought to features-first layout (K, M), because gathering rows copies whole
         rows while gathering columns copies single elements; then Gather the rows of each block, multiply, and put the
         results back in their places, by one Gather with the inverse permutation, measured to be faster than
         ScatterND into zeros, or where outputs are dormant by ScatterND into the zero channel, which holds the bias.

Convolutions of one pixel are lowered like `split` in both cases: their features lie on axis 1, so that whole planes
are copied anyway, and strides and pads stay with the operator.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..ir.constant import Constants
from ..ir.linear import Linear
from ..ir.onnx_ir import onnx_ir as ir
from ..ir.plan import Block, Decomposition, Lowering
from .emit import Emitter

__all__ = ["absorb_dormant", "absorbs", "folds_bias", "lower", "problem"]

Array = npt.NDArray[Any]
SCATTER_ND = 11  # operator set that brought ScatterND
MINIMUM = 7  # operator set that brought today's broadcasting


def problem(linear: Linear) -> str | None:
    """Why a linear cannot be lowered at all, whatever its blocks; None when it can."""
    if linear.opset < MINIMUM:
        return f"operator set {linear.opset} is older than {MINIMUM}; convert the model to a newer one"
    return None


def folds_bias(linear: Linear, lowering: Lowering) -> bool:
    """Whether the Add behind a product is computed by the blocks; otherwise it stays where it is."""
    if linear.bias is None or linear.bias.node is None or linear.bias.via is not None:
        return False
    return not _is_native(linear, lowering) or (linear.layout.kind == "rows" and linear.layout.rank == 2)


def _is_native(linear: Linear, lowering: Lowering) -> bool:
    """Whether blocks are computed by the operator itself, on the layout that the activation has."""
    return lowering == "split" or linear.layout.kind == "conv"


def lower(emitter: Emitter, constants: Constants, decomposition: Decomposition, lowering: Lowering) -> ir.Value:
    """Emit the nodes of one linear and return the value that replaces its output.

    The blocks compute every product of two non-zero entries that the dense operator computes, and no others.
    """
    linear = emitter.linear
    if absorbs(linear):
        decomposition = absorb_dormant(decomposition)
    if _is_native(linear, lowering):
        return _native(emitter, constants, decomposition, lowering)
    frame = _enter(emitter)
    bias = _bias(linear, constants)
    weights = _Weights(linear, constants, outputs_first=True)
    results = []
    for index, block in enumerate(decomposition.blocks):
        role = f"block.{index}"
        piece = _gather(emitter, frame.features, block, role, axis=0)
        weight = weights.block(emitter, role, block)
        results.append(_product(emitter, role, weight, piece, None if bias is None else bias[block.outputs]))
    joined = _join(emitter, results, axis=0)
    whole = _place(emitter, joined, frame.features, decomposition, bias)
    return _addend(emitter, _leave(emitter, frame, whole))


def absorbs(linear: Linear) -> bool:
    """Whether dormant outputs must be computed, by zero columns: where something is done to them besides a bias."""
    return linear.fused or linear.layout.kind == "conv" or linear.opset < SCATTER_ND


def absorb_dormant(decomposition: Decomposition) -> Decomposition:
    """The same with dormant outputs owned by the smallest block, whose weight has zeros there.

    >>> absorb_dormant(Decomposition((1, 3), (Block([0], [1]),))).blocks[0].outputs.tolist()
    [0, 1, 2]
    """
    if not decomposition.dormant_outputs.size:
        return decomposition
    blocks = list(decomposition.blocks)
    smallest = min(range(len(blocks)), key=lambda index: blocks[index].inputs.size)
    outputs = np.sort(np.concatenate([blocks[smallest].outputs, decomposition.dormant_outputs]))
    blocks[smallest] = Block(blocks[smallest].inputs, outputs)
    return Decomposition(decomposition.shape, tuple(blocks))


# Features first, and back.


@dataclass(frozen=True, slots=True)
class _Frame:
    """The activation as (K, M), and the shape that the result takes on its way back, None for two dimensions."""

    features: ir.Value
    shape: ir.Value | None


def _enter(emitter: Emitter) -> _Frame:
    x, layout, (K, N) = emitter.linear.activation, emitter.linear.layout, emitter.linear.shape
    if layout.kind == "rows":
        if layout.rank == 2:
            return _Frame(_transpose(emitter, x, (1, 0), "enter"), None)
        shape = _shape(emitter, x, _extents(x, layout.rank), lead=None, tail=N)
        flat = _reshape(emitter, x, emitter.integers([-1, K], "enter/shape"), "enter")
        return _Frame(_transpose(emitter, flat, (1, 0), "enter"), shape)
    first = _transpose(emitter, x, layout.enter, "enter")
    if layout.rank == 2:
        return _Frame(first, None)
    extents = _extents(x, layout.rank)
    if extents is not None and layout.enter is not None:
        extents = [extents[axis] for axis in layout.enter]
    shape = _shape(emitter, first, extents, lead=N, tail=None)
    return _Frame(_reshape(emitter, first, emitter.integers([K, -1], "enter/shape"), "enter"), shape)


def _leave(emitter: Emitter, frame: _Frame, whole: ir.Value) -> ir.Value:
    layout = emitter.linear.layout
    if layout.kind == "rows":
        rows = _transpose(emitter, whole, (1, 0), "leave")
        return rows if frame.shape is None else _reshape(emitter, rows, frame.shape, "leave")
    if frame.shape is not None:
        whole = _reshape(emitter, whole, frame.shape, "leave")
    return _transpose(emitter, whole, layout.exit, "leave")


def _transpose(emitter: Emitter, value: ir.Value, perm: tuple[int, ...] | None, role: str) -> ir.Value:
    return value if perm is None else emitter.one("Transpose", [value], role, perm=list(perm))


def _reshape(emitter: Emitter, value: ir.Value, shape: ir.Value, role: str) -> ir.Value:
    # A zero in the shape is an empty axis here, never "copy the input's"; older sets cannot say so.
    attributes = {"allowzero": 1} if emitter.opset >= 14 and shape.const_value is None else {}
    return emitter.node("Reshape", [value, shape], role, attributes)[0]


def _extents(value: ir.Value, rank: int | None) -> list[int | None] | None:
    """Extent of each axis, None where it is decided at run time; None when not even the rank is known."""
    if rank is None or value.shape is None:
        return None
    return [extent if isinstance(extent, int) else None for extent in value.shape]


def _shape(
    emitter: Emitter, value: ir.Value, extents: list[int | None] | None, lead: int | None, tail: int | None
) -> ir.Value:
    """The shape of `value` with its first extent replaced by `lead`, or its last one by `tail`."""
    if extents is not None:
        others = extents[1:] if lead is not None else extents[:-1]
        if others.count(None) <= 1 and 0 not in others:
            known = [-1 if extent is None else extent for extent in others]
            return emitter.integers([lead, *known] if lead is not None else [*known, tail or 0], "leave/shape")
    shape = emitter.one("Shape", [value], "leave")
    starts, ends = ([1], [1 << 31]) if lead is not None else ([0], [-1])
    if emitter.opset >= 10:
        bounds = [emitter.integers(starts, "leave/starts"), emitter.integers(ends, "leave/ends")]
        rest = emitter.one("Slice", [shape, *bounds], "leave")
    else:
        rest = emitter.one("Slice", [shape], "leave", starts=starts, ends=ends)
    rest.type = shape.type
    replaced = emitter.integers([lead if lead is not None else tail or 0], "leave/extent")
    joined = emitter.one("Concat", [replaced, rest] if lead is not None else [rest, replaced], "leave", axis=0)
    joined.type = shape.type
    return joined


# Blocks, features first.


def _gather(emitter: Emitter, features: ir.Value, block: Block, role: str, axis: int) -> ir.Value:
    if block.inputs.size == emitter.linear.shape[0]:
        return features
    return emitter.one("Gather", [features, emitter.integers(block.inputs, f"{role}/inputs")], role, axis=axis)


def _product(emitter: Emitter, role: str, weight: ir.Value, piece: ir.Value, bias: Array | None) -> ir.Value:
    linear = emitter.linear
    attributes: dict[str, Any] = {}
    inputs: list[ir.Value | None] = [weight, piece]
    if linear.alpha != 1.0:
        attributes["alpha"] = linear.alpha
    if bias is not None:
        inputs.append(emitter.constant(bias[:, None], f"{role}/bias"))
        if linear.beta != 1.0:
            attributes["beta"] = linear.beta
    elif emitter.opset < 11:  # C was not optional yet
        inputs.append(emitter.constant(np.zeros((1, 1), linear.dtype.numpy()), f"{role}/zero"))
    if linear.fused:
        fused = {key: value for key, value in linear.node.attributes.items() if key.startswith("activation")}
        return emitter.node("FusedGemm", inputs, role, attributes | fused, domain=linear.node.domain)[0]
    return emitter.node("Gemm", inputs, role, attributes)[0]


def _join(emitter: Emitter, results: list[ir.Value], axis: int) -> ir.Value:
    return results[0] if len(results) == 1 else emitter.one("Concat", results, "join", axis=axis)


def _place(
    emitter: Emitter, joined: ir.Value, features: ir.Value, decomposition: Decomposition, bias: Array | None
) -> ir.Value:
    """Put the rows of the joined results where they belong; dormant rows hold the bias."""
    order = np.concatenate([block.outputs for block in decomposition.blocks])
    N = decomposition.shape[1]
    if order.size == N:
        return _inverse(emitter, joined, order, axis=0)
    linear = emitter.linear
    channel = np.zeros(N, linear.dtype.numpy()) if bias is None else (bias * np.asarray(linear.beta, bias.dtype))
    extent = emitter.one("Shape", [features], "zero")
    rows = emitter.one("Gather", [extent, emitter.integers([1], "zero/axis")], "zero", axis=0)
    shape = emitter.one("Concat", [emitter.integers([N], "zero/outputs"), rows], "zero", axis=0)
    rows.type = shape.type = extent.type
    zero = emitter.one("Expand", [emitter.constant(channel[:, None], "zero/channel"), shape], "zero")
    return emitter.one("ScatterND", [zero, emitter.constant(order[:, None], "scatter/outputs"), joined], "scatter")


def _inverse(emitter: Emitter, joined: ir.Value, order: Array, axis: int) -> ir.Value:
    if (order == np.arange(order.size)).all():
        return joined
    return emitter.one("Gather", [joined, emitter.integers(np.argsort(order), "scatter/order")], "scatter", axis=axis)


def _addend(emitter: Emitter, y: ir.Value) -> ir.Value:
    """What a Gemm adds that is not one constant per output."""
    linear = emitter.linear
    if linear.addend is None:
        return y
    addend = linear.addend
    if linear.beta != 1.0:
        beta = emitter.constant(np.asarray(linear.beta, linear.dtype.numpy()), "addend/beta")
        addend = emitter.one("Mul", [addend, beta], "addend")
    return emitter.one("Add", [y, addend], "addend")


def _bias(linear: Linear, constants: Constants) -> Array | None:
    """The bias as (N,), unless an operator stands between it and the product."""
    if linear.bias is None or linear.bias.via is not None:
        return None
    return np.ascontiguousarray(np.broadcast_to(constants.read(linear.bias.value).reshape(-1), linear.shape[1]))


# Blocks by the operator itself, on the layout that the activation has.


def _native(emitter: Emitter, constants: Constants, decomposition: Decomposition, lowering: Lowering) -> ir.Value:
    linear, blocks = emitter.linear, decomposition.blocks
    axis, out_axis = _feature_axes(linear)
    if lowering == "split" and len(blocks) > 1:
        pieces = _split(emitter, [block.inputs.size for block in blocks], axis)
    else:
        pieces = [_gather(emitter, linear.activation, b, f"block.{i}", axis) for i, b in enumerate(blocks)]
    weights = _Weights(linear, constants, outputs_first=linear.transposed)
    bias = (
        _bias(linear, constants) if linear.bias and (linear.bias.node is None or folds_bias(linear, lowering)) else None
    )
    results = []
    for index, (block, piece) in enumerate(zip(blocks, pieces, strict=True)):
        role = f"block.{index}"
        part = None if bias is None else emitter.constant(_shaped(linear, bias[block.outputs]), f"{role}/bias")
        results.append(_repeat(emitter, role, piece, weights.block(emitter, role, block), part))
    order = np.concatenate([block.outputs for block in blocks])
    return _addend(emitter, _inverse(emitter, _join(emitter, results, out_axis), order, out_axis))


def _feature_axes(linear: Linear) -> tuple[int, int]:
    """The axes of x and of y that features lie on."""
    layout = linear.layout
    if layout.kind == "conv":
        return 1, 1
    if layout.kind == "rows":
        last = -1 if layout.rank is None else layout.rank - 1
        return last, last
    return (layout.enter[0] if layout.enter else 0), (layout.exit.index(0) if layout.exit else 0)


def _split(emitter: Emitter, sizes: list[int], axis: int) -> list[ir.Value]:
    x = emitter.linear.activation
    if emitter.opset >= 13:
        return emitter.node("Split", [x, emitter.integers(sizes, "split/sizes")], "split", {"axis": axis}, len(sizes))
    return emitter.node("Split", [x], "split", {"axis": axis, "split": sizes}, len(sizes))


def _repeat(emitter: Emitter, role: str, piece: ir.Value, weight: ir.Value, bias: ir.Value | None) -> ir.Value:
    """The operator once more, with one block's part of each operand."""
    linear = emitter.linear
    node = linear.node
    if bias is not None and linear.bias and linear.bias.node is not None:  # MatMul and Add become one Gemm
        return emitter.node("Gemm", [piece, weight, bias], role, _gemm_attributes(linear))[0]
    # Only the factors: a Gemm may add its own activation, as a residual.
    inputs: list[ir.Value | None] = [weight if v is linear.weight else piece for v in node.inputs[:2]]
    inputs += [None] * (len(node.inputs) - 2)
    if linear.bias and linear.bias.node is None:
        inputs[2] = bias
    elif node.op_type == "Gemm" and emitter.opset < 11:  # C was not optional yet
        inputs = [*inputs[:2], emitter.constant(np.zeros((1, 1), linear.dtype.numpy()), f"{role}/zero")]
    while inputs and inputs[-1] is None:
        inputs.pop()
    return emitter.node(node.op_type, inputs, role, dict(node.attributes), domain=node.domain)[0]


def _gemm_attributes(linear: Linear) -> dict[str, Any]:
    attributes: dict[str, Any] = {} if linear.alpha == 1.0 else {"alpha": linear.alpha}
    return attributes | ({"transB": 1} if linear.transposed else {})


def _shaped(linear: Linear, bias: Array) -> Array:
    """A bias as the operator reads it: along the axis of y that features lie on."""
    column = linear.layout.kind == "axes" and _feature_axes(linear)[1] == 0
    return bias[:, None] if column else bias


# Weights of blocks.


class _Weights:
    """Cuts block weights out of a linear's weight; a weight behind DequantizeLinear stays quantised.

    outputs_first: whether blocks are stored (outputs, inputs), as features-first products read them.
    """

    def __init__(self, linear: Linear, constants: Constants, *, outputs_first: bool) -> None:
        self._outputs_first = outputs_first
        node = linear.weight.producer()
        self._quantised = _Quantised.of(node, linear, constants) if node is not None else None
        self._canonical = None if self._quantised else linear.canonical(constants)
        self._windows = (1,) * (linear.layout.rank - 2) if linear.layout.kind == "conv" and linear.layout.rank else ()

    def block(self, emitter: Emitter, role: str, block: Block) -> ir.Value:
        """One block's weight, as a constant or behind its own DequantizeLinear."""
        if self._quantised is not None:
            return self._quantised.block(emitter, role, block, self._outputs_first)
        assert self._canonical is not None
        part = _cut(self._canonical, block, self._outputs_first)
        return emitter.constant(part.reshape(part.shape + self._windows), f"{role}/weight")


def _cut(canonical: Array, block: Block, outputs_first: bool) -> Array:
    """The part of a canonical matrix (K, N) that a block owns."""
    if outputs_first:
        return np.ascontiguousarray(canonical.T[np.ix_(block.outputs, block.inputs)])
    return np.ascontiguousarray(canonical[np.ix_(block.inputs, block.outputs)])


@dataclass(frozen=True, slots=True, eq=False)
class _Quantised:
    """The operands of the DequantizeLinear that makes a weight; axis: of the scales, in canonical (K, N), or None."""

    values: Array
    scale: Array
    zero: Array | None
    axis: int | None
    attributes: dict[str, Any]

    @staticmethod
    def of(node: ir.Node, linear: Linear, constants: Constants) -> _Quantised | None:
        if node.op_type != "DequantizeLinear" or node.attributes.get("block_size") is not None:
            return None
        values, scale, *rest = (None if v is None else constants.read(v) for v in node.inputs)
        if values is None or scale is None or values.ndim != 2 or values.dtype not in (np.int8, np.uint8):
            return None
        axis = node.attributes.get("axis")
        stored_axis = (axis.as_int() if axis else 1) % 2
        return _Quantised(
            values.T if linear.transposed else values,
            scale,
            rest[0] if rest else None,
            None if scale.size == 1 else stored_axis ^ linear.transposed,
            {k: v for k, v in node.attributes.items() if k != "axis"},
        )

    def block(self, emitter: Emitter, role: str, block: Block, outputs_first: bool) -> ir.Value:
        """A DequantizeLinear of one block's part of the operands."""
        inputs = [emitter.constant(_cut(self.values, block, outputs_first), f"{role}/quantised")]
        for name, array in (("scale", self.scale), ("zero_point", self.zero)):
            if array is not None:
                part = array if self.axis is None else array[block.outputs if self.axis else block.inputs]
                inputs.append(emitter.constant(part, f"{role}/{name}"))
        attributes = self.attributes | ({} if self.axis is None else {"axis": self.axis ^ outputs_first})
        return emitter.node("DequantizeLinear", inputs, role, attributes)[0]
