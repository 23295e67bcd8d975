"""Random valid models: every storage form of a weight, every place it can be in, every type, every optional field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import Message
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from scramble import varint

K = N = 48
PARTS = 4
STORAGE = ("raw", "typed", "default", "external", "offset", "own file", "sparse")
PLACES = ("initializer", "constant", "branch", "function", "loop")
FLOATS = (T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16)
QUANTISED = (T.INT8, T.UINT8, T.INT4, T.UINT4, T.FLOAT8E4M3FN, T.FLOAT8E5M2)
UNKNOWN = 4001  # of which no message of ONNX has a field


@dataclass(frozen=True, slots=True)
class Sample:
    """A model in a file, with what it was made of, and inputs for it."""

    path: Path
    recipe: str
    feeds: dict[str, npt.NDArray[np.generic]]


def sample(rng: Random, folder: Path) -> Sample:
    """One random model in `folder`, its data files beside it: a product whose weight has blocks, and a dense one."""
    kind = rng.choice(FLOATS + QUANTISED)
    place = rng.choice(PLACES)
    storage = rng.choice(STORAGE)
    if kind in QUANTISED and storage == "sparse":
        storage = "raw"  # ONNX Runtime has no kernel for others
    if kind in (T.BFLOAT16, T.FLOAT16) and storage == "sparse":
        storage = "typed"
    values = np.random.default_rng(rng.randrange(1 << 32))
    blocks = rng.random() < 0.8
    weight = _weight(values, blocks)
    writer = _Writer(rng, folder, storage)
    build = _in(place)
    nodes, initializers, sparse, functions = build(writer, weight, kind)
    proto = _model(rng, nodes, initializers, sparse, functions, place)
    _dense_neighbour(writer, proto, values, rng)
    _annotate(proto, rng)
    path = folder / "in.onnx"
    path.write_bytes(proto.SerializeToString())
    feeds: dict[str, npt.NDArray[np.generic]] = {"x": values.standard_normal((3, K)).astype(np.float32)}
    if place == "branch":
        feeds["c"] = np.array(rng.random() < 0.5)
    recipe = f"{T.DataType.Name(kind)} {storage} {place} {'blocks' if blocks else 'dense'}"
    return Sample(path, recipe, feeds)


def _weight(values: np.random.Generator, blocks: bool) -> npt.NDArray[np.float32]:
    """Small integers, which every type holds exactly: what a model computes tells which weights it read."""
    dense = values.integers(1, 7, (K, N)).astype(np.float32)
    if not blocks:
        return dense
    mask = np.kron(np.eye(PARTS), np.ones((K // PARTS, N // PARTS))).astype(np.float32)
    return (dense * mask)[values.permutation(K)][:, values.permutation(N)]


class _Writer:
    """How tensors are stored."""

    def __init__(self, rng: Random, folder: Path, storage: str) -> None:
        self.rng, self.folder, self.storage = rng, folder, storage
        self.shared = f"{rng.choice(['weights', 'in.onnx', 'out.onnx'])}.{rng.choice(['bin', 'data'])}"

    def tensor(self, array: npt.NDArray[np.generic], kind: int, name: str, storage: str = "") -> T:
        storage = storage or self.storage
        array = array.astype(helper.tensor_dtype_to_np_dtype(kind))
        if storage == "typed":
            return helper.make_tensor(name, kind, array.shape, array.reshape(-1))
        tensor = numpy_helper.from_array(array, name)
        if storage == "default":
            tensor.data_location = T.DEFAULT
            if self.rng.random() < 0.3:
                tensor.external_data.add(key="location", value="of-another-time.bin")
        elif storage in ("external", "offset", "own file"):
            self._outside(tensor, storage)
        if self.rng.random() < 0.3:
            tensor.doc_string = "a weight"
        return tensor

    def _outside(self, tensor: T, storage: str) -> None:
        location = f"sub/{tensor.name}.bin" if storage == "own file" else self.shared
        path = self.folder / location
        path.parent.mkdir(exist_ok=True)
        before = path.read_bytes() if path.exists() else b""
        if storage == "offset" or before:
            before += bytes(self.rng.randrange(1, 300))
        data = tensor.raw_data
        path.write_bytes(before + data)
        tensor.ClearField("raw_data")
        tensor.data_location = T.EXTERNAL
        entries = {"location": location}
        if before or self.rng.random() < 0.5:
            entries["offset"] = str(len(before))
        if storage != "own file" or self.rng.random() < 0.5:  # onnx reads to the end of the file without it
            entries["length"] = str(len(data))
        for key in self.rng.sample(list(entries), len(entries)):
            tensor.external_data.add(key=key, value=entries[key])

    def sparse(self, array: npt.NDArray[np.generic], kind: int, name: str) -> onnx.SparseTensorProto:
        array = array.astype(helper.tensor_dtype_to_np_dtype(kind))
        places = np.flatnonzero(array) if self.rng.random() < 0.5 else np.argwhere(array)
        return onnx.SparseTensorProto(
            values=numpy_helper.from_array(array[array != 0], name),
            indices=numpy_helper.from_array(places.astype(np.int64), "places"),
            dims=array.shape,
        )


def _in(place: str):
    return {"initializer": _main, "constant": _constant, "branch": _branch, "function": _function, "loop": _loop}[place]


def _product(kind: int, source: str, target: str) -> list[onnx.NodeProto]:
    """x times the weight W of any type, in the widest type that has a kernel."""
    if kind == T.FLOAT:
        return [helper.make_node("MatMul", [source, "W"], [target], "mm")]
    if kind in QUANTISED:
        return [
            helper.make_node("DequantizeLinear", ["W", "scale"], ["wide"], "dequantize"),
            helper.make_node("MatMul", [source, "wide"], [target], "mm"),
        ]
    if kind == T.BFLOAT16:
        return [
            helper.make_node("Cast", ["W"], ["wide"], "widen", to=T.FLOAT),
            helper.make_node("MatMul", [source, "wide"], [target], "mm"),
        ]
    return [
        helper.make_node("Cast", [source], ["cast"], "enter", to=kind),
        helper.make_node("MatMul", ["cast", "W"], ["product"], "mm"),
        helper.make_node("Cast", ["product"], [target], "leave", to=T.FLOAT),
    ]


def _scale(kind: int) -> list[T]:
    return [numpy_helper.from_array(np.float32(0.5), "scale")] if kind in QUANTISED else []


def _main(writer: _Writer, weight, kind):
    nodes = _product(kind, "x", "h")
    if writer.storage == "sparse":
        return nodes, _scale(kind), [writer.sparse(weight, kind, "W")], []
    return nodes, [writer.tensor(weight, kind, "W"), *_scale(kind)], [], []


def _constant_node(writer: _Writer, weight, kind) -> onnx.NodeProto:
    if writer.storage == "sparse":
        return helper.make_node("Constant", [], ["W"], "c", sparse_value=writer.sparse(weight, kind, ""))
    return helper.make_node("Constant", [], ["W"], "c", value=writer.tensor(weight, kind, "held"))


def _constant(writer: _Writer, weight, kind):
    return [_constant_node(writer, weight, kind), *_product(kind, "x", "h")], _scale(kind), [], []


def _branch(writer: _Writer, weight, kind):
    inner = helper.make_graph(_product(kind, "x", "z"), "then", [], [_info("z", N)])
    if writer.storage == "sparse":
        inner.sparse_initializer.append(writer.sparse(weight, kind, "W"))
    else:
        inner.initializer.append(writer.tensor(weight, kind, "W"))
    inner.initializer.extend(_scale(kind))
    other = helper.make_graph([helper.make_node("Neg", ["x"], ["n"])], "else", [], [_info("n", N)])
    return [helper.make_node("If", ["c"], ["h"], "if", then_branch=inner, else_branch=other)], [], [], []


def _function(writer: _Writer, weight, kind):
    scale = [helper.make_node("Constant", [], ["scale"], value=_scale(kind)[0])] if _scale(kind) else []
    body = [_constant_node(writer, weight, kind), *scale, *_product(kind, "a", "b")]
    function = helper.make_function("own", "Layer", ["a"], ["b"], body, [helper.make_opsetid("", 21)])
    return [helper.make_node("Layer", ["x"], ["h"], "call", domain="own")], [], [], [function]


def _loop(writer: _Writer, weight, kind):
    body = helper.make_graph(
        [*_product(kind, "state", "next"), helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", T.INT64, []),
            helper.make_tensor_value_info("go", T.BOOL, []),
            _info("state", K),
        ],
        [helper.make_tensor_value_info("on", T.BOOL, []), _info("next", N)],
    )
    if writer.storage == "sparse":
        body.sparse_initializer.append(writer.sparse(weight, kind, "W"))
    else:
        body.initializer.append(writer.tensor(weight, kind, "W"))
    body.initializer.extend(_scale(kind))
    count = numpy_helper.from_array(np.int64(1), "count")
    return [helper.make_node("Loop", ["count", "", "x"], ["h"], "loop", body=body)], [count], [], []


def _info(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, T.FLOAT, ["b", width])


def _scalar(name: str, kind: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [])


def _model(rng: Random, nodes, initializers, sparse, functions, place: str) -> onnx.ModelProto:
    inputs = [_info("x", K)]
    if place == "branch":
        inputs.append(_scalar("c", T.BOOL))
    graph = helper.make_graph(nodes, "g", inputs, [_info("y", N)], initializers, sparse_initializer=sparse)
    imports = [helper.make_opsetid("", 21), *([helper.make_opsetid("own", 1)] if functions else [])]
    return helper.make_model(graph, opset_imports=imports, ir_version=rng.choice([10, 11]), functions=functions)


def _dense_neighbour(writer: _Writer, proto: onnx.ModelProto, values: np.random.Generator, rng: Random) -> None:
    """A second product whose weight does not split, stored in a way of its own."""
    dense = values.integers(1, 7, (N, N)).astype(np.float32)
    storage = rng.choice([each for each in STORAGE if each != "sparse"])
    proto.graph.initializer.append(writer.tensor(dense, T.FLOAT, "dense", storage))
    proto.graph.node.append(helper.make_node("MatMul", ["h", "dense"], ["y"], "last"))


def _annotate(message: Message, rng: Random) -> None:
    """Doc strings, metadata and unknown fields, wherever the schema allows them."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE and field.name != "external_data":
            for inner in value if field.is_repeated else [value]:
                _annotate(inner, rng)
    fields = message.DESCRIPTOR.fields_by_name
    if "doc_string" in fields and rng.random() < 0.2:
        message.doc_string = "said"  # type: ignore[attr-defined]
    if "metadata_props" in fields and rng.random() < 0.2:
        for key in rng.sample(["z", "b", "a"], 2):
            message.metadata_props.add(key=key, value="kept")  # type: ignore[attr-defined]
    if isinstance(message, onnx.ModelProto):
        message.producer_version, message.model_version = "1.0", 7
        if rng.random() < 0.2:
            training = message.training_info.add()
            training.algorithm.initializer.append(numpy_helper.from_array(np.ones(400, np.float32), "rate"))
        if rng.random() < 0.2:
            message.configuration.add(name="two", num_devices=2, device=["cpu", "gpu"])
    if isinstance(message, onnx.GraphProto) and rng.random() < 0.2:
        message.value_info.append(helper.make_tensor_value_info("nowhere", T.FLOAT, [3]))
        annotation = message.quantization_annotation.add(tensor_name="nowhere")
        annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="nothing")
    if rng.random() < 0.05:
        message.MergeFromString(varint(UNKNOWN << 3 | 2) + b"\x03new")
