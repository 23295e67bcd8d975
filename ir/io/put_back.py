"""What onnx_ir drops from a model without a word is put back when the model is written.

A three-way merge of protobuf messages: between what was read, what onnx_ir makes of it when nothing is edited, and
what it makes of the edited graph. Where the last two agree nothing was edited, and what was read stands again, to the
last unknown field.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import onnx
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from ..wire.protobuf import scalar, string, tag
from ..wire.wire import DISPLACED

__all__ = ["put_back"]

KEYS: dict[str, Callable[[Any], Any]] = {  # what tells the elements of a repeated field apart
    "node": lambda node: (*node.output, "", node.op_type, node.domain, node.name),
    "attribute": lambda attribute: attribute.name,
    "attribute_proto": lambda attribute: attribute.name,
    "initializer": lambda tensor: tensor.name,
    "input": lambda info: info.name,
    "output": lambda info: info.name,
    "value_info": lambda info: info.name,
    "metadata_props": lambda entry: entry.key,
    "opset_import": lambda entry: entry.domain,
    "functions": lambda function: (function.domain, function.name, function.overload),
    "quantization_annotation": lambda annotation: annotation.tensor_name,
    "configuration": lambda configuration: configuration.name,
}
ORDERED = frozenset({"node", "input", "output"})  # as the edited graph has them; the others as they were read
PLACED = frozenset({"graphs", "tensors"})  # told apart by their place
WHOLE = (onnx.TypeProto, onnx.StringStringEntryProto, onnx.OperatorSetIdProto, onnx.TensorAnnotation)
DATA: tuple[str, ...] = ("dims", "data_type", "data_location", "external_data", "raw_data", "string_data")
DATA += ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def put_back(edited: Message, unedited: Message, read: Message) -> None:
    """Change `edited` so that whatever it shares with `unedited` is as it was `read`."""
    if isinstance(edited, onnx.TensorProto):
        _put_back_tensor(edited, unedited, read)
        return
    if isinstance(edited, onnx.AttributeProto) and edited.type != unedited.type:
        return
    stale = _stale(edited, read) if isinstance(edited, (onnx.GraphProto, onnx.FunctionProto)) else frozenset()
    for field in edited.DESCRIPTOR.fields:
        if field.is_repeated:
            _put_back_repeated(field.name, edited, unedited, read)
        elif field.message_type is not None:
            _put_back_message(field.name, edited, unedited, read)
        else:
            _put_back_scalar(field.name, edited, unedited, read)
    if stale:
        left = [info for info in edited.value_info if info.name not in stale]
        copies = [onnx.ValueInfoProto.FromString(info.SerializeToString()) for info in left]
        edited.ClearField("value_info")
        edited.value_info.extend(copies)
    _put_back_unknown(edited, read)


def _stale(edited: Any, read: Any) -> frozenset[str]:
    """Names that the model that was read describes and does not make, and that the edit made for something else."""
    made = {name for node in edited.node for name in node.output} - {name for node in read.node for name in node.output}
    return frozenset(made & {info.name for info in read.value_info} - {info.name for info in edited.value_info})


def _put_back_scalar(name: str, edited: Message, unedited: Message, read: Message) -> None:
    if edited.HasField(name) != unedited.HasField(name) or getattr(edited, name) != getattr(unedited, name):
        return
    if read.HasField(name):
        setattr(edited, name, getattr(read, name))
    else:
        edited.ClearField(name)


def _put_back_message(name: str, edited: Message, unedited: Message, read: Message) -> None:
    there = edited.HasField(name)
    if there != unedited.HasField(name):
        return
    now, before, first = (getattr(message, name) for message in (edited, unedited, read))
    if not there or now == before:
        if read.HasField(name):
            now.CopyFrom(first)
        else:
            edited.ClearField(name)
    elif not isinstance(now, WHOLE) and read.HasField(name):
        put_back(now, before, first)


def _put_back_repeated(name: str, edited: Message, unedited: Message, read: Message) -> None:
    now, before, first = (getattr(message, name) for message in (edited, unedited, read))
    if now == before:
        if now != first:
            edited.ClearField(name)
            getattr(edited, name).extend(first)
    elif name == "initializer":
        _put_back_in_place(now, before, first)
    elif name in PLACED and len(now) == len(before) == len(first):
        for triple in zip(now, before, first, strict=True):
            put_back(*triple)
    elif name in KEYS and isinstance((*now, *before, *first)[0], Message):
        order = _in_order if name in ORDERED else _merged
        merged = order(KEYS[name], list(now), list(before), list(first))
        copies = [type(element).FromString(element.SerializeToString()) for element in merged]
        edited.ClearField(name)
        getattr(edited, name).extend(copies)


def _put_back_in_place(now: Any, before: Any, first: Any) -> None:
    """For initializers, which may be large: none is copied or moved, and those without a name, which nobody reads, are
    added."""
    plain, old = ({tensor.name: tensor for tensor in tensors} for tensors in (before, first))
    for tensor in now:
        if tensor.name in plain and tensor.name in old:
            put_back(tensor, plain[tensor.name], old[tensor.name])
    now.extend(tensor for tensor in first if not tensor.name)


def _in_order(key: Callable[[Any], Any], now: list[Any], before: list[Any], first: list[Any]) -> list[Any]:
    """The elements of an ordered field as the edited model has them."""
    plain = {key(element): element for element in before}
    old: dict[Any, list[Any]] = {}
    for element in first:
        old.setdefault(key(element), []).append(element)
    unique = {found for found, elements in old.items() if len(elements) == 1}
    pairs = ((element, key(element)) for element in now)
    return [
        one
        for element, found in pairs
        for one in (_one(element, plain.get(found), old[found]) if found in unique else [element])
    ]


def _merged(key: Callable[[Any], Any], now: list[Any], before: list[Any], first: list[Any]) -> list[Any]:
    """The elements of a map in the order in which they were read, with those that onnx_ir dropped; then new ones."""
    old: dict[Any, list[Any]] = {}
    for element in first:
        old.setdefault(key(element), []).append(element)
    plain = {key(element): element for element in reversed(before)}
    result: dict[Any, list[Any]] = {}
    for element in now:
        found = key(element)
        if found not in result:  # onnx_ir says some things twice
            result[found] = _one(element, plain.get(found), old.get(found, []))
    lost = {found: elements for found, elements in old.items() if found not in plain and found not in result}
    order = [*(found for found in old if found in result or found in lost), *(k for k in result if k not in old)]
    return [element for found in order for element in (result.get(found) or lost.get(found, []))]


def _one(element: Any, plain: Any, old: list[Any]) -> list[Any]:
    """What becomes of one element of the edited field; several where the model that was read has it several times."""
    if plain is None:
        return [element]
    if element == plain:
        return old  # none where onnx_ir made it up
    if len(old) == 1 and not isinstance(element, WHOLE):
        put_back(element, plain, old[0])
    return [element]


def _put_back_tensor(edited: Any, unedited: Any, read: Any) -> None:
    """All of it when its data is unedited, else everything about it that still holds."""
    if all(getattr(edited, name) == getattr(unedited, name) for name in DATA):
        if edited != read:
            edited.CopyFrom(read)
    elif edited.data_type == read.data_type and edited.dims == read.dims:
        for name in ("name", "doc_string"):
            _put_back_scalar(name, edited, unedited, read)
        _put_back_repeated("metadata_props", edited, unedited, read)
        if not edited.doc_string and read.doc_string:  # new values are often given without the old words
            edited.doc_string = read.doc_string
        if not edited.metadata_props:
            edited.metadata_props.extend(read.metadata_props)
        if read.HasField("segment"):
            edited.segment.CopyFrom(read.segment)
        _put_back_unknown(edited, read)


def _put_back_unknown(edited: Message, read: Message) -> None:
    data = _unknown(UnknownFieldSet(read))
    if data and not len(UnknownFieldSet(edited)):  # tensors that are written as they were read still have them
        edited.MergeFromString(data)


def _unknown(fields: Any) -> bytes:
    """The bytes of unknown fields."""
    pieces = []
    for field in fields:
        number, kind, data = field.field_number, field.wire_type, field.data
        if number == DISPLACED:
            continue  # of the place of the old data
        if kind == 2:
            pieces.append(string(number, data))
        elif kind == 3:
            pieces.append(tag(number, 3) + _unknown(data) + tag(number, 4))
        else:
            pieces.append(scalar(number, kind, data))
    return b"".join(pieces)
