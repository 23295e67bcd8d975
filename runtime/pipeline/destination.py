"""Where a model comes from and where what is made of it goes: files stay files, what came in memory goes back so."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import onnx

from ...ir.given.sources import Program, rewrapped
from ...ir.given.surgeon import SurgeonGraph
from ...ir.io.load import Model, Source, load
from ...ir.io.save import Staged, files_read, refuse_model, save_copy, stage, to_proto
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.staging.folder import temporary_folder

__all__ = ["Destination", "Out", "load_valid", "load_with"]

Out: TypeAlias = "Path | bytes | onnx.ModelProto | ir.Model | Program | SurgeonGraph"


def load_valid(model: Source, custom_ops: Sequence[Path] = ()) -> Model:
    """The model, which something must run; raises ModelError where nothing does."""
    from ..ort.validity import require_valid

    loaded = load(model)
    require_valid(loaded, model, custom_ops)
    return loaded


def load_with(model: Source, custom_ops: Sequence[Path]) -> Model:
    """The model, also one that nothing runs; raises SessionError where a library that it is said to need is none."""
    if custom_ops:
        from ..ort.library import require_libraries

        require_libraries(custom_ops)
    return load(model)


@dataclass(frozen=True, slots=True)
class Destination:
    """source: the model as it was given; loaded: the same, loaded; target: the file to write, None for none."""

    source: Source
    loaded: Model
    target: Path | None
    overwrite: bool

    @staticmethod
    def of(
        source: Source,
        output: str | os.PathLike[str] | None,
        overwrite: bool,
        custom_ops: Sequence[Path],
        read: Sequence[Any] = (),
    ) -> Destination:
        """read: what is read besides; what is no path is passed over.

        Raises ModelError where nothing takes the model, or where it or its data would be written over anything that is
        read, `overwrite` or not, ValueError for a file without an output.
        """
        target = Path(output) if output is not None else None
        if target is not None:
            if isinstance(source, (str, os.PathLike)) and not Path(source).exists():
                load(source)  # which tells that, before what is amiss with the output
            paths = (one for one in (source, *custom_ops, *read) if isinstance(one, (str, os.PathLike)))
            refuse_model(target, [*map(Path, paths)])  # before any of them is loaded
        loaded = load_valid(source, custom_ops)
        if loaded.path is not None and output is None:
            raise ValueError(f"{loaded.path}: a model given as a path needs an output path, where the result goes")
        if target is not None:
            refuse_model(target, files_read(loaded, *custom_ops, *read))
        return Destination(source, loaded, target, overwrite)

    @property
    def original(self) -> Source:
        """The model that came in, by its file where it has one."""
        return self.loaded.path or self.source

    def write(self, changed: ir.Model | None) -> tuple[Path, ...]:
        """Write the changed model, or the original byte for byte; nothing where there is no target."""
        if self.target is None:
            return ()
        if changed is None and self.loaded.path is not None:
            return tuple(save_copy(self.loaded, self.target, self.overwrite))
        with stage(self.loaded, changed or self.loaded.graph.clone(), self.target, self.overwrite) as staged:
            if changed is None and isinstance(self.source, (bytes, onnx.ModelProto)):
                given = self.source
                staged.path.write_bytes(given if isinstance(given, bytes) else given.SerializeToString())
            return tuple(staged.publish())

    def as_given(self, changed: ir.Model | None) -> Out:
        """The result in the form of the source: itself where nothing changed."""
        if changed is None:
            return self.source if not isinstance(self.source, (str, os.PathLike)) else Path(self.source)
        given: Out = rewrapped(self.source, changed, partial(to_proto, self.loaded))
        return given

    @contextmanager
    def staged(self, changed: ir.Model) -> Iterator[Staged]:
        """The changed model beside its target, or in a temporary folder when it only goes back to the caller."""
        if self.target is not None:
            with stage(self.loaded, changed, self.target, self.overwrite) as staged:
                del changed
                yield staged
            return
        with (
            temporary_folder() as folder,
            stage(self.loaded, changed.clone(), folder / "changed.onnx") as staged,
        ):
            yield staged
