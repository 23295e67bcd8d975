"""Cut a model into parts that run by themselves, prove that they compute the same, and write them to a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
from ...ir.parts.activation import FILE as ACTIVATION
from ...ir.parts.activation import Activation
from ...ir.parts.digest import digest_of
from ...ir.parts.manifest import FILE, Manifest, PartFile, PartValue
from ...ir.parts.share import ManifestError
from ...ir.phase import phase
from ...ir.progress import Progress
from ...ir.reason import Reason
from ...passes.partition.find import SubModel
from ...passes.partition.grouping import grouped
from ...passes.rewrite.parts.joined import PartModel, joined, union
from ...passes.rewrite.parts.layers import Layered, layered
from ...passes.rewrite.parts.narrowed import narrowed
from ...passes.rewrite.parts.shards import Shard, Sharded, sharded
from ..fields import chosen, keywords
from ..ort.library import SessionError
from ..ort.opened import as_file
from ..ort.trials import Trials, trials_of
from ..ort.validity import require_valid
from .check import check_folder
from .count import counted, require_unheeded, samples_of
from .folder import original_digest, publish, refuse_folder, staged_folder
from .options import PartitionOptions

if TYPE_CHECKING:
    from ..calibrate.dataset import Labelled
    from ..compare.verdict import Verdict

__all__ = ["PartitionError", "Partitioned", "partition"]


NO_SHA256 = "0" * 64  # of a file that is not written


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


@keywords(PartitionOptions)
def partition(
    model: Source,
    output: str | os.PathLike[str],
    options: PartitionOptions | None = None,
    *,
    trials: Trials | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **keywords: Any,
) -> Partitioned:
    """Cut a model into the parts that share no product, and write them to the folder `output`, whole or not at all.

    Put together the parts are run beside the model before anything is in its place. options: how many parts there are
    to be, and data that tell which of them are activated, also by keyword; trials: how they are run; overwrite: replace
    a folder of parts that is there; progress: called with (done, total, what). Raises PartitionError where nothing is
    independent or the outputs differ, ManifestError where the folder cannot be written, ModelError when nothing takes
    the model, LabelledError for data that do not suit it, and SessionError, InputError or OptionError as `check` does.
    """
    trials, folder = trials_of(trials), Path(output)
    wished = chosen(PartitionOptions, options, keywords)
    refuse_folder(folder, [Path(model)] if isinstance(model, (str, os.PathLike)) else [], overwrite)
    with as_file(model, "original") as (path, source):
        require_valid(source, path, trials.custom_ops)
        read = files_read(source)
        refuse_folder(folder, read, overwrite)
        with phase("cut"):
            found = _cut(source.graph, wished)
        if isinstance(found, Reason):
            what = "nothing in it is independent" if wished.shards is None else "it is not cut into shards"
            raise PartitionError(f"{source.name}: {what}: {found}; nothing was written")
        work = _Cutting(source, original_digest(read), wished, found.between)
        with staged_folder(folder) as made:
            manifest = work.written(work.bundles(found.layers), made, progress)
            try:
                verdict = check_folder(made, path, trials=trials, progress=progress)
            except SessionError as error:
                if str(made) not in str(error):
                    raise
                why = str(error).replace(f"{made}{os.sep}", "")  # which is gone when it is read
                raise PartitionError(f"{source.name}: its parts do not run: {why}; nothing was written") from error
            if not verdict.equal:
                raise PartitionError(
                    f"{source.name}: its parts compute something else: {verdict.reason}; nothing was written"
                )
            publish(made, folder, manifest)
    return Partitioned(folder=folder, manifest=manifest, verdict=verdict)


def _cut(model: ir.Model, options: PartitionOptions) -> Layered | Sharded | Reason:
    return layered(model) if options.shards is None else sharded(model, options.shards)


@dataclass(frozen=True, slots=True)
class _Bundle:
    """Parts that go to one file."""

    members: tuple[SubModel | Shard, ...]

    @property
    def told(self) -> dict[str, Any]:
        """What the manifest tells of them."""
        reads = union([share for one in self.members for share in one.reads])
        rows = {name for one in self.members for name in one.rows}
        mixed = {share.value for one in self.members for share in one.reads if share.value not in one.rows}
        all_have = all(one.rows for one in self.members) and not rows & mixed
        return {
            "reads": reads,
            "writes": union([share for one in self.members for share in one.writes]),
            "rows": tuple(share.value for share in reads if share.value in rows) if all_have else (),
            "macs": sum(one.macs for one in self.members),
        }

    def model(self, name: str) -> ir.Model:
        """One model of all of them."""
        models = [
            one.model(name) if isinstance(one, Shard) else narrowed(one.whole, one.needed, name) for one in self.members
        ]
        if len(models) == 1:
            return models[0]
        parts = [PartModel(model, one.reads, one.writes) for model, one in zip(models, self.members, strict=True)]
        return joined(parts, name)


@dataclass(frozen=True, slots=True)
class _Cutting:
    """One model that is cut; original: the SHA-256 of its files; between: what layers hand to others."""

    source: Model
    original: str
    options: PartitionOptions
    between: tuple[ir.Value, ...]

    def bundles(self, layers: Sequence[Sequence[SubModel | Shard]]) -> list[_Bundle]:
        """The parts by the files that they go to."""
        single = [_Bundle((one,)) for layer in layers for one in layer]
        if self.options.parts is None or self.options.parts >= max(map(len, layers)):
            return single
        loads: Sequence[float] = [one.macs for bundle in single for one in bundle.members]
        together: Mapping[tuple[int, int], int] = {}
        if self.options.data is not None:
            files = [{"files": {f"{index}.onnx": NO_SHA256}, "bytes_": 0} for index in range(len(single))]
            activation = self.counted(self.manifest(single, files))
            loads, together = activation.load, activation.together
        made, start = [], 0
        for layer in layers:
            end = start + len(layer)
            own = {(a - start, b - start): rows for (a, b), rows in together.items() if start <= a and b < end}
            for group in grouped(loads[start:end], self.options.parts, own or None):
                made.append(_Bundle(tuple(layer[at] for at in group)))
            start = end
        return made

    def manifest(self, bundles: Sequence[_Bundle], files: Sequence[Mapping[str, Any]]) -> Manifest:
        """The manifest of parts, of each of which the files and their size are told."""
        graph, digits = self.source.graph.graph, len(str(len(bundles) - 1))
        parts = [
            PartFile(name=f"part{index:0{digits}}", **bundle.told, **own)
            for index, (bundle, own) in enumerate(zip(bundles, files, strict=True))
        ]
        return Manifest(
            name=Path(self.source.name).name,
            original=self.original,
            inputs=tuple(_value(value) for value in graph.inputs if value.const_value is None),
            outputs=tuple(map(_value, graph.outputs)),
            between=tuple(map(_value, self.between)),
            parts=tuple(parts),
        )

    def counted(self, manifest: Manifest) -> Activation:
        """What the data activate."""
        return counted(manifest, self.samples(manifest), self.options.off or {})

    def samples(self, manifest: Manifest) -> Labelled:
        """The data."""
        assert self.options.data is not None
        return samples_of(manifest, self.options.data)

    def written(self, bundles: Sequence[_Bundle], folder: Path, progress: Progress | None) -> Manifest:
        """The files of a folder; raises OSError."""
        files = []
        digits = len(str(len(bundles) - 1))
        for index, bundle in enumerate(bundles):
            name = f"part{index:0{digits}}"
            if progress:
                progress(index, len(bundles), name)
            with stage(self.source, bundle.model(name), folder / f"{name}.onnx") as staged:
                written = staged.publish()
            hashes = {path.name: digest_of([path]) for path in sorted(written, key=lambda path: path.suffix != ".onnx")}
            files.append({"files": hashes, "bytes_": sum(path.stat().st_size for path in written)})
        manifest = self.manifest(bundles, files)
        (folder / FILE).write_text(manifest.dumps(), encoding="utf-8")
        if self.options.data is not None:
            activation = self.counted(manifest)
            require_unheeded(folder, activation, self.samples(manifest))
            (folder / ACTIVATION).write_text(activation.dumps(), encoding="utf-8")
        return manifest


def _value(value: ir.Value) -> PartValue:
    if not isinstance(value.type, ir.TensorType):
        raise ManifestError(f"{value.name!r} is no tensor")
    shape = shape_of(value)
    kind = value.type.dtype
    name = "string" if kind == ir.DataType.STRING else np.dtype(kind.numpy()).name
    return PartValue(value.name or "", name, None if shape is None else tuple(map(extent, shape)))
