"""The one data file of an output: weights outside the model file are in `<output>.data`, which is its alone."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto

from ..files.inside import open_real
from ..files.reading import DATA, MODEL, open_file
from ..onnx_ir import onnx_ir as ir
from ..wire.protobuf import WireError
from ..wire.wire import HERE, INITIALIZERS, FileRange, Piece, concatenate, fill, hollow, locations, relocate
from .load import InlineTensor, Model
from .placement import Home, PlacementError
from .serial import Swap, home_of, reference, swapped, to_proto
from .stand_in import SparseTensor
from .tensor_form import tensors
from .tensors import file_of, read, tensor_slots
from .written import bodies

__all__ = [
    *("HUB", "copy_external", "copy_file", "data_file", "embedded", "left_in_place", "links_followed", "reader_of"),
    "write_external",
]

INLINE_BYTES = 1 << 14  # shape inference reads small integer tensors, and cannot when they are external
MEMORY = "/in memory"  # location of tensors that are yet to be written; their offset is a number
HUB = "_data"  # behind the name of a model, for its data: what Optimum writes and transformers.js looks for
PAGE, LARGE, LINE = 1 << 16, 1 << 20, 64  # large tensors begin where they can be mapped, others at a cache line


def data_file(output: Path, model: Model | None = None) -> Path:
    """Where the external weights of an output lie: named as those of the model that it is made of, where these are
    named as hubs do, 'model.onnx_data' beside 'model.onnx'."""
    path = model.path if model is not None else None
    as_hubs = path is not None and model is not None and f"{path.name}{HUB}" in {one.name for one in model.data_files()}
    return output.with_name(f"{output.name}{HUB if as_hubs else '.data'}")


@dataclass(slots=True)
class _Layout:
    """A data file in the making: what it consists of, each part at its offset."""

    size: int = 0
    parts: list[tuple[int, Any]] = field(default_factory=list)

    def place(self, part: Any, length: int) -> int:
        """The offset of one more part: a FileRange or a tensor."""
        step = PAGE if length >= LARGE else LINE
        offset = -(-self.size // step) * step
        self.parts.append((offset, part))
        self.size = offset + length
        return offset

    def write(self, path: Path) -> None:
        with path.open("wb") as file:
            for offset, part in self.parts:
                file.write(bytes(offset - file.tell()))
                concatenate([part if isinstance(part, FileRange) else part.tobytes()], file.write)


def write_external(model: Model, graph: ir.Model, path: Path) -> None:
    """Write `graph`, an edited copy of `model`, to `path`, and its large initializers beside it. Raises OSError."""
    swaps: list[Swap] = []
    waiting: list[Any] = []
    data = data_file(path, model)
    for holder, key, tensor in tensor_slots(graph):
        outside = isinstance(tensor, ir.ExternalTensor)
        if isinstance(tensor, (InlineTensor, SparseTensor, ir.StringTensor)):
            continue
        if key is not None:  # attributes stay inside the model file
            if outside:
                swaps.append((holder, key, tensor, ir.Tensor(read(tensor), name=tensor.name, dtype=tensor.dtype)))
        elif outside or tensor.nbytes >= INLINE_BYTES:
            swaps.append((holder, key, tensor, reference(tensor, MEMORY, len(waiting), tensor.nbytes)))
            waiting.append(FileRange(str(file_of(tensor)), tensor.offset or 0, tensor.nbytes) if outside else tensor)
    with swapped(graph, swaps):
        skeleton = to_proto(model, graph).SerializeToString()
    home, layout = home_of(model, graph), _Layout()

    def move(tensor: TensorProto, place: dict[str, str], initializer: bool) -> bool:
        location, offset = place.get("location", ""), int(place.get("offset", 0))
        length = int(place.get("length", 0)) or _bytes_of(tensor)
        if location == HERE and (not initializer or length < INLINE_BYTES):
            return False
        if location == MEMORY:
            part = waiting[offset]
        elif location == HERE:
            part = FileRange(home or "", offset, length)
        elif (file := _place(model.home, location)) is not None:
            part = FileRange(str(file), offset, length)
        else:
            return False  # nothing reads it, where it is not even there
        del tensor.external_data[:]
        _say(tensor, location=data.name, offset=str(layout.place(part, length)), length=str(length))
        return True

    moved = relocate(memoryview(skeleton), _on_tensors(move))
    layout.write(data)
    _write(path, fill(moved, HERE, home) if home else [moved])


def copy_external(model: Model, path: Path) -> None:
    """Copy the file of `model` to `path`, and all its data files into the one of `path`. Raises OSError."""
    home, data = model.home, data_file(path, model)
    assert home is not None, "it has no file"
    used = sorted(locations(_mapped(home.model())))
    files = {location: file for location in used if (file := _place(home, location)) is not None}
    if set(files) == {data.name}:
        for source, target in ((home.file, path), (files[data.name], data)):
            copy_file(source, target)
        return
    layout = _Layout()
    bases: dict[Path, int] = {}
    for file in dict.fromkeys(files.values()):
        size = file.stat().st_size
        bases[file] = layout.place(FileRange(str(file), 0, size), size)

    def move(tensor: TensorProto, place: dict[str, str], _: bool) -> bool:
        if place.get("location") not in files:
            return False
        base = bases[files[place["location"]]]
        _say(tensor, location=data.name)
        if len(bases) > 1:
            others = [entry for entry in tensor.external_data if entry.key != "checksum"]  # that of another file
            length = place.get("length") or str(_bytes_of(tensor))
            del tensor.external_data[:]
            tensor.external_data.extend(others)
            _say(tensor, offset=str(int(place.get("offset", 0)) + base), length=length)
        return True

    skeleton = ModelProto.FromString(hollow(_mapped(home.model()), HERE)).SerializeToString()
    moved = relocate(memoryview(skeleton), _on_tensors(move))
    layout.write(data)
    _write(path, fill(moved, HERE, str(home.file)))


def copy_file(source: Path, target: Path) -> None:
    """Copy a file; source: a path without links. Raises OSError."""
    with open_real(source, DATA) as file, target.open("wb") as copy:
        shutil.copyfileobj(file, copy, 1 << 22)


def embedded(path: Path) -> ModelProto:
    """The model at `path` with what lies in other files inside of it. Raises OSError, DecodeError, PlacementError."""
    home = Home.of(path)
    with home.model() as file:
        proto: ModelProto = ModelProto.FromString(file.read())
    for tensor in tensors(bodies(proto)):
        if tensor.data_location == TensorProto.EXTERNAL:
            place = {entry.key: entry.value for entry in tensor.external_data}
            with home.data(place.get("location", "")) as file:
                file.seek(int(place.get("offset", 0)))
                tensor.raw_data = file.read(int(place.get("length", 0)) or _bytes_of(tensor))
            tensor.ClearField("data_location")
            del tensor.external_data[:]
    return proto


def reader_of(data: Path, besides: Path | None) -> Path | None:
    """A model in the folder of `data`, other than `besides`, that has weights in it; None when there is none."""
    for other in sorted(data.absolute().parent.glob("*.onnx")):
        try:
            if besides is not None and besides.exists() and other.samefile(besides):
                continue
            used = locations(_mapped(open_file(other, MODEL)))
            if any((other.parent / location).samefile(data) for location in used if location):
                return other
        except (OSError, ValueError):  # no model, or one whose data is not there
            continue
    return None


def left_in_place(path: Path) -> bytes:
    """The model at `path` as bytes, whose large initializers stay in that file: it is their external data, beside it.

    ONNX Runtime maps external data and copies what is inside of bytes, so that weights are there once instead of three
    times. Raises OSError.
    """
    data = _mapped(open_file(path, MODEL))
    try:
        return hollow(data, path.name, LARGE, INITIALIZERS)
    except WireError:  # ONNX Runtime says what is wrong
        return bytes(data)


def links_followed(model: bytes, folder: Path) -> tuple[bytes, Path]:
    """A model, as bytes, whose external data is found from `folder`, and that folder; links out of it are followed.

    ONNX Runtime follows them for a model that it opens by its path alone. Where no data is a link out of `folder` both
    come back as they are, else the data is named by the place where it really is.
    """
    if b"location" not in model:
        return model, folder
    try:
        whole = ModelProto.FromString(model).SerializeToString()  # what was exposed may have come in two parts
        files = {one: (folder / one).resolve() for one in locations(memoryview(whole)) if one}
    except (DecodeError, OSError, RuntimeError, ValueError, WireError):  # ONNX Runtime says what is wrong
        return model, folder
    if all(file.is_relative_to(folder.resolve()) for file in files.values()):
        return model, folder
    home = Path(os.path.commonpath([file.parent for file in files.values()]))

    def move(tensor: TensorProto, place: dict[str, str], _: bool) -> bool:
        if place.get("location") not in files:
            return False
        _say(tensor, location=files[place["location"]].relative_to(home).as_posix())
        return True

    return relocate(memoryview(whole), _on_tensors(move)), home


def _on_tensors(move: Callable[[TensorProto, dict[str, str], bool], bool]) -> Callable[[bytes, bool], bytes | None]:
    """From a function that changes a TensorProto and says whether it did to what `relocate` asks for."""

    def on_bytes(data: bytes, initializer: bool) -> bytes | None:
        tensor = TensorProto.FromString(data)
        place = {entry.key: entry.value for entry in tensor.external_data}
        return tensor.SerializeToString() if move(tensor, place, initializer) else None

    return on_bytes


def _say(tensor: TensorProto, **entries: str) -> None:
    """Set entries of a tensor's external data, each once."""
    for key, value in entries.items():
        found = [entry for entry in tensor.external_data if entry.key == key] or [tensor.external_data.add(key=key)]
        for entry in found:
            entry.value = value


def _bytes_of(tensor: TensorProto) -> int:
    count = 1
    for size in tensor.dims:
        count *= size
    return -(-count * ir.DataType(tensor.data_type).bitwidth // 8)


def _place(home: Home | None, location: str) -> Path | None:
    """Where a data file really is, None where it is not, or may not be read."""
    try:
        return None if home is None else home.found(location)[0]
    except PlacementError:
        return None


def _mapped(model: BufferedReader) -> memoryview:
    """The bytes of an open file, which is closed. Raises WireError where there are none."""
    with model as file:
        if not os.fstat(file.fileno()).st_size:
            raise WireError("an empty file cannot be mapped")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _write(path: Path, pieces: Sequence[Piece]) -> None:
    with path.open("wb") as file:
        concatenate(pieces, file.write)
