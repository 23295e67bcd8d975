"""Whether the tensors of a model hold what they state: so many values of such a type."""

from __future__ import annotations

import functools
import math
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy.typing as npt
import onnx
from onnx import TensorProto as T

from ..onnx_ir import onnx_ir as ir
from ..wire.wire import HERE
from .written import Written

__all__ = ["TYPES", "plain_array", "tensors", "wrong_tensor"]

TYPES = frozenset(int(kind) for kind in ir.DataType)

# The field that holds the values of each type that is not raw, and values per element of that field.
FIELDS: dict[int, tuple[str, float]] = {
    T.FLOAT: ("float_data", 1),
    T.COMPLEX64: ("float_data", 0.5),
    T.DOUBLE: ("double_data", 1),
}
FIELDS |= {T.COMPLEX128: ("double_data", 0.5), T.INT64: ("int64_data", 1), T.STRING: ("string_data", 1)}
FIELDS |= {T.UINT32: ("uint64_data", 1), T.UINT64: ("uint64_data", 1)}
INTEGERS = (T.INT8, T.INT16, T.INT32, T.INT64)  # as which ONNX Runtime takes places
MOST = (1 << 63) - 1  # entries that can be counted
PACKED = {4: 2, 2: 4}  # values per byte by their bits


def wrong_tensor(there: Collection[Written]) -> str:
    """What is wrong with the first initializer or Constant that does not hold what it states; '' when all do.

    ONNX Runtime never reads the data of a tensor that nothing uses, so neither is it looked at here.
    """

    @functools.cache
    def used() -> frozenset[str]:
        read = (name for one in there for node in one.nodes for name in node.input[:])
        ends = (end for one in there for end in one.body.output)
        return frozenset((*read, *(end if isinstance(end, str) else end.name for end in ends)))

    def wrong(tensor: onnx.TensorProto, names: Iterable[str]) -> str:
        return _wrong_type(tensor) or ((said := _wrong_data(tensor)) and (said if used().intersection(names) else ""))

    for one in there:
        for sparse in getattr(one.body, "sparse_initializer", ()):
            if said := _wrong_sparse(sparse):
                return f"sparse initializer {sparse.values.name!r} {said}"
        for tensor in getattr(one.body, "initializer", ()):
            if said := wrong(tensor, [tensor.name]):
                return f"initializer {tensor.name!r} {said}"
        for node in one.telling:
            if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
                continue
            for attribute in node.attribute:
                if attribute.name == "sparse_value" and attribute.HasField("sparse_tensor"):
                    said = _wrong_sparse(attribute.sparse_tensor)
                elif attribute.name == "value" and attribute.HasField("t"):
                    said = wrong(attribute.t, node.output)
                else:
                    continue
                if said:
                    return f"the Constant {', '.join(node.output)!r} {said}"
    return ""


def tensors(there: Iterable[Written]) -> Iterator[onnx.TensorProto]:
    """Every dense tensor that the graphs and functions hold: initializers and attributes."""
    for one in there:
        yield from getattr(one.body, "initializer", ())
        for _, attribute in one.attributes:
            yield from [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors]


def plain_array(tensor: onnx.TensorProto) -> npt.NDArray[Any]:
    """What a tensor holds, which is all of it whatever part of a whole it says that it is: nobody puts parts together.

    Raises ValueError and TypeError where it holds other than it states.
    """
    if tensor.HasField("segment"):
        whole = T()
        whole.CopyFrom(tensor)
        whole.ClearField("segment")
        tensor = whole
    return onnx.numpy_helper.to_array(tensor)


def _wrong_type(tensor: onnx.TensorProto) -> str:
    if tensor.data_type == T.UNDEFINED:
        return "has no element type"
    if tensor.data_type not in TYPES:
        return f"has the element type {tensor.data_type}, which ONNX does not know"
    return ""


def _wrong_data(tensor: onnx.TensorProto) -> str:
    if any(size < 0 for size in tensor.dims):
        return f"has a negative size: {list(tensor.dims)}"
    kind = ir.DataType(tensor.data_type)
    count = math.prod(tensor.dims)
    stated = f"states {'x'.join(map(str, tensor.dims)) or '1'} {kind.name.lower()} values"
    place = {entry.key: entry.value for entry in tensor.external_data} if tensor.data_location == T.EXTERNAL else {}
    if kind == ir.DataType.STRING:
        if tensor.HasField("raw_data") or tensor.data_location == T.EXTERNAL:
            return f"{stated} and holds bytes where texts belong"
        held, needed, unit = len(tensor.string_data), count, "texts"
    elif place.get("location") == HERE or (not place and tensor.HasField("raw_data")):
        held = int(place["length"]) if place else len(tensor.raw_data)
        needed, unit = math.ceil(count * kind.bitwidth / 8), "bytes"
    elif tensor.data_location == T.EXTERNAL:
        return ""  # what its file holds is looked at where the file is
    else:
        field, each = FIELDS.get(tensor.data_type, ("int32_data", PACKED.get(kind.bitwidth, 1)))
        held, needed, unit = len(getattr(tensor, field)), math.ceil(count / each), f"values in {field}"
    if held == needed:
        return ""
    return f"{stated} and holds {'none' if not held else f'{held} {unit} of {needed}'}"


def _wrong_sparse(sparse: onnx.SparseTensorProto) -> str:
    """ONNX Runtime makes every sparse tensor dense as it reads a model, so all of it is looked at, used or not."""
    values, places, dims = sparse.values, sparse.indices, list(sparse.dims)
    if any(size < 0 for size in dims) or math.prod(dims) > MOST:
        return f"has a size that none can have: {dims}"
    if said := _wrong_type(values) or _wrong_data(values) or _wrong_type(places) or _wrong_data(places):
        return said
    shape, number = tuple(places.dims), math.prod(values.dims)
    if places.data_type not in INTEGERS or shape not in ((number,), (number, len(dims))):
        kind = ir.DataType(places.data_type).name.lower()
        return f"has {number} values at {'x'.join(map(str, shape)) or '1'} {kind} places in {len(dims)} dimensions"
    if T.EXTERNAL in (values.data_location, places.data_location):
        return ""  # what the file of the model holds is looked at where it is read
    found = plain_array(places)
    if (found < 0).any() or (found >= (math.prod(dims) if found.ndim == 1 else dims)).any():
        return f"has a value outside of its {'x'.join(map(str, dims))} entries"
    return ""
