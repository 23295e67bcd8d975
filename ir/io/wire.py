"""Large tensors stay in their file: a model without its weights, and back, at the level of protobuf's wire format.

Protobuf libraries copy a message twice to read it and twice to write it. The walk here steps over the bytes of large
tensors instead, so that opening a model costs what its graph costs, and saving one streams its weights.
Field numbers are those of `onnx.proto` (they can never change); the encoding is
https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ..files.inside import open_real
from ..files.reading import DATA

__all__ = [
    "HERE",
    "INITIALIZERS",
    "FileRange",
    "Piece",
    "WireError",
    "fill",
    "hollow",
    "locations",
    "relocate",
    "scalar",
    "string",
    "tag",
]

Nested: TypeAlias = "Mapping[str, Mapping[int, str]]"

# Which fields of which message lead to a tensor that weights are read from.
NESTED: Nested = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph"},
}
# Which lead to the initializers of the main graph.
INITIALIZERS: Nested = {"model": {7: "graph"}, "graph": {5: "tensor"}}
# Which lead to any tensor at all; one that an attribute holds is "held".
EVERYWHERE: Nested = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "sparse": {1: "held", 2: "held"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "held", 6: "graph", 10: "held", 11: "graph", 22: "sparse", 23: "sparse"},
}
HERE = "/in the model file itself"  # location of tensors that were left there; no other may be absolute
ONCE = {("model", 7), ("attribute", 5), ("attribute", 6)}  # messages that are merged when they are there twice
RAW_DATA, EXTERNAL_DATA, DATA_LOCATION = 9, 13, 14
DISPLACED = 19_999  # a number that no schema may use: fields of a tensor that contradict the place it now has
DEFAULT, EXTERNAL = 0, 1
KEY, VALUE = 1, 2
VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5
DEEPEST = 100  # messages inside messages; protobuf itself refuses more


class WireError(ValueError):
    """The bytes are not a protobuf message."""


@dataclass(frozen=True, slots=True)
class FileRange:
    """Bytes that are still in a file; path: without a link in it."""

    path: str
    offset: int
    length: int


class _Field(NamedTuple):
    """One field of a message: its tag starts at head, its body at body, and it ends at tail."""

    number: int
    wire: int
    head: int
    body: int
    tail: int


Piece: TypeAlias = "bytes | memoryview | FileRange"


def hollow(data: memoryview, location: str, smallest: int = 1024, nested: Nested = NESTED) -> bytes:
    """The ModelProto in `data` with the raw data of every tensor of at least `smallest` bytes left where it lies.

    Such a tensor becomes an external one at `location`, with its offset and length inside `data`; nested: which fields
    lead to the tensors that are looked at. Raises WireError when `data` ends early or is no message.
    """

    def strip(start: int, end: int, _: str) -> list[Piece]:
        fields = list(_fields(data, start, end))
        raw = [field for field in fields if field[:2] == (RAW_DATA, LENGTH)][-1:]  # the last of several counts
        elsewhere = _is_external(data, fields)
        if elsewhere and _entries(data, fields).get("location") == location:
            raise WireError(f"the tensor at byte {start} says that it lies in {location}")
        if not raw or raw[0].tail - raw[0].body < smallest or elsewhere:
            return [data[start:end]]
        places = [field for field in fields if _is_place(field)]
        pieces: list[Piece] = [
            data[field.head : field.tail]
            for field in fields
            if not _is_place(field) and field[:2] not in ((RAW_DATA, LENGTH), (DISPLACED, LENGTH))
        ]
        if places:
            pieces.append(string(DISPLACED, b"".join(data[field.head : field.tail] for field in places)))
        return [*pieces, _external(location, raw[0].body, raw[0].tail - raw[0].body)]

    return b"".join(_walk(data, 0, len(data), "model", strip, smallest, nested))  # type: ignore[arg-type]


def fill(skeleton: bytes, location: str, path: str | None = None) -> list[Piece]:
    """Inverse of `hollow`: the pieces of the whole ModelProto, tensors at `location` as ranges of the file `path`.

    A skeleton that was edited in between is fine; raises WireError when `skeleton` is no message, or when a tensor at
    `location` lacks its offset or length.
    """
    data = memoryview(skeleton)

    def restore(start: int, end: int, _: str) -> list[Piece]:
        fields = list(_fields(data, start, end))
        entries = _entries(data, fields)
        if not _is_external(data, fields) or entries.get("location") != location:
            return [data[start:end]]
        try:
            offset, length = int(entries["offset"]), int(entries["length"])
        except (KeyError, ValueError):
            raise WireError(f"a tensor in {location} has no offset or no length") from None
        pieces: list[Piece] = [
            data[field.body if field.number == DISPLACED else field.head : field.tail]
            for field in fields
            if not _is_place(field)
        ]
        return [*pieces, tag(RAW_DATA) + _varint(length), FileRange(path or location, offset, length)]

    return _walk(data, 0, len(data), "model", restore, 0, EVERYWHERE)


def relocate(data: memoryview, move: Callable[[bytes, bool], bytes | None]) -> list[Piece]:
    """The ModelProto in `data` with every external tensor, wherever it is, moved to where `move` says.

    move: from a TensorProto, and whether it is an initializer, to another one, or None to leave it. `data` must be as
    protobuf writes it, no message in parts. Raises WireError when it is no message.
    """

    def moved(start: int, end: int, kind: str) -> list[Piece]:
        fields = list(_fields(data, start, end))
        if not _is_external(data, fields):
            return [data[start:end]]
        own = (data[field.head : field.tail] for field in fields if field.number != DISPLACED)
        other = move(b"".join(own), kind == "tensor")
        return [data[start:end] if other is None else other]

    return _walk(data, 0, len(data), "model", moved, 0, EVERYWHERE)


def locations(data: memoryview) -> set[str]:
    """Where the ModelProto in `data` says that its external tensors lie. Raises WireError when it is no message."""
    found: set[str] = set()

    def look(start: int, end: int, _: str) -> list[Piece]:
        fields = list(_fields(data, start, end))
        if _is_external(data, fields):
            found.add(_entries(data, fields).get("location", ""))
        return [data[start:end]]

    _walk(data, 0, len(data), "model", look, 0, EVERYWHERE)
    return found


def _walk(
    data: memoryview,
    start: int,
    end: int,
    kind: str,
    tensor: Callable[[int, int, str], list[Piece]],
    smallest: int,
    nested: Nested,
    depth: int = 0,
) -> list[Piece]:
    """Rebuild one message around its changed tensors; lengths on the way up are recomputed."""
    if depth > DEEPEST:
        raise WireError(f"messages are nested more than {DEEPEST} deep at byte {start}")
    if kind not in nested:
        return tensor(start, end, kind)
    pieces: list[Piece] = []
    fields = list(_fields(data, start, end))
    inner = {number: to for number, to in nested[kind].items() if not _is_merged(fields, kind, number)}
    for number, wire, head, body, tail in fields:
        if wire == LENGTH and number in inner and tail - body > smallest:
            found = _walk(data, body, tail, inner[number], tensor, smallest, nested, depth + 1)
            pieces.append(tag(number) + _varint(sum(map(_length, found))))
            pieces.extend(found)
        else:
            pieces.append(data[head:tail])
    return pieces


def _is_merged(fields: Sequence[_Field], kind: str, number: int) -> bool:
    """Whether a message is there in several parts, of which none can be judged alone; it stays as it is."""
    return (kind, number) in ONCE and sum(field[:2] == (number, LENGTH) for field in fields) > 1


def _is_place(field: _Field) -> bool:
    return field[:2] in ((EXTERNAL_DATA, LENGTH), (DATA_LOCATION, VARINT))


def _is_external(data: memoryview, fields: Sequence[_Field]) -> bool:
    """What protobuf makes of the data locations of a tensor: the last counts, and what is no such value is unknown."""
    given = [_read_varint(data, f.body, f.tail)[0] & 0xFFFFFFFF for f in fields if f[:2] == (DATA_LOCATION, VARINT)]
    return [value for value in given if value in (DEFAULT, EXTERNAL)][-1:] == [EXTERNAL]


def _entries(data: memoryview, fields: Sequence[_Field]) -> dict[str, str]:
    return dict(_entry(data, f.body, f.tail) for f in fields if f[:2] == (EXTERNAL_DATA, LENGTH))


def _length(piece: Piece) -> int:
    return piece.length if isinstance(piece, FileRange) else len(piece)


def _fields(data: memoryview, start: int, end: int) -> Iterator[_Field]:
    """Each field of a message; a group is one field."""
    at = start
    while at < end:
        head = at
        number, wire, at = _read_tag(data, at, end)
        if wire == LENGTH:
            size, at = _read_varint(data, at, end)
            tail = at + size
        elif wire == START_GROUP:
            tail = _end_of_group(data, at, end, number)
        else:
            tail = _end_of_scalar(data, at, end, wire)
        if tail > end or number == 0:
            raise WireError(f"the field at byte {head} ends at byte {tail}, its message at byte {end}")
        yield _Field(number, wire, head, at, tail)
        at = tail


def _read_tag(data: memoryview, at: int, end: int) -> tuple[int, int, int]:
    key, at = _read_varint(data, at, end)
    return key >> 3, key & 7, at


def _end_of_scalar(data: memoryview, at: int, end: int, wire: int) -> int:
    if wire == VARINT:
        return _read_varint(data, at, end)[1]
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
            size, at = _read_varint(data, at, end)
            at += size
        else:
            at = _end_of_scalar(data, at, end, wire)
        if at > end or len(open_groups) > DEEPEST:
            raise WireError(f"the group that is open at byte {at} does not end")
    return at


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


def tag(number: int, wire: int = LENGTH) -> bytes:
    """What a field begins with."""
    return _varint(number << 3 | wire)


def string(number: int, text: bytes) -> bytes:
    """A field that holds bytes."""
    return tag(number) + _varint(len(text)) + text


def scalar(number: int, wire: int, value: int) -> bytes:
    """A field that holds one number: a varint, or the bits of 4 or 8 bytes."""
    if wire == VARINT:
        return tag(number, wire) + _varint(value)
    return tag(number, wire) + value.to_bytes(4 if wire == FIXED32 else 8, "little")


def _external(location: str, offset: int, length: int) -> bytes:
    entries = (("location", location), ("offset", str(offset)), ("length", str(length)))
    fields = (string(KEY, key.encode()) + string(VALUE, value.encode()) for key, value in entries)
    return b"".join(string(EXTERNAL_DATA, field) for field in fields) + tag(DATA_LOCATION, VARINT) + b"\x01"


def _entry(data: memoryview, start: int, end: int) -> tuple[str, str]:
    fields = {f.number: bytes(data[f.body : f.tail]) for f in _fields(data, start, end) if f.wire == LENGTH}
    return fields.get(KEY, b"").decode(errors="replace"), fields.get(VALUE, b"").decode(errors="replace")


def concatenate(pieces: Sequence[Piece], write: Callable[[bytes | memoryview], object], chunk: int = 1 << 22) -> None:
    """Write the pieces in order, file ranges `chunk` bytes at a time; raises OSError when a file is too short."""
    for piece in pieces:
        if not isinstance(piece, FileRange):
            write(piece)
            continue
        with open_real(Path(piece.path), DATA) as source:
            source.seek(piece.offset)
            left = piece.length
            while left:
                data = source.read(min(chunk, left))
                if not data:
                    raise OSError(f"{piece.path} became shorter while it was read")
                write(data)
                left -= len(data)
