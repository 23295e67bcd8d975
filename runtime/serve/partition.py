"""Cut a model into parts that run by themselves, prove that they compute the same, and write them to a folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...ir.brief import brief
from ...ir.errors import ScissionError
from ...ir.graph.shapes import shape_of
from ...ir.graph.sizes import extent
from ...ir.io.load import Model, Source
from ...ir.io.save import files_read, stage
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.parts.digest import digest_of
from ...ir.parts.manifest import FILE, Manifest, PartFile, PartValue
from ...ir.parts.share import ManifestError
from ...ir.phase import phase
from ...ir.progress import Progress
from ...ir.reason import Reason
from ...passes.partition.find import SubModel, find
from ...passes.rewrite.parts.narrowed import narrowed
from ..ort.opened import as_file
from ..ort.trials import Trials, trials_of
from ..ort.validity import require_valid
from .check import check_folder
from .folder import original_digest, publish, refuse_folder, staged_folder

if TYPE_CHECKING:
    from ..compare.verdict import Verdict

__all__ = ["PartitionError", "Partitioned", "partition"]


class PartitionError(ScissionError):
    """A model that is not cut, and why: nothing in it is independent, or its parts did not compute the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitioned:
    """A model that was cut: the folder that was written, its manifest, and what was checked."""

    folder: Path
    manifest: Manifest
    verdict: Verdict

    __repr__ = brief

    def to_dict(self) -> dict[str, Any]:
        """For JSON; the manifest as its file has it."""
        return {"folder": str(self.folder), "check": self.verdict.to_dict(), "manifest": self.manifest.to_dict()}


def partition(
    model: Source,
    output: str | os.PathLike[str],
    *,
    trials: Trials | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Partitioned:
    """Cut a model into the parts that share no product, and write them to the folder `output`, whole or not at all.

    Put together the parts are run beside the model before anything is in its place. trials: how they are run;
    overwrite: replace a folder of parts that is there; progress: called with (done, total, what). Raises PartitionError
    where nothing is independent or the outputs differ, ManifestError where the folder cannot be written, ModelError
    when nothing takes the model, and SessionError, InputError or OptionError as `check` does.
    """
    trials, folder = trials_of(trials), Path(output)
    refuse_folder(folder, [Path(model)] if isinstance(model, (str, os.PathLike)) else [], overwrite)
    with as_file(model, "original") as (path, source):
        require_valid(source, path, trials.custom_ops)
        read = files_read(source)
        refuse_folder(folder, read, overwrite)
        with phase("cut"):
            found = find(source.graph)
        if isinstance(found, Reason):
            raise PartitionError(f"{source.name}: nothing in it is independent: {found}; nothing was written")
        with staged_folder(folder) as made:
            manifest = _written(source, found, made, original_digest(read), progress)
            verdict = check_folder(made, path, trials=trials, progress=progress)
            if not verdict.equal:
                raise PartitionError(
                    f"{source.name}: its parts compute something else: {verdict.reason}; nothing was written"
                )
            publish(made, folder, manifest)
    return Partitioned(folder=folder, manifest=manifest, verdict=verdict)


def _written(
    source: Model, found: Sequence[SubModel], folder: Path, original: str, progress: Progress | None
) -> Manifest:
    """The files of a folder; raises OSError."""
    parts = []
    digits = len(str(len(found) - 1))
    for index, one in enumerate(found):
        name = f"part{index:0{digits}}"
        if progress:
            progress(index, len(found), name)
        with stage(source, narrowed(one.whole, one.needed, name), folder / f"{name}.onnx") as staged:
            written = staged.publish()
        files = {path.name: digest_of([path]) for path in sorted(written, key=lambda path: path.suffix != ".onnx")}
        size = sum(path.stat().st_size for path in written)
        shares: dict[str, Any] = {"reads": one.reads, "writes": one.writes, "rows": one.rows}
        parts.append(PartFile(name=name, files=files, macs=one.macs, bytes_=size, **shares))
    graph = source.graph.graph
    manifest = Manifest(
        name=Path(source.name).name,
        original=original,
        inputs=tuple(_value(value) for value in graph.inputs if value.const_value is None),
        outputs=tuple(map(_value, graph.outputs)),
        between=(),
        parts=tuple(parts),
    )
    (folder / FILE).write_text(manifest.dumps(), encoding="utf-8")
    return manifest


def _value(value: ir.Value) -> PartValue:
    if not isinstance(value.type, ir.TensorType):
        raise ManifestError(f"{value.name!r} is no tensor")
    shape = shape_of(value)
    kind = value.type.dtype
    name = "string" if kind == ir.DataType.STRING else np.dtype(kind.numpy()).name
    return PartValue(value.name or "", name, None if shape is None else tuple(map(extent, shape)))
