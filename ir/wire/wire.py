"""Large tensors stay in their file: a model without its weights, and back, at the level of protobuf's wire format.

Protobuf libraries copy a message twice to read it and twice to write it. The walk here steps over the bytes of large
tensors instead, so that opening a model costs what its graph costs, and saving one streams its weights.
Field numbers are those of `onnx.proto` (they can never change).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ..files.inside import open_real
from ..files.reading import DATA
from .protobuf import DEEPEST, LENGTH, VARINT, WireError, WireField, found, number_at, string, tag, varint

__all__ = [
    "HERE",
    "INITIALIZERS",
    "FileRange",
    "Piece",
    "fill",
    "hollow",
    "locations",
    "relocate",
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


@dataclass(frozen=True, slots=True)
class FileRange:
    """Bytes that are still in a file; path: without a link in it."""

    path: str
    offset: int
    length: int


Piece: TypeAlias = "bytes | memoryview | FileRange"
Change: TypeAlias = "Callable[[int, int, str], list[Piece] | None]"  # of the tensor from here to there; None: as it is

PLACE = frozenset({EXTERNAL_DATA, DATA_LOCATION})
STORED = frozenset({RAW_DATA, DISPLACED, *PLACE})


def hollow(data: memoryview, location: str, smallest: int = 1024, nested: Nested = NESTED) -> bytes:
    """The ModelProto in `data` with the raw data of every tensor of at least `smallest` bytes left where it lies.

    Such a tensor becomes an external one at `location`, with its offset and length inside `data`; nested: which fields
    lead to the tensors that are looked at. Raises WireError when `data` ends early or is no message.
    """

    def strip(start: int, end: int, _: str) -> list[Piece] | None:
        fields = list(found(data, start, end, STORED))
        raw = [field for field in fields if field[:2] == (RAW_DATA, LENGTH)][-1:]  # the last of several counts
        elsewhere = _is_external(data, fields)
        if elsewhere and _entries(data, fields).get("location") == location:
            raise WireError(f"the tensor at byte {start} says that it lies in {location}")
        if not raw or raw[0].tail - raw[0].body < smallest or elsewhere:
            return None
        places = [field for field in fields if _is_place(field)]
        gone = [field for field in fields if _is_place(field) or field[:2] in ((RAW_DATA, LENGTH), (DISPLACED, LENGTH))]
        pieces = _between(data, start, end, gone)
        if places:
            pieces.append(string(DISPLACED, b"".join(data[field.head : field.tail] for field in places)))
        return [*pieces, _external(location, raw[0].body, raw[0].tail - raw[0].body)]

    changed = _walk(data, 0, len(data), "model", strip, smallest, nested)
    return bytes(data) if changed is None else _whole(changed)


def fill(skeleton: bytes, location: str, path: str | None = None) -> list[Piece]:
    """Inverse of `hollow`: the pieces of the whole ModelProto, tensors at `location` as ranges of the file `path`.

    A skeleton that was edited in between is fine; raises WireError when `skeleton` is no message, or when a tensor at
    `location` lacks its offset or length.
    """
    data = memoryview(skeleton)

    def restore(start: int, end: int, _: str) -> list[Piece] | None:
        fields = list(found(data, start, end, STORED))
        if not _is_external(data, fields) or (entries := _entries(data, fields)).get("location") != location:
            return None
        try:
            offset, length = int(entries["offset"]), int(entries["length"])
        except (KeyError, ValueError):
            raise WireError(f"a tensor in {location} has no offset or no length") from None
        displaced = [field for field in fields if field.number == DISPLACED]
        pieces = _between(data, start, end, [field for field in fields if _is_place(field) or field in displaced])
        pieces += [data[field.body : field.tail] for field in displaced]
        return [*pieces, tag(RAW_DATA) + varint(length), FileRange(path or location, offset, length)]

    return _walk(data, 0, len(data), "model", restore, 0, EVERYWHERE) or [data]


def relocate(data: memoryview, move: Callable[[bytes, bool], bytes | None]) -> bytes:
    """The ModelProto in `data` with every external tensor, wherever it is, moved to where `move` says.

    move: from a TensorProto, and whether it is an initializer, to another one, or None to leave it. `data` must be as
    protobuf writes it, no message in parts. Raises WireError when it is no message.
    """

    def moved(start: int, end: int, kind: str) -> list[Piece] | None:
        fields = list(found(data, start, end, STORED))
        if not _is_external(data, fields):
            return None
        displaced = [field for field in fields if field.number == DISPLACED]
        other = move(_whole(_between(data, start, end, displaced)), kind == "tensor")
        return None if other is None else [other]

    return _whole(_walk(data, 0, len(data), "model", moved, 0, EVERYWHERE) or [data])


def locations(data: memoryview) -> set[str]:
    """Where the ModelProto in `data` says that its external tensors lie. Raises WireError when it is no message."""
    places: set[str] = set()

    def look(start: int, end: int, _: str) -> None:
        fields = list(found(data, start, end, PLACE))
        if _is_external(data, fields):
            places.add(_entries(data, fields).get("location", ""))

    _walk(data, 0, len(data), "model", look, 0, EVERYWHERE)
    return places


def _walk(
    data: memoryview,
    start: int,
    end: int,
    kind: str,
    tensor: Change,
    smallest: int,
    nested: Nested,
    depth: int = 0,
) -> list[Piece] | None:
    """One message around its changed tensors, lengths on the way up computed anew; None where nothing changes.

    What nothing changes in is one piece, however many fields it has.
    """
    if depth > DEEPEST:
        raise WireError(f"messages are nested more than {DEEPEST} deep at byte {start}")
    if kind not in nested:
        return tensor(start, end, kind)
    inner = nested[kind]
    pieces: list[Piece] = []
    at = start
    for number, _, head, body, tail in _judged_alone(data, start, end, kind, inner, smallest):
        changed = _walk(data, body, tail, inner[number], tensor, smallest, nested, depth + 1)
        if changed is not None:
            pieces += [data[at:head], tag(number) + varint(sum(map(_length, changed))), *changed]
            at = tail
    return [*pieces, data[at:end]] if pieces else None


def _judged_alone(
    data: memoryview, start: int, end: int, kind: str, inner: Container[int], smallest: int
) -> list[WireField]:
    """The larger messages inside of one, without those that are there in several parts, none of which tells all."""
    parts: Counter[int] = Counter()
    larger = []
    for field in found(data, start, end, inner):
        if field.wire == LENGTH:
            parts[field.number] += 1
            if field.tail - field.body > smallest:
                larger.append(field)
    return [field for field in larger if parts[field.number] == 1 or (kind, field.number) not in ONCE]


def _whole(pieces: Sequence[Piece]) -> bytes:
    """Pieces of which none is left in a file, as one."""
    held = [piece for piece in pieces if not isinstance(piece, FileRange)]
    assert len(held) == len(pieces), "only what is filled in is left in a file"
    return b"".join(held)


def _between(data: memoryview, start: int, end: int, gone: Sequence[WireField]) -> list[Piece]:
    """A message without some of its fields."""
    pieces: list[Piece] = []
    at = start
    for field in gone:
        if field.head > at:
            pieces.append(data[at : field.head])
        at = field.tail
    return [*pieces, data[at:end]] if at < end else pieces


def _is_place(field: WireField) -> bool:
    return field[:2] in ((EXTERNAL_DATA, LENGTH), (DATA_LOCATION, VARINT))


def _is_external(data: memoryview, fields: Sequence[WireField]) -> bool:
    """What protobuf makes of the data locations of a tensor: the last counts, and what is no such value is unknown."""
    given = [number_at(data, f.body, f.tail)[0] & 0xFFFFFFFF for f in fields if f[:2] == (DATA_LOCATION, VARINT)]
    return [value for value in given if value in (DEFAULT, EXTERNAL)][-1:] == [EXTERNAL]


def _entries(data: memoryview, fields: Sequence[WireField]) -> dict[str, str]:
    return dict(_entry(data, f.body, f.tail) for f in fields if f[:2] == (EXTERNAL_DATA, LENGTH))


def _length(piece: Piece) -> int:
    return piece.length if isinstance(piece, FileRange) else len(piece)


def _external(location: str, offset: int, length: int) -> bytes:
    entries = (("location", location), ("offset", str(offset)), ("length", str(length)))
    fields = (string(KEY, key.encode()) + string(VALUE, value.encode()) for key, value in entries)
    return b"".join(string(EXTERNAL_DATA, field) for field in fields) + tag(DATA_LOCATION, VARINT) + b"\x01"


def _entry(data: memoryview, start: int, end: int) -> tuple[str, str]:
    fields = {f.number: bytes(data[f.body : f.tail]) for f in found(data, start, end, (KEY, VALUE)) if f.wire == LENGTH}
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
