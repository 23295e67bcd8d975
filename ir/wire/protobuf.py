"""Messages of protobuf as bytes: their fields are found and written without a schema.

The encoding is https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import NamedTuple

__all__ = [
    "DEEPEST",
    "LENGTH",
    "VARINT",
    "WireError",
    "WireField",
    "found",
    "number_at",
    "scalar",
    "string",
    "tag",
    "varint",
]

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5
DEEPEST = 100  # messages inside messages; protobuf itself refuses more


class WireError(ValueError):
    """The bytes are not a protobuf message."""


class WireField(NamedTuple):
    """One field of a message: its tag starts at head, its body at body, and it ends at tail."""

    number: int
    wire: int
    head: int
    body: int
    tail: int


def found(data: memoryview, start: int, end: int, wanted: Container[int]) -> Iterator[WireField]:
    """Those fields of a message that have a wanted number; a group is one field.

    Every field is stepped over, so that a message that is none is noticed: a few bytes each may be millions, which is
    why numbers of one byte, nearly all there are, are read in place and nothing is kept of what nobody wants.
    Raises WireError where the bytes are no message.
    """
    at = start
    while at < end:
        head = at
        key = data[at]
        at += 1
        if key > 0x7F:
            key, at = number_at(data, head, end)
        wire = key & 7
        body = at
        if wire == VARINT:
            if at < end and data[at] < 0x80:
                at += 1
            else:
                at = number_at(data, at, end)[1]
        elif wire == LENGTH:
            size, body = (data[at], at + 1) if at < end and data[at] < 0x80 else number_at(data, at, end)
            at = body + size
        elif wire == START_GROUP:
            at = _end_of_group(data, at, end, key >> 3)
        else:
            at = _end_of_scalar(data, at, end, wire)
        if at > end or key < 8:  # no field has the number 0
            raise WireError(f"the field at byte {head} ends at byte {at}, its message at byte {end}")
        if key >> 3 in wanted:
            yield WireField(key >> 3, wire, head, body, at)


def _read_tag(data: memoryview, at: int, end: int) -> tuple[int, int, int]:
    key, at = number_at(data, at, end)
    return key >> 3, key & 7, at


def _end_of_scalar(data: memoryview, at: int, end: int, wire: int) -> int:
    if wire == VARINT:
        return number_at(data, at, end)[1]
    if wire == FIXED32:
        return at + 4
    if wire == FIXED64:
        return at + 8
    raise WireError(f"unknown wire type {wire} before byte {at}")


def _end_of_group(data: memoryview, at: int, end: int, number: int) -> int:
    """Where a group ends, which holds fields and other groups until its own end tag."""
    open_groups = [number]
    while open_groups:
        number, wire, at = _read_tag(data, at, end)
        if wire == START_GROUP:
            open_groups.append(number)
        elif wire == END_GROUP:
            if open_groups.pop() != number:
                raise WireError(f"a group that was not open ends at byte {at}")
        elif wire == LENGTH:
            size, at = number_at(data, at, end)
            at += size
        else:
            at = _end_of_scalar(data, at, end, wire)
        if at > end or len(open_groups) > DEEPEST:
            raise WireError(f"the group that is open at byte {at} does not end")
    return at


def number_at(data: memoryview, at: int, end: int) -> tuple[int, int]:
    """A number that begins here, and where it ends. Raises WireError where it does not."""
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise WireError(f"unfinished number at byte {at}")


def varint(value: int) -> bytes:
    """A number, seven bits a byte."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def tag(number: int, wire: int = LENGTH) -> bytes:
    """What a field begins with."""
    return varint(number << 3 | wire)


def string(number: int, text: bytes) -> bytes:
    """A field that holds bytes."""
    return tag(number) + varint(len(text)) + text


def scalar(number: int, wire: int, value: int) -> bytes:
    """A field that holds one number: a varint, or the bits of 4 or 8 bytes."""
    if wire == VARINT:
        return tag(number, wire) + varint(value)
    return tag(number, wire) + value.to_bytes(4 if wire == FIXED32 else 8, "little")
