"""A protobuf message in every spelling that the encoding allows: other orders, fields twice, parts, unknown fields."""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message

VARINTS = {F.TYPE_INT32, F.TYPE_INT64, F.TYPE_UINT64, F.TYPE_ENUM, F.TYPE_BOOL}
UNKNOWN = 4001  # of which no message of ONNX has a field


def scramble(message: Message, rng: Random, unknown: bool = True) -> bytes:
    """Bytes that protobuf reads as `message`, but for the unknown fields in them."""
    pieces: list[list[bytes]] = []  # of each field; the order within one is kept
    for field, value in message.ListFields():
        if field.is_repeated:
            pieces.append(_repeated(field, value, rng, unknown))
        elif field.type == F.TYPE_MESSAGE:
            parts = _parts(value, rng) if rng.random() < 0.1 else [value]
            pieces.append([_length(field.number, scramble(part, rng, unknown)) for part in parts])
        else:
            before = [_scalar(field, _decoy(field, value, rng))] if rng.random() < 0.15 else []
            pieces.append([*before, _scalar(field, value)])
    if unknown and rng.random() < 0.2:
        pieces.append([_unknown(rng)])
    out = []
    while pieces:
        chosen = pieces[rng.randrange(len(pieces)) if rng.random() < 0.5 else 0]
        out.append(chosen.pop(0))
        pieces = [left for left in pieces if left]
    return b"".join(out)


def _repeated(field: F, values: list, rng: Random, unknown: bool) -> list[bytes]:
    if field.type == F.TYPE_MESSAGE:
        return [_length(field.number, scramble(value, rng, unknown)) for value in values]
    if field.type in (F.TYPE_STRING, F.TYPE_BYTES) or rng.random() < 0.5:
        return [_scalar(field, value) for value in values]
    cut = rng.randrange(len(values) + 1)
    write = _encoder(field)
    return [_length(field.number, b"".join(map(write, part))) for part in (values[:cut], values[cut:])]


def _parts(value: Message, rng: Random) -> list[Message]:
    """The message in two, which protobuf merges again."""
    first, second = type(value)(), type(value)()
    for field, _ in value.ListFields():
        part = first if rng.random() < 0.5 else second
        part.MergeFrom(_only(value, field))
    return [first, second]


def _only(value: Message, kept: F) -> Message:
    copy = type(value)()
    copy.CopyFrom(value)
    for field, _ in value.ListFields():
        if field.number != kept.number:
            copy.ClearField(field.name)
    return copy


def _decoy(field: F, value: object, rng: Random) -> object:
    """A value of the field that the one after it hides."""
    if field.type in (F.TYPE_STRING, F.TYPE_BYTES):
        return rng.randbytes(rng.choice([0, 3, 30])) if field.type == F.TYPE_BYTES else "decoy"
    if field.type == F.TYPE_ENUM:
        return rng.choice([each.number for each in field.enum_type.values])
    return 1


def _encoder(field: F) -> Callable[[object], bytes]:
    if field.type == F.TYPE_FLOAT:
        return lambda value: struct.pack("<f", value)
    if field.type == F.TYPE_DOUBLE:
        return lambda value: struct.pack("<d", value)
    return lambda value: varint(int(value))


def _scalar(field: F, value: object) -> bytes:
    if field.type in (F.TYPE_STRING, F.TYPE_BYTES):
        return _length(field.number, value.encode() if isinstance(value, str) else value)
    kind = {F.TYPE_FLOAT: 5, F.TYPE_DOUBLE: 1}.get(field.type, 0)
    return varint(field.number << 3 | kind) + _encoder(field)(value)


def _unknown(rng: Random) -> bytes:
    tag = lambda kind: varint(UNKNOWN << 3 | kind)  # noqa: E731 - as short as its use
    return rng.choice(
        [
            tag(0) + varint(rng.randrange(1 << 40)),
            tag(1) + rng.randbytes(8),
            tag(5) + rng.randbytes(4),
            _length(UNKNOWN, rng.randbytes(9)),
            tag(3) + varint(5 << 3) + b"\x07" + tag(3) + tag(4) + _length(6, b"inner") + tag(4),
        ]
    )


def _length(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    """A number as protobuf writes it; negative ones take ten bytes."""
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
