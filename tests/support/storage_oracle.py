"""What can go wrong when a model is written, found by comparing files and what they compute."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import onnx
from every_field import everything
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet
from onnx import numpy_helper
from random_models import Sample, sample
from scramble import scramble

import scission
from scission.ir.io.load import load
from scission.ir.io.save import save, save_copy
from scission.ir.io.tensors import read, tensor_slots
from scission.runtime.ort.library import onnxruntime

ACTIONS = ("split", "copy", "rewrite")


def problems(seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """(kind, what is wrong): 'wrong', 'refused', 'lost', 'files'; of one random model, written twice to one folder."""
    rng = Random(seed)
    (folder / "in").mkdir()
    made = sample(rng, folder / "in")
    before = _files(folder)
    outputs = folder / rng.choice(["in", "out"])
    outputs.mkdir(exist_ok=True)
    try:
        expected = _run(made.path, made)
    except Exception as error:
        yield "invalid", f"{made.recipe}: {str(error)[:200]}"
        return
    written: dict[str, dict[str, bytes]] = {}
    for name in ("out.onnx", "other.onnx"):
        action = rng.choice(ACTIONS)
        target, label = outputs / name, f"{made.recipe}, {action}"
        try:
            _write(made.path, target, action)
        except scission.ScissionError as error:
            if "is the input itself" not in str(error) and "holds the weights of in.onnx" not in str(error):
                yield "refused", f"{label}: {error}"
            continue
        try:
            found = _run(target, made)
            allowed = (4e-3 if "FLOAT16" in made.recipe else 1e-5) * np.abs(expected).max()
            if found.shape != expected.shape or not np.allclose(found, expected, rtol=0, atol=allowed):
                yield "wrong", f"{label}: off by {np.abs(found - expected).max()} of {np.abs(expected).max()}"
        except Exception as error:
            yield "wrong", f"{label}: {str(error)[:200]}"
        for lost in _lost(made.path, target, whole=action != "split"):
            yield "lost", f"{label}: {lost}"
        written[name] = {path.name: path.read_bytes() for path in (target, Path(f"{target}.data")) if path.exists()}
    after = _files(folder)
    for path, data in before.items():
        if after.get(path) != data:
            yield "files", f"{made.recipe}: {path} was changed"
    for files in written.values():
        for name, data in files.items():
            if (outputs / name).read_bytes() != data:
                yield "files", f"{made.recipe}: {name} was changed by another output"
    expected_names = {str((outputs / name).relative_to(folder)) for files in written.values() for name in files}
    for path in after.keys() - before.keys() - expected_names:
        yield "files", f"{made.recipe}: {path} is left behind"


def _write(source: Path, target: Path, action: str) -> None:
    """Split whatever splits, copy what is not to be split, or write the model again with nothing edited."""
    if action == "split":
        scission.apply(source, scission.plan(source, force=True, threads=1, provider="cpu", device="cpu"), target)
        return
    loaded = load(source)
    save_copy(loaded, target) if action == "copy" else save(loaded, loaded.graph.clone(), target)


def round_trip_problems(seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """The same of a model with every optional field, in any spelling; nothing runs it."""
    rng = Random(seed)
    proto = everything(rng)
    source, target = folder / "every.onnx", folder / "out.onnx"
    source.write_bytes(scramble(proto, rng))
    whole = onnx.load(source, load_external_data=False)
    loaded = load(source)
    save(loaded, loaded.graph.clone(), target)
    back = onnx.load(target, load_external_data=False)
    if back.SerializeToString(deterministic=True) != whole.SerializeToString(deterministic=True):
        yield "lost", f"every field, seed {seed}: another model"
    named = {holder.name: tensor for holder, key, tensor in tensor_slots(loaded.graph) if key is None}
    for tensor in proto.graph.initializer:
        tensor.ClearField("segment")
        array = numpy_helper.to_array(tensor)
        if tensor.data_type != onnx.TensorProto.STRING and read(named[tensor.name]).tobytes() != array.tobytes():
            yield "wrong", f"every field, seed {seed}: {tensor.name} is read as something else"


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _run(path: Path, made: Sample) -> np.ndarray:
    options = onnxruntime().SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime().GraphOptimizationLevel.ORT_DISABLE_ALL  # some round activations
    options.intra_op_num_threads = 1
    session = onnxruntime().InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, made.feeds)[0], np.float64)


def _lost(source: Path, target: Path, whole: bool) -> Iterator[str]:
    """Whatever the source says of the model, of its interface, and of the nodes and weights that are still there."""
    before, after = (onnx.load(path) for path in (source, target))
    for name in ("ir_version", "producer_name", "producer_version", "domain", "model_version", "doc_string"):
        if getattr(before, name) != getattr(after, name):
            yield name
    for name in ("training_info", "configuration", "opset_import"):
        if list(getattr(before, name)) != list(getattr(after, name)):
            yield name
    if list(before.metadata_props) != [entry for entry in after.metadata_props if not entry.key.startswith("scission")]:
        yield "metadata_props"
    yield from _lost_in(before.graph, after.graph, "graph", whole)
    functions = {function.name: function for function in after.functions}
    for function in before.functions:
        if whole or function.name in functions:
            yield from _lost_in(function, functions[function.name], f"function {function.name}", whole)
    if _unknown(before) != _unknown(after):
        yield "unknown fields of the model"


def _lost_in(before: Message, after: Message, where: str, whole: bool) -> Iterator[str]:
    for name in ("name", "doc_string", "input", "output", "quantization_annotation"):
        if name in before.DESCRIPTOR.fields_by_name and _plain(getattr(before, name)) != _plain(getattr(after, name)):
            yield f"{where}: {name}"
    if [*before.metadata_props] != [entry for entry in after.metadata_props if not entry.key.startswith("scission")]:
        yield f"{where}: metadata_props"
    if _unknown(before) != _unknown(after):
        yield f"{where}: unknown fields"
    for field in ("node", "initializer", "sparse_initializer", "value_info"):
        if field not in before.DESCRIPTOR.fields_by_name:
            continue
        there = {_key(field, element): element for element in getattr(after, field)}
        for element in getattr(before, field):
            other = there.get(_key(field, element))
            if other is None:
                if whole or (field == "value_info" and element.name == "nowhere"):
                    yield f"{where}: {field} {_key(field, element)} is gone"
                continue
            if field == "node" and element.op_type in ("If", "Loop"):
                for one, two in zip(element.attribute, other.attribute, strict=True):
                    yield from _lost_in(one.g, two.g, f"{where}/{element.name}", whole)
                continue
            if not whole and _is_edited(field, element, other):
                continue
            if not _same(element, other):
                yield f"{where}: {field} {_key(field, element)}"


def _is_edited(field: str, before: Message, after: Message) -> bool:
    """Whether a split meant it: the features of a node that remains may come in another order."""
    if field == "node":
        return list(before.input) != list(after.input)  # type: ignore[attr-defined]
    return field == "initializer" and _values(before) != _values(after)


def _values(tensor: Message) -> bytes:
    return numpy_helper.to_array(tensor).tobytes()  # type: ignore[arg-type]


def _key(field: str, element: Message) -> str:
    if field == "node":
        return f"{element.op_type} {element.name} {list(element.output)}"  # type: ignore[attr-defined]
    if field == "sparse_initializer":
        return str(element.values.name)  # type: ignore[attr-defined]
    return str(element.name)  # type: ignore[attr-defined]


def _same(before: Message, after: Message) -> bool:
    """Whether two elements say the same, unknown fields included, wherever the data of tensors lies."""
    return _canonical(before) == _canonical(after)


def _canonical(message: Message) -> bytes:
    copy = type(message)()
    copy.CopyFrom(message)
    for tensor in _tensors(copy):
        tensor.ClearField("data_location")  # `onnx.load` says that it read it
        tensor.ClearField("external_data")
        if tensor.data_type != onnx.TensorProto.STRING:
            tensor.raw_data = numpy_helper.to_array(tensor).tobytes()  # however its values are spelt
        for field in ("float_data", "double_data", "int32_data", "int64_data", "uint64_data"):
            tensor.ClearField(field)
    return copy.SerializeToString(deterministic=True)


def _tensors(message: Message) -> Iterator[onnx.TensorProto]:
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                yield from _tensors(inner)


def _plain(value: object) -> object:
    return value if isinstance(value, str) else list(value)  # type: ignore[call-overload]


def _unknown(message: Message) -> int:
    return len(UnknownFieldSet(message))
