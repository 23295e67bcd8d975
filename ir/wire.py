"""Large tensors stay in their file: a model without its weights, and back, at the level of protobuf's wire format.

Protobuf libraries copy a message twice to read it and twice to write it. The walk here steps over the bytes of large
tensors instead, so that opening a model costs what its graph costs, and saving one streams its weights.
Field numbers are those of `onnx.proto` (they can never change); the encoding is
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["FileRange", "Piece", "WireError", "fill", "hollow"]


# Which fields of which message lead to a tensor.
NESTED = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 9, 13, 14
KEY, VALUE = 1, 2
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
DEEPEST = 100  # messages inside messages; protobuf itself refuses more


class WireError(ValueError):
    """The bytes are not a protobuf message."""


@dataclass(frozen=True, slots=True)
class FileRange:
    """Bytes that are still in a file."""

    path: str
    offset: int
    length: int


Piece: TypeAlias = "bytes | memoryview | FileRange"


def hollow(data: memoryview, location: str, smallest: int = 1024) -> bytes:
    """The ModelProto in `data` with the raw data of every tensor of at least `smallest` bytes left where it lies.

    Such a tensor becomes an external one at `location`, with its offset and length inside `data`.
    Raises WireError when `data` ends early or is no message.
    """

    def strip(start: int, end: int) -> list[Piece]:
        pieces: list[Piece] = []
        fields = list(_fields(data, start, end))
        external = any(number == EXTERNAL_DATA for number, *_ in fields)  # a second location would hide the first
        for number, wire, head, body, tail in fields:
            if number == RAW_DATA and wire == LENGTH and tail - body >= smallest and not external:
                pieces.append(_external(location, body, tail - body))
            else:
                pieces.append(data[head:tail])
        return pieces

    return b"".join(_walk(data, 0, len(data), "model", strip, smallest))  # type: ignore[arg-type]


def fill(skeleton: bytes, location: str, path: str | None = None) -> list[Piece]:
    """Inverse of `hollow`: the pieces of the whole ModelProto, tensors at `location` as ranges of the file `path`.

    A skeleton that was edited in between is fine; raises WireError when `skeleton` is no message, or when a tensor at
    `location` lacks its offset or length.
    """
    data = memoryview(skeleton)

    def restore(start: int, end: int) -> list[Piece]:
        pieces: list[Piece] = []
        entries: dict[str, str] = {}
        external: list[Piece] = []
        for number, _, head, body, tail in _fields(data, start, end):
            if number == EXTERNAL_DATA:
                entries.update([_entry(data, body, tail)])
            (external if number in (EXTERNAL_DATA, DATA_LOCATION) else pieces).append(data[head:tail])
        if entries.get("location") != location:
            return pieces + external
        try:
            offset, length = int(entries["offset"]), int(entries["length"])
        except (KeyError, ValueError):
            raise WireError(f"a tensor in {location} has no offset or no length") from None
        return [*pieces, _tag(RAW_DATA) + _varint(length), FileRange(path or location, offset, length)]

    return _walk(data, 0, len(data), "model", restore, 0)


def _walk(
    data: memoryview,
    start: int,
    end: int,
    kind: str,
    tensor: Callable[[int, int], list[Piece]],
    smallest: int,
    depth: int = 0,
) -> list[Piece]:
    """Rebuild one message around its changed tensors; lengths on the way up are recomputed."""
    if depth > DEEPEST:
        raise WireError(f"messages are nested more than {DEEPEST} deep at byte {start}")
    if kind == "tensor":
        return tensor(start, end)
    pieces: list[Piece] = []
    nested = NESTED[kind]
    for number, wire, head, body, tail in _fields(data, start, end):
        if wire == LENGTH and number in nested and tail - body > smallest:
            inner = _walk(data, body, tail, nested[number], tensor, smallest, depth + 1)
            pieces.append(_tag(number) + _varint(sum(map(_length, inner))))
            pieces.extend(inner)
        else:
            pieces.append(data[head:tail])
    return pieces


def _length(piece: Piece) -> int:
    return piece.length if isinstance(piece, FileRange) else len(piece)


def _fields(data: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int, int, int]]:
    """(number, wire type, start of the tag, start of the body, end) of each field of a message."""
    at = start
    while at < end:
        head = at
        key, at = _read_varint(data, at, end)
        number, wire = key >> 3, key & 7
        if wire == LENGTH:
            size, at = _read_varint(data, at, end)
            tail = at + size
        elif wire == VARINT:
            tail = _read_varint(data, at, end)[1]
        elif wire == FIXED32:
            tail = at + 4
        elif wire == FIXED64:
            tail = at + 8
        else:
            raise WireError(f"unknown wire type {wire} at byte {head}")
        if tail > end or number == 0:
            raise WireError(f"the field at byte {head} ends at byte {tail}, its message at byte {end}")
        yield number, wire, head, at, tail
        at = tail


def _read_varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while at < end and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise WireError(f"unfinished number at byte {at}")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire: int = LENGTH) -> bytes:
    return _varint(number << 3 | wire)


def _string(number: int, text: bytes) -> bytes:
    return _tag(number) + _varint(len(text)) + text


def _external(location: str, offset: int, length: int) -> bytes:
    entries = (("location", location), ("offset", str(offset)), ("length", str(length)))
    fields = (_string(KEY, key.encode()) + _string(VALUE, value.encode()) for key, value in entries)
    return b"".join(_string(EXTERNAL_DATA, field) for field in fields) + _tag(DATA_LOCATION, VARINT) + b"\x01"


def _entry(data: memoryview, start: int, end: int) -> tuple[str, str]:
    fields = {number: bytes(data[body:tail]) for number, _, _, body, tail in _fields(data, start, end)}
    return fields.get(KEY, b"").decode(errors="replace"), fields.get(VALUE, b"").decode(errors="replace")


def concatenate(pieces: Sequence[Piece], write: Callable[[bytes | memoryview], object], chunk: int = 1 << 22) -> None:
    """Write the pieces in order, file ranges `chunk` bytes at a time; raises OSError when a file is too short."""
    for piece in pieces:
        if not isinstance(piece, FileRange):
            write(piece)
            continue
        with open(piece.path, "rb") as source:  # noqa: PTH123 - plain open of a known path
            source.seek(piece.offset)
            left = piece.length
            while left:
                data = source.read(min(chunk, left))
                if not data:
                    raise OSError(f"{piece.path} became shorter while it was read")
                write(data)
                left -= len(data)
