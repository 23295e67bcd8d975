"""Save ONNX models: whole or not at all, weights streamed from where they lie."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError, option
from ..onnx_ir import onnx_ir as ir
from ..phase import phase
from ..staging.folder import sweep, temporary_folder
from ..staging.place import Move, place
from ..wire.wire import HERE, concatenate, fill
from .external import HUB, copy_external, copy_file, data_file, reader_of, write_external
from .load import Model, load
from .serial import home_of, to_proto
from .tensors import constant_tensors

__all__ = [
    *("Staged", "files_read", "refuse_model", "refuse_output", "save", "save_copy", "stage", "stage_copy"),
    "to_proto",
]

PROTOBUF_LIMIT = (1 << 31) - (1 << 20)  # bytes in one protobuf file, with some room for the graph


def inline_bytes(graph: ir.Model) -> int:
    """Bytes of all constant tensors, what a single file would have to hold."""
    return sum(tensor.nbytes for tensor in constant_tensors(graph))


@dataclass(frozen=True, slots=True)
class Staged:
    """Files that are complete but not yet in their place: `path` can be opened, `publish` makes them real.

    overwrite: whether they may replace files that are there.
    """

    path: Path
    targets: tuple[Path, ...]
    overwrite: bool

    def publish(self) -> list[Path]:
        """Move the files into place, the model last; when a move fails, what stood there before stands there again.

        Raises ModelError where a place has been taken meanwhile and nothing is to be replaced.
        """
        folder = self.targets[0].absolute().parent
        staged = {target: self.path.parent / target.absolute().relative_to(folder) for target in self.targets}
        written = [target for target in self.targets if staged[target].exists()]
        # 'w.bin' and 'sub/../w.bin' are one file, moved once
        moves = {os.path.realpath(staged[target]): Move(staged[target], target) for target in reversed(written)}
        for target in written:
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            place([*moves.values()], self.path.parent, self.overwrite)
        except FileExistsError as error:
            raise taken(error.filename) from None
        return written


@contextmanager
def stage(model: Model, graph: ir.Model, path: Path, overwrite: bool = False) -> Iterator[Staged]:
    """Write `graph`, an edited copy of `model`, beside `path` for as long as the context lasts.

    Weights go into the file itself, or into `<name>.data`, which is this output's alone, when the source had external
    data or when they pass the 2 GiB that protobuf allows. Raises ModelError when a target exists already and
    `overwrite` is false, when it is one of the inputs or holds the weights of another model, or when the disk refuses;
    nothing is left behind then.
    """
    external = model.external or inline_bytes(graph) > PROTOBUF_LIMIT
    with _staging(model, (path, data_file(path, model)) if external else (path,), overwrite) as staged:
        with phase("write"):
            if external:
                write_external(model, graph, staged.path)
            else:
                _write_inline(model, graph, staged.path)
        del graph  # its weights need not lie in memory as well as in the file
        yield staged


@contextmanager
def stage_copy(model: Model, path: Path, overwrite: bool = False) -> Iterator[Staged]:
    """The same for the file of `model` itself: byte for byte, but that external data lies in `<name>.data` of its own.

    A data file of that name beside the source is copied byte for byte as well, and then so is the model; one with
    sparse tensors in other files is written with these inside of it.
    """
    assert model.home is not None, "only a model that came from a file can be copied"
    if model.embedded:  # in its file these are elsewhere
        with stage(model, model.graph, path, overwrite) as staged:
            yield staged
        return
    with _staging(model, (path, data_file(path, model)) if model.external else (path,), overwrite) as staged:
        if model.external:
            copy_external(model, staged.path)
        else:
            copy_file(model.home.file, staged.path)
        yield staged


@contextmanager
def _staging(model: Model, targets: tuple[Path, ...], overwrite: bool) -> Iterator[Staged]:
    path = targets[0]
    _refuse_conflicts(model, targets, overwrite)
    try:
        with temporary_folder(beside=path) as folder:
            yield Staged(folder / path.name, targets, overwrite)
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}; nothing was written") from None


def save(model: Model, graph: ir.Model, path: Path, overwrite: bool = False) -> list[Path]:
    """Write `graph`, an edited copy of `model`, to `path`, whole or not at all; returns the files. See `stage`."""
    with stage(model, graph, path, overwrite) as staged:
        return staged.publish()


def save_copy(model: Model, path: Path, overwrite: bool = False) -> list[Path]:
    """Copy the file of `model` to `path`, with its data; returns the files. See `stage_copy`."""
    with stage_copy(model, path, overwrite) as staged:
        return staged.publish()


def _write_inline(model: Model, graph: ir.Model, path: Path) -> None:
    skeleton = to_proto(model, graph).SerializeToString()
    home = home_of(model, graph)
    pieces = fill(skeleton, HERE, home) if home else [skeleton]
    with path.open("wb") as file:
        concatenate(pieces, file.write)


def _refuse_conflicts(model: Model, targets: Sequence[Path], overwrite: bool) -> None:
    read = files_read(model)
    for target in targets:
        refuse_output(target, read, overwrite, targets[0])


def files_read(*given: Any) -> list[Path]:
    """The files among what somebody is given to read: paths, and models with all their data.

    A model is one that is loaded, or the path of an .onnx file. Raises ModelError where such a file is none.
    """
    files: list[Path] = []
    for one in given:
        if isinstance(one, (str, os.PathLike)):
            path = Path(one)
            files += [path, *(load(path).data_files() if path.suffix.lower() == ".onnx" else ())]
        elif isinstance(one, Model):
            files += [*([one.path] if one.path is not None else ()), *one.data_files()]
    return files


def refuse_model(output: Path, read: Sequence[Path]) -> None:
    """Raise ModelError where a model or its data would be written over what is read, whether or not it is there."""
    for path in (output, data_file(output), output.with_name(f"{output.name}{HUB}")):
        refuse_output(path, read, True, output)


def refuse_output(target: Path, read: Sequence[Path], overwrite: bool, model: Path | None = None) -> None:
    """Raise ModelError when `target` must not be written: a file that is read, by whatever name, the weights of a model
    other than the output `model`, a link or no regular file, there already, out of reach."""
    try:
        if not target.absolute().parent.is_dir():
            raise ModelError(f"{target}: its folder does not exist; create it first")
        if os.path.lexists(target):
            sweep(os.fspath(target.absolute().parent))  # what a killed process placed of its output is none
        if not os.path.lexists(target):
            return
        if target.exists() and any(target.samefile(source) for source in read if source.exists()):
            raise ModelError(f"{target}: is the input itself, which is never written to; choose another output")
        if target.is_dir():
            raise ModelError(f"{target}: is a folder; give a file name for the output")
        if target.exists() and not target.is_file():
            raise ModelError(f"{target}: is a device or a pipe, not a file; choose another output")
        if target.is_symlink():  # replaced it would be no link any more, and what it leads to would stay as it is
            raise ModelError(f"{target}: is a link; give the path of the file itself")
        reader = reader_of(target, model)
    except OSError as error:
        raise ModelError(f"{target}: {error.strerror or error}; choose another output") from None
    if reader is not None:
        raise ModelError(f"{target}: holds the weights of {reader.name}; choose another output")
    if not overwrite:
        raise taken(target)


def taken(target: str | Path) -> ModelError:
    """The error for an output that is there already."""
    return ModelError(f"{target}: exists already; choose another output or add ", option("overwrite", True))
