"""The manifest of a folder of parts: who reads which features, who writes which, and what each file is.

    FOLDER/manifest.json     this
           part0.onnx        a part: a model that reads its shares of values, and writes its own
           part0.onnx.data   its weights, where they do not lie in the model

A folder may come from anybody. What is read here is bounded, and is consistent or refused: every part reads only what
is given to the model or what parts before it write, every place of a value is written once, and all files lie in the
folder.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..brief import brief
from ..plan.codec import require_few
from ..plan.decomposition import PlanError
from ..record import Record, shown
from .share import AXES, ManifestError, Share

__all__ = ["FILE", "Manifest", "PartFile", "PartValue"]

FILE = "manifest.json"
SCHEMA = 1
MOST_PARTS, MOST_VALUES = 1 << 12, 1 << 16
MOST_PLACES = 1 << 27  # places that all shares name together
LONGEST = 1 << 40  # an extent
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", re.ASCII)
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PartValue:
    """A value that the model is given, makes, or that a part hands to others: its name, type as NumPy calls it, and
    extents, names for open ones, None for those without one; None where not even its rank is known."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...] | None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"name": self.name, "dtype": self.dtype, "shape": None if self.shape is None else list(self.shape)}

    @staticmethod
    def from_dict(data: Any, where: str) -> PartValue:
        """Inverse of `to_dict`; raises ManifestError when a field is missing, unknown or nonsense."""
        record = Record.of(data, where, ManifestError)
        name, dtype, shape = record.text("name"), record.text("dtype"), record.items("shape", default=None)
        record.done()
        for extent in shape or ():
            size = type(extent) is int and 0 <= extent <= LONGEST
            if not size and not isinstance(extent, str) and extent is not None:
                raise record.wrong(f"'shape' holds {shown(extent)}, which is no extent")
        if shape is not None and len(shape) > AXES:
            raise record.wrong(f"'shape' has {len(shape)} axes")
        return PartValue(name, dtype, None if shape is None else tuple(shape))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFile:
    """A part: its files with the SHA-256 of each, the model first, what it reads and writes, and what it costs.

    macs: multiply-adds of products with constants for one row; bytes_: of its files; rows: the values it reads of which
    each row, along the first axis, makes the same row of all that it writes, whatever other rows hold; none where it is
    not so. Raises ManifestError for rows of what it does not read, or that are cut.
    """

    name: str
    files: Mapping[str, str]
    reads: tuple[Share, ...]
    writes: tuple[Share, ...]
    macs: int
    bytes_: int
    rows: tuple[str, ...] = ()

    __repr__ = brief

    def __post_init__(self) -> None:
        read = {share.value for share in self.reads if 0 not in share.places}
        if not read.issuperset(self.rows) or (self.rows and any(0 in share.places for share in self.writes)):
            raise ManifestError(f"{self.name} has rows of what it does not read, or the first axis is cut")

    @property
    def model(self) -> str:
        """The file of its model."""
        return next(iter(self.files))

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "files": [{"file": file, "sha256": sha256} for file, sha256 in self.files.items()],
            "macs": self.macs,
            "bytes": self.bytes_,
            "rows": list(self.rows),
            "reads": [share.to_dict() for share in self.reads],
            "writes": [share.to_dict() for share in self.writes],
        }

    @staticmethod
    def from_dict(data: Any, where: str) -> PartFile:
        """Inverse of `to_dict`; raises ManifestError when a field is missing, unknown or nonsense."""
        record = Record.of(data, where, ManifestError)
        files: dict[str, str] = {}
        for index, one in enumerate(record.items("files")):
            own = Record.of(one, f"{where}: files[{index}]", ManifestError)
            name, sha256 = own.text("file"), own.text("sha256")
            own.done()
            if not NAME.fullmatch(name) or name in files or name == FILE:
                raise own.wrong(f"'file' is {shown(name)}, which is no name of a file of the folder")
            files[name] = _sha256(own, sha256)
        found = PartFile(
            name=record.text("name"),
            files=files,
            reads=_shares(record, "reads"),
            writes=_shares(record, "writes"),
            macs=record.whole("macs"),
            bytes_=record.whole("bytes"),
            rows=record.texts("rows"),
        )
        record.done()
        if not NAME.fullmatch(found.name) or not files:
            raise record.wrong(f"'name' is {shown(found.name)}, which is no name of a part, or it has no file")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The parts of a model in an order in which they can run, and how they are put together.

    name: of the model; original: the SHA-256 of its files; inputs, outputs: of the model; between: values that
    parts hand to others. Raises ManifestError for parts
    that contradict one another.
    """

    name: str
    original: str
    inputs: tuple[PartValue, ...]
    outputs: tuple[PartValue, ...]
    between: tuple[PartValue, ...]
    parts: tuple[PartFile, ...]

    __repr__ = brief

    def __post_init__(self) -> None:
        _require_unique("value", [value.name for value in self.values])
        _require_unique("part", [part.name for part in self.parts])
        _require_unique("file", [file for part in self.parts for file in part.files])
        if not self.parts:
            raise ManifestError("it has no part")
        known = {value.name: value for value in self.values}
        there = {value.name for value in self.inputs}
        written: dict[str, list[Share]] = {}
        last = {share.value: index for index, part in enumerate(self.parts) for share in part.writes}
        for index, part in enumerate(self.parts):
            for what in (part.reads, part.writes):
                _require_unique(f"value of {part.name}", [share.value for share in what])
                for share in what:
                    _require_fits(part, share, known)
            for share in part.reads:
                if share.value not in there and last.get(share.value, index) >= index:
                    raise ManifestError(f"{part.name} reads {share.value!r}, which nothing before it has written")
            for share in part.writes:
                if share.value in there:
                    raise ManifestError(f"{part.name} writes {share.value!r}, which is an input")
                written.setdefault(share.value, []).append(share)
        for value in (*self.outputs, *self.between):
            _require_whole(value.name, written.get(value.name, []))

    @property
    def values(self) -> tuple[PartValue, ...]:
        """All values that parts read or write."""
        return *self.inputs, *self.between, *self.outputs

    @property
    def rows(self) -> frozenset[str]:
        """The inputs that have rows along the first axis, each of which makes the same row of all outputs; none where
        some part mixes rows."""
        read = {name for part in self.parts for name in part.rows}
        whole = {share.value for part in self.parts for share in part.reads if share.value not in part.rows}
        made = {share.value for part in self.parts for share in part.writes}
        if not all(part.rows for part in self.parts) or read & whole or made & whole:
            return frozenset()
        return frozenset(read - made)

    @property
    def plan(self) -> str:
        """The SHA-256 of what is cut where: of two folders with the same one the parts read and write the same."""
        cut = [{name: part.to_dict()[name] for name in ("name", "reads", "writes")} for part in self.parts]
        return hashlib.sha256(json.dumps(cut, sort_keys=True).encode()).hexdigest()

    @property
    def files(self) -> list[str]:
        """Every file of the folder, the manifest last."""
        return [*(file for part in self.parts for file in part.files), FILE]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "schema": SCHEMA,
            "model": self.name,
            "original": self.original,
            "plan": self.plan,
            **{
                name: [one.to_dict() for one in getattr(self, name)]
                for name in ("inputs", "outputs", "between", "parts")
            },
        }

    def dumps(self) -> str:
        """As the text of a file."""
        return json.dumps(self.to_dict(), indent=1) + "\n"

    @staticmethod
    def loads(text: str) -> Manifest:
        """Inverse of `dumps`; raises ManifestError for what is none, in one sentence."""
        try:
            data = json.loads(text)
            require_few(data, MOST_PLACES)
        except (ValueError, RecursionError) as error:  # PlanError among them
            why = str(error) if isinstance(error, PlanError) else f"it is no JSON: {str(error).splitlines()[0]}"
            raise ManifestError(why) from None
        record = Record.of(data, "the manifest", ManifestError)
        if (schema := record.whole("schema")) != SCHEMA:
            raise ManifestError(f"its schema is {schema}, and this version reads {SCHEMA}")
        name, original, plan = record.text("model"), record.text("original"), record.text("plan")
        values = {
            kind: _read(record, kind, PartValue.from_dict, MOST_VALUES) for kind in ("inputs", "outputs", "between")
        }
        parts = _read(record, "parts", PartFile.from_dict, MOST_PARTS)
        record.done()
        found = Manifest(name=name, original=_sha256(record, original), parts=tuple(parts), **values)
        if found.plan != plan:
            raise ManifestError("its parts do not read and write what 'plan' is the SHA-256 of")
        return found


def _read(record: Record, name: str, make: Callable[[Any, str], Any], most: int) -> tuple[Any, ...]:
    items: list[Any] = record.items(name)
    if len(items) > most:
        raise record.wrong(f"{name!r} has {len(items):,} entries, and {most:,} are the most")
    return tuple(make(one, f"{name}[{index}]") for index, one in enumerate(items))


def _shares(record: Record, name: str) -> tuple[Share, ...]:
    return tuple(Share.from_dict(one, f"{record.where}: {name}[{at}]") for at, one in enumerate(record.items(name)))


def _sha256(record: Record, text: str) -> str:
    if not SHA256.fullmatch(text):
        raise record.wrong(f"{shown(text)} is no SHA-256")
    return text


def _require_unique(what: str, names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ManifestError(f"the {what} {twice!r} is there twice")


def _require_fits(part: PartFile, share: Share, known: Mapping[str, PartValue]) -> None:
    value = known.get(share.value)
    if value is None:
        raise ManifestError(f"{part.name} reads or writes {share.value!r}, which is no value of the model")
    shape = value.shape
    for axis, size in share.size.items() if shape is not None else ():
        extent = shape[axis] if shape is not None and axis < len(shape) else 0
        if isinstance(extent, int) and extent != size:
            raise ManifestError(f"{part.name}: axis {axis} of {share.value!r} has {extent} places, not {size}")


def _require_whole(name: str, shares: Sequence[Share]) -> None:
    """Raise ManifestError unless these shares of a value are all of it, no place twice, and cut along one axis."""
    if len(shares) == 1 and shares[0].is_whole:
        return
    axes = {tuple(share.size.items()) for share in shares}
    if len(axes) != 1 or len(shares[0].size) != 1:
        raise ManifestError(f"{name!r} is written by nothing, or not along one axis")
    ((axis, size),) = shares[0].size.items()
    places = np.concatenate([share.places[axis] for share in shares])
    if places.size != size or np.unique(places).size != size:
        raise ManifestError(f"the {size} places of {name!r} along axis {axis} are not written once each")
