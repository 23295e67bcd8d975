"""What is in a model: nodes by operator, parameters, bytes, and multiply-adds by its symbolic sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...ir.findings.difference import Totals
from ...ir.graph.operators import PRODUCTS, RECURRENT
from ...ir.graph.shapes import inferred_shapes
from ...ir.io.tensors import graphs, tensor_slots
from ...ir.onnx_ir import onnx_ir as ir
from .quantised import parameters
from .value_numbering import operator

__all__ = ["census"]

INVENTED = re.compile(r"unk__\d+$")  # what ONNX's inference calls an extent that it does not know
Monomial = tuple[str, ...]
Dims = Sequence[int | str]


def census(model: ir.Model) -> Totals:
    """Count everything, functions and branches once each.

    Multiply-adds are those of MatMul, Gemm, Conv, ConvTranspose, RNN, GRU and LSTM, their fused and quantised forms:
    entries of the output times what is summed up for each of them. An extent that nothing tells is '?'.

    >>> import onnx
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    >>> w = onnx.helper.make_tensor("w", 1, [2, 2], [1, 0, 0, 1])
    >>> node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    >>> census(ir.from_proto(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y], [w]))))
    Totals(nodes=(('MatMul', 1),), parameters=4, nbytes=16, macs=(('n', 4),), uncounted=0)
    """
    nodes = [node for graph in graphs(model) for node in graph]
    counted = [node for node in nodes if node.op_type in RULES]
    shapes = InferredShapes(dict(inferred_shapes(model)) if counted else {})
    kinds = Counter(operator(node) for node in nodes)
    macs: Counter[Monomial] = Counter()
    uncounted = 0
    for node in counted:
        try:
            entries = RULES[node.op_type](node, shapes)
        except (_UnknownError, IndexError, AttributeError, KeyError):
            uncounted += 1
            continue
        number = 1
        for dim in entries:
            number *= dim if isinstance(dim, int) else 1
        if number:
            symbols = [dim for dim in entries if isinstance(dim, str)]
            unknown = ["?"] if "?" in symbols else []
            macs[*sorted(dim for dim in symbols if dim != "?"), *unknown] += number
    slots = list(tensor_slots(model))
    return Totals(
        nodes=tuple(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        parameters=sum(parameters(_value(holder, key), tensor) for holder, key, tensor in slots),
        nbytes=sum(tensor.nbytes for *_, tensor in slots),
        macs=tuple(("·".join(symbols) or "1", number) for symbols, number in macs.most_common()),
        uncounted=uncounted,
    )


def _value(holder: Any, key: Any) -> ir.Value | None:
    """The value that holds a constant tensor, None for an attribute of an operator."""
    if key is None:
        return holder  # type: ignore[no-any-return]
    return holder.outputs[0] if holder.op_type == "Constant" else None


class _UnknownError(Exception):
    """A shape that is needed is not known."""


@dataclass(frozen=True, slots=True)
class InferredShapes:
    """What was inferred of the values that nodes make, None where inference knows nothing."""

    inferred: Mapping[ir.Value, ir.Shape | None]

    def of(self, value: ir.Value | None) -> list[int | str]:
        """The extents of a value, '?' where only inference named one; raises _UnknownError where they are not known."""
        tensor = value.const_value if value is not None else None
        shape = (
            None if value is None else tensor.shape if tensor is not None else self.inferred.get(value) or value.shape
        )
        if shape is None:
            raise _UnknownError
        dims: list[int | str] = []
        for dim in shape:
            if not isinstance(dim, int) and not dim.value:
                raise _UnknownError
            dims.append(dim if isinstance(dim, int) else "?" if INVENTED.match(str(dim.value)) else str(dim.value))
        return dims


def _product(node: ir.Node, shapes: InferredShapes) -> Dims:
    try:
        inner, dims = shapes.of(node.inputs[0]), shapes.of(node.outputs[0])
    except _UnknownError:
        return ["?", *_constant_dims(node.inputs[1], shapes)]  # as much for every row, however many there are
    transposed = node.attributes.get("transA")
    return [*dims, inner[-2 if transposed is not None and transposed.value else -1]]


def _quantised_product(node: ir.Node, shapes: InferredShapes) -> Dims:
    third = node.op_type in ("QLinearMatMul", "QGemm")
    try:
        return [*shapes.of(node.outputs[0]), shapes.of(node.inputs[0])[-1]]
    except _UnknownError:
        return ["?", *_constant_dims(node.inputs[3 if third else 1], shapes)]


def _packed_product(node: ir.Node, shapes: InferredShapes) -> Dims:
    inner, outer = (int(node.attributes[name].as_int()) for name in ("K", "N"))
    try:
        return [*shapes.of(node.outputs[0]), inner]
    except _UnknownError:
        return ["?", outer, inner]


def _quantised_convolution(node: ir.Node, shapes: InferredShapes) -> Dims:
    return [*shapes.of(node.outputs[0]), *shapes.of(node.inputs[3])[1:]]


def _constant_dims(value: ir.Value | None, shapes: InferredShapes) -> list[int | str]:
    if value is None or value.const_value is None or len(value.const_value.shape) != 2:
        raise _UnknownError
    return shapes.of(value)


def _convolution(node: ir.Node, shapes: InferredShapes) -> Dims:
    return [*shapes.of(node.outputs[0]), *shapes.of(node.inputs[1])[1:]]


def _transposed_convolution(node: ir.Node, shapes: InferredShapes) -> Dims:
    return [*shapes.of(node.inputs[0]), *shapes.of(node.inputs[1])[1:]]


def _recurrence(node: ir.Node, shapes: InferredShapes) -> Dims:
    """Steps, rows, directions, gates and hidden units times inputs and hidden units of each."""
    steps, rows = shapes.of(node.inputs[0])[:2]
    directions, gates, inputs = shapes.of(node.inputs[1])
    hidden = shapes.of(node.inputs[2])[2]
    if isinstance(inputs, str) or isinstance(hidden, str):
        raise _UnknownError
    return [steps, rows, directions, gates, inputs + hidden]


RULES: dict[str, Callable[[ir.Node, InferredShapes], Dims]] = {
    **dict.fromkeys(PRODUCTS - {"Einsum"} | {"MatMulInteger"}, _product),
    **dict.fromkeys(("Conv", "FusedConv", "ConvInteger"), _convolution),
    **dict.fromkeys(("QLinearMatMul", "QGemm", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"), _quantised_product),
    "MatMulNBits": _packed_product,
    "QLinearConv": _quantised_convolution,
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys(RECURRENT, _recurrence),
}
