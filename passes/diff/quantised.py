"""What numbers a quantised constant stands for: by the operators that read it, else by a fit to what it comes from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ...ir.findings.difference import Drift
from ...ir.io.tensors import read
from ...ir.onnx_ir import onnx_ir as ir
from .value_numbering import constant_of
from .weight_change import drift

__all__ = ["FEWEST", "Match", "codes_of", "dequantised", "is_quantised", "match", "parameters"]

Array = npt.NDArray[Any]

FEWEST = 16  # entries for each scale that is fitted: with fewer, anything fits
RELATED = 0.5  # ‖w − s(q − z)‖ / ‖w‖ up to which q comes from w: 2 bits are off by 0.3 to 0.4, others by 1 and more
LIKELY = 0.8  # correlation of samples from which on two constants are compared in full


class Match(NamedTuple):
    """One array as another one that was quantised: how far it is off, transposed or not, its scale known or fitted."""

    drift: Drift
    transposed: bool
    fitted: bool


def is_quantised(tensor: Any) -> bool:
    """Whether entries are of a type that weights are quantised to: integers of few bits, or floats of 8 and fewer."""
    kind: ir.DataType = tensor.dtype
    return kind not in (ir.DataType.BOOL, ir.DataType.STRING) and (
        kind.bitwidth <= 8 or kind in (ir.DataType.INT16, ir.DataType.UINT16, ir.DataType.INT32)
    )


def dequantised(value: ir.Value) -> Array | None:
    """The numbers that a reader makes of a quantised constant, in single precision; None where none tells its scale.

    Known are DequantizeLinear (by tensor, channel and block), QLinearMatMul, QLinearConv, MatMulInteger, ConvInteger,
    and ONNX Runtime's QGemm, DynamicQuantizeMatMul, MatMulIntegerToFloat and MatMulNBits.
    """
    for node, slot in value.uses():
        rule = RULES.get((node.op_type, slot))
        found = rule(node, value) if rule is not None else None
        if found is not None:
            return found
    return None


def parameters(value: ir.Value | None, tensor: Any) -> int:
    """How many weights a constant holds: floats, and codes of weights; no scales and zero points, indices and flags.

    value: that has the tensor, None for a tensor in an attribute of an operator.
    """
    kind: ir.DataType = tensor.dtype
    if kind in (ir.DataType.BOOL, ir.DataType.STRING) or (value is not None and codes_of(value) is not None):
        return 0
    if kind.is_floating_point():
        return int(tensor.size)
    readers = (
        [(node, slot) for node, slot in value.uses() if (node.op_type, slot) in RULES] if value is not None else []
    )
    packed = next((8 // _integer(node, "bits", 4) for node, _ in readers if node.op_type == "MatMulNBits"), 1)
    return int(tensor.size) * packed if kind.bitwidth <= 8 or readers else 0


def codes_of(value: ir.Value) -> ir.Value | None:
    """The codes that a constant is the scale or the zero point of, None where a reader takes it for something else."""
    found: ir.Value | None = None
    for node, slot in value.uses():
        codes = FACTORS.get(node.op_type, {}).get(slot)
        if codes is None:
            return None
        found = found or (node.outputs[0] if codes < 0 else _operand(node, codes))
    return found


def match(one: Array, other: Array, known: bool) -> Match | None:
    """How an array is another one that was quantised, None where it is not.

    one: float numbers. other: the numbers that a quantised constant stands for, or, if not `known`, its entries, to
    which scales and zero points are fitted: one for all, or one for each line of either axis.
    """
    found = []
    for array, transposed in ((other, False), (other.T, True)):
        if array.shape != one.shape or (transposed and array.ndim < 2) or not _is_likely(one, array, known):
            continue
        best = array if known else _fitted(one, array)
        if best is None:
            continue
        gap = drift(one.astype(np.float32, copy=False), best.astype(np.float32, copy=False))
        if gap.relative is not None and gap.relative <= RELATED:
            found.append(Match(gap, transposed, not known))
    return min(found, key=lambda one: one.drift.relative or 0.0, default=None)


def _is_likely(one: Array, other: Array, known: bool) -> bool:
    """Whether samples of two arrays go together, a cheap test; scales by channel hide it, so theirs are not asked."""
    if not known or one.size < FEWEST:
        return True
    step = max(1, one.size // 4096)
    a, b = (x.reshape(-1)[::step].astype(np.float32) for x in (one, other))
    with np.errstate(all="ignore"):
        return not bool(np.corrcoef(a, b)[0, 1] < LIKELY)


def _fitted(one: Array, codes: Array) -> Array | None:
    """s q + t nearest to an array, with one s and t for all entries, or for each line of the first or the last axis."""
    found: list[tuple[float, Array]] = []
    target, entries = one.astype(np.float32), codes.astype(np.float32)
    for axis in (None, 0, -1) if one.ndim > 1 else (None,):
        others = tuple(index for index in range(one.ndim) if axis is None or index != axis % one.ndim)
        if one.size < FEWEST * (1 if axis is None else one.shape[axis]):
            continue
        means = [x.mean(axis=others, keepdims=True) for x in (target, entries)]
        centred = entries - means[1]
        spread = (centred * centred).sum(axis=others, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            scale = ((target - means[0]) * centred).sum(axis=others, keepdims=True) / spread
        scale = np.where(spread > 0, scale, 0)
        best = scale * centred + means[0]
        found.append((float(np.linalg.norm(target - best)), best))
        if found[0][0] <= found[-1][0] and axis is not None:
            found.pop()
    return min(found, key=lambda one: one[0])[1] if found else None


def _held(value: ir.Value | None) -> Array | None:
    """What a constant operand holds."""
    tensor = constant_of(value) if value is not None else None
    return None if tensor is None else np.asarray(read(tensor))


def _operand(node: ir.Node, index: int) -> ir.Value | None:
    return node.inputs[index] if index < len(node.inputs) else None


def _integer(node: ir.Node, name: str, default: int) -> int:
    attribute = node.attributes.get(name)
    return default if attribute is None or attribute.is_ref() else int(attribute.as_int())


def _scaled(codes: Array, scale: Array | None, zero: Array | None, axis: int, block: int = 0) -> Array | None:
    """s (q - z), with s and z for all entries, for each index of an axis, or for each block of that many of these."""
    if scale is None or not -codes.ndim <= axis < max(1, codes.ndim):
        return None
    shaped: list[Any] = []
    for factor in (scale.astype(np.float32), np.float32(0) if zero is None else zero.astype(np.float32)):
        if factor.size == 1:
            shaped.append(factor.reshape(()))
        elif factor.ndim == 1 and codes.ndim and factor.size == codes.shape[axis]:
            shaped.append(factor.reshape([-1 if index == axis % codes.ndim else 1 for index in range(codes.ndim)]))
        elif block and factor.ndim == codes.ndim:
            repeated = factor.repeat(block, axis=axis)
            shaped.append(repeated.take(range(codes.shape[axis]), axis=axis, mode="clip"))
        elif factor.ndim == codes.ndim:
            shaped.append(factor)
        else:
            return None
    try:
        found: Array = (codes.astype(np.float32) - shaped[1]) * shaped[0]
    except ValueError:  # shapes that do not go together, which ONNX Runtime will refuse
        return None
    return found if found.shape == codes.shape else None


def _dequantize_linear(node: ir.Node, value: ir.Value) -> Array | None:
    codes, scale = _held(value), _held(_operand(node, 1))
    axis, block = _integer(node, "axis", 1), _integer(node, "block_size", 0)
    if codes is None or scale is None:
        return None
    return _scaled(codes, scale, _held(_operand(node, 2)), 0 if scale.size == 1 else axis, block)


def _at(scale: int, zero: int, axis: int) -> Callable[[ir.Node, ir.Value], Array | None]:
    """A rule of an operator that has the scale and the zero point of a weight as operands."""

    def rule(node: ir.Node, value: ir.Value) -> Array | None:
        codes = _held(value)
        along = -2 if axis == -1 and _integer(node, "transB", 0) else axis
        if codes is None:
            return None
        return _scaled(codes, _held(_operand(node, scale)), _held(_operand(node, zero)), along)

    return rule


def _bias(first: int, second: int) -> Callable[[ir.Node, ir.Value], Array | None]:
    """A rule of a bias in steps of the product of two scales."""

    def rule(node: ir.Node, value: ir.Value) -> Array | None:
        codes, factors = _held(value), [_held(_operand(node, index)) for index in (first, second)]
        if codes is None or factors[0] is None or factors[1] is None:
            return None
        return _scaled(codes, np.asarray(factors[0].reshape(-1) * factors[1].reshape(-1)), None, -1)

    return rule


def _integer_product(axis: int) -> Callable[[ir.Node, ir.Value], Array | None]:
    """A rule of an operator whose result is scaled by what multiplies it later: a constant, or one times another."""

    def rule(node: ir.Node, value: ir.Value) -> Array | None:
        codes = _held(value)
        scale = next(_scales_after(node), None)
        return None if codes is None else _scaled(codes, scale, _held(_operand(node, 3)), axis)

    return rule


def _scales_after(node: ir.Node) -> Iterator[Array]:
    """The constant that scales the weight of an integer product."""
    result: ir.Value = node.outputs[0]
    for _ in range(2):  # a Cast may stand between
        for reader, slot in result.uses():
            if reader.op_type == "Mul":
                other = reader.inputs[1 - slot]
                maker = other.producer() if other is not None else None
                parts = maker.inputs if maker is not None and maker.op_type == "Mul" else (other,)
                yield from (array for part in parts if (array := _held(part)) is not None)
        casts = [reader for reader, _ in result.uses() if reader.op_type == "Cast"]
        if not casts:
            return
        result = casts[0].outputs[0]


def _n_bits(node: ir.Node, value: ir.Value) -> Array | None:
    """The weight (K, N) of MatMulNBits: (N, blocks, bytes) of packed entries, the lowest bits first."""
    packed, scale = _held(value), _held(_operand(node, 2))
    bits, block = _integer(node, "bits", 4), _integer(node, "block_size", 0)
    K, N = _integer(node, "K", 0), _integer(node, "N", 0)
    if packed is None or scale is None or bits not in (2, 4, 8) or not block or not N or packed.size % N:
        return None
    codes = unpacked(packed.reshape(N, -1), bits)
    blocks = -(-K // block)
    if codes.shape[1] < blocks * block or scale.size != N * blocks:
        return None
    zero: Array = np.full((N, blocks), 1 << (bits - 1), np.float32)
    stored = _held(_operand(node, 3))
    if stored is not None and stored.dtype == np.uint8:
        zero = unpacked(stored.reshape(N, -1), bits)[:, :blocks].astype(np.float32)
    elif stored is not None:
        zero = stored.reshape(N, blocks).astype(np.float32)
    lifted = codes[:, : blocks * block].reshape(N, blocks, block) - zero[:, :, None]
    return (lifted * scale.reshape(N, blocks, 1).astype(np.float32)).reshape(N, -1)[:, :K].T


def unpacked(packed: Array, bits: int) -> Array:
    """Entries of few bits out of rows of bytes, the lowest first.

    >>> unpacked(np.uint8([[0x21, 0x43]]), 4).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    parts = packed[:, :, None] >> shifts & np.uint8((1 << bits) - 1)
    return parts.reshape(packed.shape[0], -1).astype(np.float32)


