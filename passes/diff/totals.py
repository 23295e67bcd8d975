"""What is in a model: nodes by operator, parameters, bytes, and multiply-adds by its symbolic sizes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ...ir.findings.difference import Totals
from ...ir.graph.operators import PRODUCTS, RECURRENT
from ...ir.graph.shapes import infer_shapes, shape_of
from ...ir.io.tensors import graphs, tensor_slots
from ...ir.onnx_ir import onnx_ir as ir
from .quantised import parameters
from .value_numbering import operator

__all__ = ["census"]

INVENTED = re.compile(r"unk__\d+$")  # what ONNX's inference calls an extent that it does not know
Monomial = tuple[str, ...]
Dims = Sequence[int | str]


def census(model: ir.Model) -> Totals:
    """Count everything, functions and branches once each; shapes are inferred on a copy.

    Multiply-adds are those of MatMul, Gemm, Conv, ConvTranspose, RNN, GRU and LSTM, their fused and quantised forms:
    entries of the output times what is summed up for each of them. An extent that nothing tells is '?'.

    >>> import onnx
    >>> x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    >>> w = onnx.helper.make_tensor("w", 1, [2, 2], [1, 0, 0, 1])
    >>> node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    >>> census(ir.from_proto(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y], [w]))))
    Totals(nodes=(('MatMul', 1),), parameters=4, nbytes=16, macs=(('n', 4),), uncounted=0)
    """
    seen = model.clone()
    infer_shapes(seen)
    nodes = [node for graph in graphs(seen) for node in graph]
    kinds = Counter(operator(node) for node in nodes)
    macs: Counter[Monomial] = Counter()
    uncounted = 0
    for node in nodes:
        rule = RULES.get(node.op_type)
        if rule is None:
            continue
        try:
            entries = rule(node)
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


def _dims(value: ir.Value | None) -> list[int | str]:
    tensor = value.const_value if value is not None else None
    shape = None if value is None else tensor.shape if tensor is not None else shape_of(value) or value.shape
    if shape is None:
        raise _UnknownError
    dims: list[int | str] = []
    for dim in shape:
        if not isinstance(dim, int) and not dim.value:
            raise _UnknownError
        dims.append(dim if isinstance(dim, int) else "?" if INVENTED.match(str(dim.value)) else str(dim.value))
    return dims


def _product(node: ir.Node) -> Dims:
    try:
        inner, dims = _dims(node.inputs[0]), _dims(node.outputs[0])
    except _UnknownError:
        return ["?", *_constant_dims(node.inputs[1])]  # as much for every row, however many there are
    transposed = node.attributes.get("transA")
    return [*dims, inner[-2 if transposed is not None and transposed.value else -1]]


def _quantised_product(node: ir.Node) -> Dims:
    third = node.op_type in ("QLinearMatMul", "QGemm")
    try:
        return [*_dims(node.outputs[0]), _dims(node.inputs[0])[-1]]
    except _UnknownError:
        return ["?", *_constant_dims(node.inputs[3 if third else 1])]


def _packed_product(node: ir.Node) -> Dims:
    inner, outer = (int(node.attributes[name].as_int()) for name in ("K", "N"))
    try:
        return [*_dims(node.outputs[0]), inner]
    except _UnknownError:
        return ["?", outer, inner]


def _quantised_convolution(node: ir.Node) -> Dims:
    return [*_dims(node.outputs[0]), *_dims(node.inputs[3])[1:]]


def _constant_dims(value: ir.Value | None) -> list[int | str]:
    if value is None or value.const_value is None or len(value.const_value.shape) != 2:
        raise _UnknownError
    return _dims(value)


def _convolution(node: ir.Node) -> Dims:
    return [*_dims(node.outputs[0]), *_dims(node.inputs[1])[1:]]


def _transposed_convolution(node: ir.Node) -> Dims:
    return [*_dims(node.inputs[0]), *_dims(node.inputs[1])[1:]]


def _recurrence(node: ir.Node) -> Dims:
    """Steps, rows, directions, gates and hidden units times inputs and hidden units of each."""
    steps, rows = _dims(node.inputs[0])[:2]
    directions, gates, inputs = _dims(node.inputs[1])
    hidden = _dims(node.inputs[2])[2]
    if isinstance(inputs, str) or isinstance(hidden, str):
        raise _UnknownError
    return [steps, rows, directions, gates, inputs + hidden]


RULES: dict[str, Callable[[ir.Node], Dims]] = {
    **dict.fromkeys(PRODUCTS - {"Einsum"} | {"MatMulInteger"}, _product),
    **dict.fromkeys(("Conv", "FusedConv", "ConvInteger"), _convolution),
    **dict.fromkeys(("QLinearMatMul", "QGemm", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"), _quantised_product),
    "MatMulNBits": _packed_product,
    "QLinearConv": _quantised_convolution,
    "ConvTranspose": _transposed_convolution,
    **dict.fromkeys(RECURRENT, _recurrence),
}
