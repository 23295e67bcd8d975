"""A folder of parts as a repository of models that NVIDIA's Triton Inference Server loads.

    OUT/m/config.pbtxt          the ensemble: steps, and tensors between them; clients ask this one
        m.take/1/model.onnx     index work: what each part reads
        m.part0/1/part0.onnx    a part, as it lies in the folder; instances and batches of its own
        m.join/1/model.onnx     index work: the outputs of what parts made

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ...ir.errors import ScissionError, option
from ...ir.onnx_ir import onnx_ir as ir
from ...ir.parts.manifest import Manifest, PartFile, PartValue
from ...ir.staging.folder import temporary_folder
from ..fields import chosen
from ..http.datatypes import name_of
from ..serve.folder import read_manifest, require_files
from .ensemble import Assembly, AssemblyModel, ensemble
from .options import TritonOptions

__all__ = ["ExportError", "cleaned", "export_triton"]

CONFIG = "config.pbtxt"
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}", re.ASCII)
STRING = "STRING"  # what Triton's configuration calls the protocol's BYTES


class ExportError(ScissionError):
    """Parts that another server cannot take, or a folder that cannot be written."""


def export_triton(
    folder: str | os.PathLike[str], output: str | os.PathLike[str], options: TritonOptions | None = None
) -> Path:
    """Write the parts in `folder` to `output` as a repository of models for Triton; returns that.

    options: name, batches and instances. `output` appears whole or not at all, and must not be there before. Raises
    ManifestError where `folder` is no folder of parts, ExportError where Triton cannot take them or the disk refuses.
    """
    source, target, wished = Path(folder), Path(output), chosen(TritonOptions, options, {})
    manifest = read_manifest(source)
    name = wished.name or cleaned(manifest.name)
    if not NAME.fullmatch(name):
        raise ExportError(f"{name!r} is no name of a model in Triton; give another with ", option("name"))
    made = ensemble(manifest, name)
    texts = {one.name: _config(one, wished) for one in made.models} | {name: _steps(name, manifest, made, wished)}
    if len(texts) <= len(made.models):
        raise ExportError(f"{name!r} is what one of its parts is called; give another with ", option("name"))
    if os.path.lexists(target):
        raise ExportError(f"{target}: exists already; choose another output")
    try:
        with temporary_folder(beside=target) as staging:
            _write(source, staging / "models", made, texts)
            (staging / "models").rename(target)
    except OSError as error:
        raise ExportError(f"{target}: {error.strerror or error}; nothing was written") from error
    return target


def _write(source: Path, place: Path, made: Assembly, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        (place / name / "1").mkdir(parents=True)
        (place / name / CONFIG).write_text(text, encoding="ascii")
    for model in made.models:
        version = place / model.name / "1"
        if model.graph is not None:
            (version / "model.onnx").write_bytes(ir.to_proto(model.graph).SerializeToString())
        if model.part is not None:
            require_files(source, model.part)
            for file in model.part.files:
                shutil.copyfile(source / file, version / file, follow_symlinks=False)
            require_files(version, model.part)  # a file that was changed while it was copied


def _config(model: AssemblyModel, options: TritonOptions) -> str:
    """The configuration of one model."""
    lines = [f"name: {_quoted(model.name)}", 'backend: "onnxruntime"']
    if isinstance(model.part, PartFile):
        lines.append(f"default_model_filename: {_quoted(model.part.model)}")
    lines += _interface(model.name, model.inputs, model.outputs, options.batch)
    count = options.instances if model.part else 1
    lines.append(f"instance_group [ {{ count: {count} kind: KIND_{options.kind.upper()} }} ]")
    if options.batch and model.part:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"


def _steps(name: str, manifest: Manifest, made: Assembly, options: TritonOptions) -> str:
    """The configuration of the ensemble."""
    lines = [f"name: {_quoted(name)}", 'platform: "ensemble"']
    lines += _interface(name, manifest.inputs, manifest.outputs, options.batch)
    lines.append("ensemble_scheduling {")
    for step in made.steps:
        lines += ["  step {", f"    model_name: {_quoted(step.model)}", "    model_version: -1"]
        for field, tensors in (("input_map", step.reads), ("output_map", step.writes)):
            lines += [
                f"    {field} {{ key: {_quoted(own)} value: {_quoted(tensor)} }}" for own, tensor in tensors.items()
            ]
        lines.append("  }")
    return "\n".join([*lines, "}"]) + "\n"


def _interface(model: str, inputs: Sequence[PartValue], outputs: Sequence[PartValue], batch: int) -> Iterator[str]:
    yield f"max_batch_size: {batch}"
    for field, values in (("input", inputs), ("output", outputs)):
        for value in values:
            kind, dims = _kind(model, value), _dims(model, value, batch)
            yield f"{field} {{ name: {_quoted(value.name)} data_type: {kind} {dims} }}"


def _kind(model: str, value: PartValue) -> str:
    known = name_of(value.dtype)
    if known is None:
        raise ExportError(f"{model}: Triton has no type for {value.name!r}, which is {value.dtype}")
    return f"TYPE_{STRING if known == 'BYTES' else known}"


def _dims(model: str, value: PartValue, batch: int) -> str:
    if value.shape is None:
        raise ExportError(f"{model}: not even the rank of {value.name!r} is known, and Triton must be told")
    shape = value.shape
    if batch:
        if not shape or isinstance(shape[0], int):
            raise ExportError(
                f"{model}: the first extent of {value.name!r} is not open, so nothing can be batched; leave out ",
                option("batch"),
            )
        shape = shape[1:]
    sizes = [extent if isinstance(extent, int) and extent > 0 else -1 for extent in shape]
    if not sizes:
        return "dims: [ 1 ] reshape { shape: [ ] }"
    return f"dims: [ {', '.join(map(str, sizes))} ]"


def _quoted(text: str) -> str:
    """A text as protobuf writes it: every byte that is no plain letter as three octal digits.

    >>> _quoted('a"b')
    '"a\\\\042b"'
    """
    plain = set(b" !#$%&'()*+,-./:;<=>?@[]^_`{|}~") | set(range(48, 58)) | set(range(65, 91)) | set(range(97, 123))
    told = text.encode("utf-8", "surrogatepass")
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in told) + '"'


def cleaned(name: str) -> str:
    """A model's file as the name of a model."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name.removesuffix(".onnx")).lstrip(".-") or "model"