RULES: dict[tuple[str, int], Callable[[ir.Node, ir.Value], Array | None]] = {
    ("DequantizeLinear", 0): _dequantize_linear,
    ("QLinearMatMul", 3): _at(4, 5, -1),
    ("QLinearMatMul", 0): _at(1, 2, -2),
    ("QLinearConv", 3): _at(4, 5, 0),
    ("QLinearConv", 8): _bias(1, 4),
    ("QLinearAdd", 0): _at(1, 2, -1),
    ("QLinearAdd", 3): _at(4, 5, -1),
    ("QLinearMul", 0): _at(1, 2, -1),
    ("QLinearMul", 3): _at(4, 5, -1),
    ("QGemm", 3): _at(4, 5, -1),
    ("QGemm", 6): _bias(1, 4),
    ("DynamicQuantizeMatMul", 1): _at(2, 3, -1),
    ("MatMulIntegerToFloat", 1): _at(3, 5, -1),
    ("MatMulInteger", 1): _integer_product(-1),
    ("ConvInteger", 1): _integer_product(0),
    ("MatMulNBits", 1): _n_bits,
}

# Operands that are scales and zero points, and the operand that each belongs to; below 0 the result.
_ONE, _TWO = {1: 0, 2: 0}, {1: 0, 2: 0, 4: 3, 5: 3, 6: -1, 7: -1}
_INTEGER, _LAST = {2: 0, 3: 1}, {2: 1, 3: 1}
FACTORS: dict[str, dict[int, int]] = {
    "QuantizeLinear": _ONE,
    "DequantizeLinear": _ONE,
    "QLinearMatMul": _TWO,
    "QLinearConv": _TWO,
    "QLinearAdd": _TWO,
    "QLinearMul": _TWO,
    "QGemm": {1: 0, 2: 0, 4: 3, 5: 3, 7: -1, 8: -1},
    "MatMulInteger": _INTEGER,
    "ConvInteger": _INTEGER,
    "DynamicQuantizeMatMul": _LAST,
    "MatMulNBits": _LAST,
    "MatMulIntegerToFloat": {2: 0, 3: 1, 4: 0, 5: 1},
}
