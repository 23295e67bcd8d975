"""How much may be computed from constants: a hundred bytes can name gigabytes, and work for hours.

 Range(0, 4e8, 1) ── Reshape ── MatMul          three numbers in the file, 1.6 GB of weights
 GridSample(64 x 64 pixels, 1000 x 1000 places)  a loop in Python for each place

The size of a result follows from the operands, which are there; what an operator takes is that size, or the
multiply-adds, over what numpy does in a second, or what a loop in Python does where the evaluator has no better.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["FoldingBudget", "Work", "budget_of", "work_of"]

Array = npt.NDArray[Any]
Operands = Sequence[Array | None]

LEAST = 128 << 20  # bytes that any chain of operators over constants may fill
SHARE = 4  # bytes of a constant for each byte that it is made of
SECONDS = 10.0  # that one constant may take, as estimated
ELEMENTS_PER_SECOND = 1e8  # of numpy
MACS_PER_SECOND = 1e9
LOOPED_PER_SECOND = 2e5  # elements, by an operator that is a loop in Python
SLOW_PER_SECOND: dict[str, float] = {"GridSample": 1e4, "Resize": 2e4, "Upsample": 2e4, "RoiAlign": 1e4, "Conv": 2e4}


@dataclass(frozen=True, slots=True)
class Work:
    """What an operator takes: bytes of its result and seconds, both estimated from its operands."""

    bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FoldingBudget:
    """What one constant may take at most.

    >>> FoldingBudget(bytes=100, seconds=1.0).excess(Work(bytes=4_000_000, seconds=0.1))
    'it would fill 4.0 MB, more than 4 times what it is made of'
    """

    bytes: int
    seconds: float = SECONDS

    def excess(self, work: Work, spent: float = 0.0) -> str | None:
        """What of that is too much, None where nothing is; spent: seconds of the chain before."""
        if work.bytes > self.bytes:
            return f"it would fill {work.bytes / 1e6:,.1f} MB, more than {SHARE} times what it is made of"
        if work.seconds + spent > self.seconds:
            return f"it would take {work.seconds + spent:,.0f} s to compute, more than {self.seconds:.0f} s"
        return None


def budget_of(stored: int) -> FoldingBudget:
    """What a constant may take that is made of so many bytes of weights."""
    return FoldingBudget(max(SHARE * stored, LEAST))


def work_of(op: str, inputs: Operands, attributes: Mapping[str, Any], *, pointwise: bool = False) -> Work:
    """What a standard operator takes on these operands; pointwise: whether it computes element by element.

    An estimate: where the operands do not tell, the result is as large as all of them.

    >>> work_of("Expand", [np.ones((1, 1), np.float32), np.array([20_000, 20_000])], {}).bytes
    1600000000
    """
    there = [array for array in inputs if array is not None]
    if not there:
        return Work(0, 0.0)
    item = max(1, there[0].dtype.itemsize)
    try:
        if pointwise:
            return _by_numpy(_broadcast(inputs, attributes), item)
        if op in PRODUCTS:
            size, macs = PRODUCTS[op](inputs, attributes)
            return Work(size * item, macs / MACS_PER_SECOND)
        size = SIZES.get(op, _all)(inputs, attributes)
        if op in SIZES and op not in SLOW_PER_SECOND:
            return _by_numpy(size, item)
        return Work(size * item, _all(inputs, attributes) / SLOW_PER_SECOND.get(op, LOOPED_PER_SECOND))
    except (ValueError, TypeError, IndexError, KeyError, OverflowError):  # the operator itself will say what is wrong
        return Work(0, 0.0)


def _by_numpy(size: int, item: int) -> Work:
    return Work(size * item, size / ELEMENTS_PER_SECOND)


def _shape(array: Array | None) -> tuple[int, ...]:
    return () if array is None else array.shape


def _size(array: Array | None) -> int:
    return math.prod(_shape(array))


def _ints(array: Array | None) -> list[int]:
    """What an operand holds, exactly: sizes overflow in machine integers."""
    return [int(value) for value in np.asarray(array).reshape(-1)]


def _same(inputs: Operands, _: Mapping[str, Any]) -> int:
    return 0 if inputs[0] is None else inputs[0].size


def _named(inputs: Operands, _: Mapping[str, Any]) -> int:
    return math.prod(_ints(inputs[0]))


def _all(inputs: Operands, _: Mapping[str, Any]) -> int:
    return sum(array.size for array in inputs if array is not None)


def _joint(shapes: Sequence[Sequence[int]]) -> int:
    """Elements of shapes that are broadcast, without numpy's bound on them."""
    rank = max(map(len, shapes))
    padded = [[1] * (rank - len(shape)) + list(shape) for shape in shapes]
    return math.prod(max(sizes) if min(sizes) else 0 for sizes in zip(*padded, strict=True))


def _broadcast(inputs: Operands, _: Mapping[str, Any]) -> int:
    return _joint([array.shape for array in inputs if array is not None])


def _expanded(inputs: Operands, _: Mapping[str, Any]) -> int:
    return _joint([_shape(inputs[0]), _ints(inputs[1])])


