"""Requests of the Open Inference Protocol, read: JSON, and the bytes of tensors that may follow it.

     Inference-Header-Content-Length: 170
    ┌──────────────────────────────────────────────┬───────────────┬──────────┐
    │ {"inputs": [{"name": "x", "shape": [2, 3],   │  24 bytes: x  │  y …     │
    │   "datatype": "FP32", "parameters":          │  lowest byte  │  in the  │
    │   {"binary_data_size": 24}}, …]}             │  first        │  order   │
    └──────────────────────────────────────────────┴───────────────┴──────────┘

Everything in it comes from a stranger: each value is held against the model's signature before an array is made of it.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ...ir.parts.share import AXES
from ..ort.tensor_spec import TensorSpec
from .datatypes import dtype_of, name_of
from .refusal import refused

__all__ = ["InferRequest", "WantedOutput", "read_request"]

Array = npt.NDArray[Any]

LARGEST = 2**31 - 1  # of one dimension
MOST = 2**40  # entries, with empty dimensions counted as one
TYPES: dict[str, set[type]] = {"b": {bool}, "i": {int}, "u": {int}}  # of JSON, by the kind of NumPy's
FLOATS: set[type] = {int, float}
SHOWN = 8  # names in a message
PREFIX = 4  # bytes of the length before each text


@dataclass(frozen=True, slots=True)
class WantedOutput:
    """An output that is asked for; binary: as bytes behind the JSON."""

    name: str
    binary: bool


@dataclass(frozen=True, slots=True, eq=False)
class InferRequest:
    """What is asked of a model. id: what the client calls it; feeds: arrays by input; wanted: outputs in order."""

    id: str | None
    feeds: dict[str, Array]
    wanted: tuple[WantedOutput, ...]


def read_request(
    body: bytes, json_bytes: int | None, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]
) -> InferRequest:
    """Read the body of a request for a model with these inputs and outputs.

    json_bytes: how much of the body is JSON where tensors follow it, None for all of it. Raises RefusalError, which
    names what is wrong, for whatever the model cannot be given.
    """
    if json_bytes is not None and not 0 <= json_bytes <= len(body):
        raise refused(f"the header's length is {json_bytes}, but the body has {len(body)} bytes")
    told = _object(_json(body[:json_bytes]), "the request")
    rest = memoryview(body)[len(body) if json_bytes is None else json_bytes :]
    feeds, left = _feeds(_objects(told, "inputs"), rest, {spec.name: spec for spec in inputs})
    if len(left):
        raise refused(f"{len(left)} bytes follow the tensors that the request names")
    missing = [spec.name for spec in inputs if spec.name not in feeds and not spec.optional]
    if missing:
        raise refused(f"no value for {_names(missing)}")
    name = told.get("id")
    if name is not None and not isinstance(name, str):
        raise refused("the id is no text")
    return InferRequest(name, feeds, _wanted(told, [spec.name for spec in outputs]))


def _json(text: bytes) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise refused("the JSON is nested too deep") from None
    except ValueError as error:
        raise refused(f"this is no JSON: {error}") from None


def _object(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refused(f"{what} is no JSON object")
    return value


def _objects(told: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    found = told.get(key, [])
    if not isinstance(found, list):
        raise refused(f"{key!r} is no list")
    return [_object(one, f"an entry of {key!r}") for one in found]


def _parameters(told: Mapping[str, Any]) -> dict[str, Any]:
    return _object(told.get("parameters", {}), "'parameters'")


def _wanted(told: Mapping[str, Any], names: Sequence[str]) -> tuple[WantedOutput, ...]:
    binary = _flag(_parameters(told), "binary_data_output")
    asked = _objects(told, "outputs")
    wanted: dict[str, WantedOutput] = {}
    for one in asked:
        name = _known(one, "output", names)
        if name in wanted:
            raise refused(f"the output {name!r} is asked for twice")
        parameters = _parameters(one)
        if "classification" in parameters:
            raise refused(f"the output {name!r} is asked for as a classification, which is not served")
        wanted[name] = WantedOutput(name, _flag(parameters, "binary_data", binary))
    return tuple(wanted.values()) or tuple(WantedOutput(name, binary) for name in names)


def _known(told: Mapping[str, Any], what: str, names: Sequence[str]) -> str:
    """The name of an input or output that there is."""
    name = told.get("name")
    if not isinstance(name, str) or name not in names:
        raise refused(f"there is no {what} {name!r}; there are {_names(names)}")
    return name


def _flag(parameters: Mapping[str, Any], key: str, default: bool = False) -> bool:
    value = parameters.get(key, default)
    if not isinstance(value, bool):
        raise refused(f"{key!r} is neither true nor false")
    return value


def _feeds(
    told: Sequence[dict[str, Any]], rest: memoryview, specs: Mapping[str, TensorSpec]
) -> tuple[dict[str, Array], memoryview]:
    feeds: dict[str, Array] = {}
    for one in told:
        name = _known(one, "input", list(specs))
        if name in feeds:
            raise refused(f"the input {name!r} is given twice")
        shape = _shape(one, specs[name])
        size = _parameters(one).get("binary_data_size")
        if size is None:
            feeds[name] = _from_json(one.get("data"), shape, specs[name])
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest):
            raise refused(f"input {name!r}: binary_data_size is {size!r}, but {len(rest)} bytes are left in the body")
        if "data" in one:
            raise refused(f"input {name!r} has both 'data' and bytes behind the JSON")
        feeds[name] = _from_bytes(rest[:size], shape, specs[name])
        rest = rest[size:]
    return feeds, rest


def _shape(told: Mapping[str, Any], spec: TensorSpec) -> tuple[int, ...]:
    """The shape that an input is to have, held against what the model takes."""
    shape, kind = told.get("shape"), told.get("datatype")
    if kind != name_of(spec.dtype):
        raise refused(f"input {spec.name!r} has the datatype {kind!r}; the model takes {name_of(spec.dtype)}")
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size <= LARGEST for size in shape):
        raise refused(f"input {spec.name!r}: its shape is no list of sizes from 0 to {LARGEST}")
    if len(shape) > AXES or math.prod(max(size, 1) for size in shape) > MOST:
        raise refused(f"input {spec.name!r}: no tensor has the shape {shape}")
    fits = len(shape) == len(spec.shape) and all(
        not isinstance(dim, int) or dim == size for dim, size in zip(spec.shape, shape, strict=True)
    )
    if not fits and spec.shape:  # ONNX Runtime shows a tensor of unknown rank as a scalar
        wanted = ["any" if dim is None else dim for dim in spec.shape]
        raise refused(f"input {spec.name!r} has the shape {shape}; the model takes {wanted}")
    return tuple(shape)


def _from_json(data: Any, shape: tuple[int, ...], spec: TensorSpec) -> Array:
    """The array of a list, flat or nested as its shape says."""
    flat = _flat(data, shape, spec)
    dtype = dtype_of(name_of(spec.dtype) or "")
    made = _texts(flat, spec) if dtype is None else _numbers(flat, dtype, spec)
    return made.reshape(shape)


def _flat(data: Any, shape: tuple[int, ...], spec: TensorSpec) -> list[Any]:
    """The entries in order, as many as the shape says."""
    if not isinstance(data, list):
        raise refused(f"input {spec.name!r}: its data are no list")
    rows: list[Any] = [data]
    nested = any(isinstance(one, list) for one in data[:1])
    for size in shape if nested else (math.prod(shape),):
        if not all(isinstance(row, list) and len(row) == size for row in rows):
            raise refused(f"input {spec.name!r}: its data have not the shape {list(shape)}")
        rows = list(itertools.chain.from_iterable(rows))
    return rows


def _texts(flat: list[Any], spec: TensorSpec) -> Array:
    made = np.empty(len(flat), object)
    for index, text in enumerate(flat):
        if not isinstance(text, str):
            raise refused(f"input {spec.name!r}: {_short(text)} is no text")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise refused(f"input {spec.name!r}: {_short(text)} cannot be written in UTF-8") from None
        made[index] = text
    return made


def _numbers(flat: list[Any], dtype: np.dtype[Any], spec: TensorSpec) -> Array:
    """Numbers of the type that a model takes, none of which becomes another one than its rounding.

    Types are looked at first: NumPy would make texts as wide as the longest one of all entries.
    """
    takes = TYPES.get(dtype.kind, FLOATS)
    if not {*map(type, flat)} <= takes:
        raise refused(f"input {spec.name!r}: its data are not all of {name_of(spec.dtype)}")
    try:
        if dtype.kind in "biu":
            return np.array(flat, dtype)
        given = np.array(flat, np.float64)
    except OverflowError:
        raise refused(f"input {spec.name!r}: a number is too large for {name_of(spec.dtype)}") from None
    with np.errstate(over="ignore"):
        made = given.astype(dtype)
    if not np.array_equal(np.isinf(made), np.isinf(given)):
        raise refused(f"input {spec.name!r}: a number is too large for {name_of(spec.dtype)}")
    return made


def _from_bytes(data: memoryview, shape: tuple[int, ...], spec: TensorSpec) -> Array:
    """The array of bytes behind the JSON."""
    count, dtype = math.prod(shape), dtype_of(name_of(spec.dtype) or "")
    if dtype is None:
        return _texts_of_bytes(data, count, spec).reshape(shape)
    if len(data) != count * dtype.itemsize:
        raise refused(f"input {spec.name!r}: {len(data)} bytes for {count} numbers of {dtype.itemsize} bytes")
    if dtype.kind == "b":
        bits = np.frombuffer(data, np.uint8)
        if bits.size and bits.max() > 1:
            raise refused(f"input {spec.name!r}: a byte of BOOL is neither 0 nor 1")
    return np.frombuffer(data, dtype).reshape(shape)


def _texts_of_bytes(data: memoryview, count: int, spec: TensorSpec) -> Array:
    """Texts, each behind its length in four bytes, the lowest first."""
    if count > len(data) // PREFIX:
        raise refused(f"input {spec.name!r}: {len(data)} bytes for {count} texts and their lengths")
    found, place = np.empty(count, object), 0
    for index in range(count):
        start = place + PREFIX
        end = start + int.from_bytes(data[place:start], "little")
        if start > len(data) or end > len(data):
            raise refused(f"input {spec.name!r}: its bytes end within text {index} of {count}")
        try:
            found[index] = str(data[start:end], "utf-8")
        except UnicodeDecodeError:
            raise refused(f"input {spec.name!r}: text {index} of {count} is not in UTF-8") from None
        place = end
    if place != len(data):
        raise refused(f"input {spec.name!r}: {len(data) - place} bytes follow its {count} texts")
    return found


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(repr(name) for name in names[:SHOWN]) + more


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
