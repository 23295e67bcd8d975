"""How a decomposition is written in operators: the nodes that stand in for one dense linear.

In every form the activation is first brought to features-first layout (K, M), because gathering rows copies whole
rows while gathering columns copies single elements; there
    scatter   Gather the rows of each block, multiply, put the results back in their places;
    split     the same for blocks that lie one after another: Split and Concat, no index work.
Results go back by one Gather with the inverse permutation, measured to be faster than ScatterND into zeros; where
outputs are dormant by ScatterND into the zero channel, which holds the bias and costs nothing.
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

__all__ = ["lower", "problem"]

Array = npt.NDArray[Any]
SCATTER_ND = 11  # operator set that brought ScatterND
MINIMUM = 7  # operator set that brought today's broadcasting


def problem(linear: Linear) -> str | None:
    """Why a linear cannot be lowered at all, whatever its blocks; None when it can."""
    if linear.opset < MINIMUM:
        return f"operator set {linear.opset} is older than {MINIMUM}; convert the model to a newer one"
    return None


def lower(emitter: Emitter, constants: Constants, decomposition: Decomposition, lowering: Lowering) -> ir.Value:
    """Emit the nodes of one linear and return the value that replaces its output.

    The blocks compute every product of two non-zero entries that the dense operator computes, and no others.
    """
    linear = emitter.linear
    if _absorbs(linear):
        decomposition = absorb_dormant(decomposition)
    if linear.layout.kind == "conv":
        return _convolution(emitter, constants, decomposition, lowering)
    frame = _enter(emitter)
    bias = _bias(linear, constants)
    pieces = _pieces(emitter, frame.features, decomposition, lowering, axis=0)
    weights = _Weights(emitter, constants)
    results = [
        _product(emitter, index, weights.block(index, block), piece, None if bias is None else bias[block.outputs])
        for index, (block, piece) in enumerate(zip(decomposition.blocks, pieces, strict=True))
    ]
    joined = _join(emitter, results, axis=0)
    whole = _place(emitter, joined, frame.features, decomposition, bias)
    return _addend(emitter, _leave(emitter, frame, whole))


def _absorbs(linear: Linear) -> bool:
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
        others = emitter.one("Slice", [shape, *bounds], "leave")
    else:
        others = emitter.one("Slice", [shape], "leave", starts=starts, ends=ends)
    others.type = shape.type
    replaced = emitter.integers([lead if lead is not None else tail or 0], "leave/extent")
    joined = emitter.one("Concat", [replaced, others] if lead is not None else [others, replaced], "leave", axis=0)
    joined.type = shape.type
    return joined


# Blocks.


def _pieces(
    emitter: Emitter, features: ir.Value, decomposition: Decomposition, lowering: Lowering, axis: int
) -> list[ir.Value]:
    """What each block reads."""
    blocks = decomposition.blocks
    if lowering == "split" and len(blocks) > 1:
        sizes = [block.inputs.size for block in blocks]
        if emitter.opset >= 13:
            inputs, attributes = [features, emitter.integers(sizes, "split/sizes")], {"axis": axis}
        else:
            inputs, attributes = [features], {"axis": axis, "split": sizes}
        return emitter.node("Split", inputs, "split", attributes, outputs=len(blocks))
    K = decomposition.shape[0]
    return [
        features
        if block.inputs.size == K
        else emitter.one(
            "Gather", [features, emitter.integers(block.inputs, f"block.{i}/inputs")], f"block.{i}", axis=axis
        )
        for i, block in enumerate(blocks)
    ]


def _product(emitter: Emitter, index: int, weight: ir.Value, piece: ir.Value, bias: Array | None) -> ir.Value:
    linear, role = emitter.linear, f"block.{index}"
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
    """The bias as (N,), when it is folded into the product."""
    if linear.bias is None or linear.bias.via is not None:
        return None
    return np.ascontiguousarray(np.broadcast_to(constants.read(linear.bias.value).reshape(-1), linear.shape[1]))


# Convolutions of one pixel: features are on axis 1, whole planes are copied, and each block is a convolution itself.


def _convolution(emitter: Emitter, constants: Constants, decomposition: Decomposition, lowering: Lowering) -> ir.Value:
    linear = emitter.linear
    weight = constants.read(linear.weight)
    bias = _bias(linear, constants)
    attributes = dict(linear.node.attributes)
    pieces = _pieces(emitter, linear.activation, decomposition, lowering, axis=1)
    results = []
    for index, (block, piece) in enumerate(zip(decomposition.blocks, pieces, strict=True)):
        role = f"block.{index}"
        inputs = [piece, emitter.constant(weight[np.ix_(block.outputs, block.inputs)], f"{role}/weight")]
        if bias is not None:
            inputs.append(emitter.constant(bias[block.outputs], f"{role}/bias"))
        results.append(emitter.node("Conv", inputs, role, attributes)[0])
    order = np.concatenate([block.outputs for block in decomposition.blocks])
    return _inverse(emitter, _join(emitter, results, axis=1), order, axis=1)


# Weights of blocks, stored (outputs, inputs) as the products read them.


class _Weights:
    """Cuts block weights out of a linear's weight; a weight behind DequantizeLinear stays quantised."""

    def __init__(self, emitter: Emitter, constants: Constants) -> None:
        self._emitter = emitter
        linear = emitter.linear
        node = linear.weight.producer()
        self._quantised = _Quantised.of(node, linear, constants) if node is not None else None
        self._canonical = None if self._quantised else linear.canonical(constants)

    def block(self, index: int, block: Block) -> ir.Value:
        role = f"block.{index}"
        if self._quantised is not None:
            return self._quantised.block(self._emitter, role, block)
        assert self._canonical is not None
        return self._emitter.constant(self._canonical.T[np.ix_(block.outputs, block.inputs)], f"{role}/weight")


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

    def block(self, emitter: Emitter, role: str, block: Block) -> ir.Value:
        inputs = [emitter.constant(self.values.T[np.ix_(block.outputs, block.inputs)], f"{role}/weight")]
        for name, array in (("scale", self.scale), ("zero_point", self.zero)):
            if array is not None:
                part = array if self.axis is None else array[block.outputs if self.axis else block.inputs]
                inputs.append(emitter.constant(part, f"{role}/{name}"))
        # Canonical axis 1 (outputs) is axis 0 of the stored block.
        attributes = self.attributes | ({} if self.axis is None else {"axis": 1 - self.axis})
        return emitter.node("DequantizeLinear", inputs, role, attributes)[0]