def _tiled(inputs: Operands, _: Mapping[str, Any]) -> int:
    return _size(inputs[0]) * math.prod(_ints(inputs[1]))


def _range(inputs: Operands, _: Mapping[str, Any]) -> int:
    start, limit, delta = (float(np.asarray(array).reshape(-1)[0]) for array in inputs[:3])
    return max(0, math.ceil((limit - start) / delta)) if delta else 0


def _one_hot(inputs: Operands, _: Mapping[str, Any]) -> int:
    return _size(inputs[0]) * _ints(inputs[1])[0]


def _padded(inputs: Operands, attributes: Mapping[str, Any]) -> int:
    shape = _shape(inputs[0])
    pads = _ints(inputs[1]) if len(inputs) > 1 else [int(pad) for pad in attributes["pads"]]
    if len(pads) != 2 * len(shape):  # of some axes: as large as if it were of all
        return math.prod(size + sum(map(abs, pads)) for size in shape)
    return math.prod(
        size + before + after for size, before, after in zip(shape, pads, pads[len(shape) :], strict=False)
    )


def _gathered(inputs: Operands, attributes: Mapping[str, Any]) -> int:
    along = _shape(inputs[0])[int(attributes.get("axis", 0))]
    return _size(inputs[0]) // max(1, along) * _size(inputs[1])


def _gathered_nd(inputs: Operands, attributes: Mapping[str, Any]) -> int:
    shape, (*places, depth) = _shape(inputs[0]), _shape(inputs[1])
    return math.prod(places) * math.prod(shape[int(attributes.get("batch_dims", 0)) + depth :])


def _resized(inputs: Operands, attributes: Mapping[str, Any]) -> int:
    """By sizes, the fourth operand, of all axes or some; else by scales, the third, or before it was the second."""
    shape = _shape(inputs[0])
    if len(inputs) > 3 and inputs[3] is not None:
        cut = {int(axis) % len(shape) for axis in attributes.get("axes", range(len(shape)))}
        return math.prod(_ints(inputs[3])) * math.prod(size for axis, size in enumerate(shape) if axis not in cut)
    scales = np.asarray(inputs[min(2, len(inputs) - 1)] if len(inputs) > 1 else attributes["scales"])
    return math.ceil(math.prod(shape) * math.prod(map(float, scales.reshape(-1))))


def _cropped(inputs: Operands, attributes: Mapping[str, Any]) -> int:
    return _resized([inputs[0], None, None, inputs[1]], attributes)


def _grid(inputs: Operands, _: Mapping[str, Any]) -> int:
    count, _channels, *extents = _ints(inputs[1])
    return count * math.prod(extents) * len(extents)


def _matmul(inputs: Operands, _: Mapping[str, Any]) -> tuple[int, int]:
    a, b = _shape(inputs[0]), _shape(inputs[1])
    rows, columns = a[-2] if len(a) > 1 else 1, b[-1] if len(b) > 1 else 1
    size = _joint([a[:-2], b[:-2]]) * rows * columns
    return size, size * a[-1]


def _gemm(inputs: Operands, attributes: Mapping[str, Any]) -> tuple[int, int]:
    a, b = _shape(inputs[0]), _shape(inputs[1])
    rows, inner = (a[1], a[0]) if attributes.get("transA") else (a[0], a[1])
    size = rows * (b[0] if attributes.get("transB") else b[1])
    return size, size * inner


def _einsum(inputs: Operands, attributes: Mapping[str, Any]) -> tuple[int, int]:
    terms, _, result = str(attributes["equation"]).replace(" ", "").partition("->")
    extents: dict[str, int] = {}
    for term, array in zip(terms.split(","), inputs, strict=True):
        extents |= dict(zip(reversed(term.replace(".", "")), reversed(_shape(array)), strict=False))
    macs = math.prod(extents.values())
    return math.prod(extents.get(label, 1) for label in result) if result else macs, 10 * macs  # no blocking there


SIZES: dict[str, Callable[[Operands, Mapping[str, Any]], int]] = {
    **dict.fromkeys(("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "Split", "Cast"), _same),
    **dict.fromkeys(("Identity", "Shape", "Size", "EyeLike", "CumSum", "Softmax", "LogSoftmax", "Trilu"), _same),
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL2"), _same),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear", "LayerNormalization", "ArgMax", "ArgMin"), _same),
    **dict.fromkeys(("ConstantOfShape", "HannWindow", "HammingWindow", "BlackmanWindow"), _named),
    **dict.fromkeys(("Resize", "Upsample"), _resized),
    "AffineGrid": _grid,
    "CenterCropPad": _cropped,
    "Expand": _expanded,
    "Tile": _tiled,
    "Range": _range,
    "OneHot": _one_hot,
    "Pad": _padded,
    "Concat": _all,
    "Gather": _gathered,
    "GatherND": _gathered_nd,
}
PRODUCTS: dict[str, Callable[[Operands, Mapping[str, Any]], tuple[int, int]]] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
}
