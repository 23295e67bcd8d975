"""Models with every optional field of every message set at random, and unknown ones: for what must come back."""

from __future__ import annotations

from random import Random

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor as F
from google.protobuf.message import Message
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from scramble import varint

UNKNOWN = 4001  # of which no message of ONNX has a field
TYPED = [T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16, T.INT8, T.UINT8, T.INT16, T.INT32, T.INT64, T.UINT32, T.UINT64]
TYPED += [T.BOOL, T.INT4, T.UINT4, T.FLOAT8E4M3FN, T.FLOAT8E5M2, T.COMPLEX64, T.STRING]
TEXTS = ["", "a", "doc string", "ü\n"]


def everything(rng: Random) -> onnx.ModelProto:
    """A model that onnx reads, with nodes of no known operator: values x0 … and whatever can be said about them."""
    model = onnx.ModelProto(ir_version=rng.choice([8, 10, 13]), graph=_graph(rng, ["x"], 2, "main"))
    model.opset_import.extend([helper.make_opsetid("", 21), helper.make_opsetid("own", 1)])
    for number in range(rng.randrange(3)):
        function = model.functions.add(name=f"F{number}", domain="own", overload=rng.choice(["", "second"]))
        body = _graph(rng, ["a"], 1, f"f{number}", weights=0)
        function.input.append("a")
        function.output.append(body.node[-1].output[0])
        function.node.extend(body.node)
        function.value_info.extend(body.value_info)
        function.attribute.append("free")
        function.attribute_proto.append(_attribute(rng, "given", 0, []))
        function.opset_import.extend(model.opset_import)
    for _ in range(rng.randrange(2)):
        training = model.training_info.add(algorithm=_graph(rng, ["t"], 1, "train"))
        training.update_binding.add(key="w", value="v")
    for number in range(rng.randrange(2)):
        model.configuration.add(name=f"c{number}", num_devices=2, device=["cpu", "gpu"])
    _annotate(model, rng)
    return model


def _graph(rng: Random, inputs: list[str], depth: int, name: str, weights: int = 3) -> onnx.GraphProto:
    graph = onnx.GraphProto(name=name)
    graph.input.extend(_info(rng, each) for each in inputs)
    known = list(inputs)
    for number in range(rng.randrange(weights + 1)):
        tensor = _tensor(rng, f"{name}_w{number}")
        graph.initializer.append(tensor)
        known.append(tensor.name)
    for number in range(rng.randrange(2) if weights else 0):
        graph.sparse_initializer.append(_sparse(rng, f"{name}_s{number}"))
        known.append(f"{name}_s{number}")
    for number in range(rng.randrange(1, 4)):
        node = graph.node.add(op_type="Op", domain="own", name=rng.choice(["", f"{name}{number}"]))
        node.input.extend(rng.choice([*known, ""]) for _ in range(rng.randrange(3)))
        node.input.append(rng.choice(known))
        node.output.append(f"{name}_v{number}")
        for each in range(rng.randrange(3)):
            node.attribute.append(_attribute(rng, f"a{each}", depth, known))
        known.append(node.output[0])
        if rng.random() < 0.5:
            graph.value_info.append(_info(rng, node.output[0]))
    if rng.random() < 0.3:
        graph.value_info.append(_info(rng, f"{name}_nowhere"))
    for each in rng.sample(known, 1):
        annotation = graph.quantization_annotation.add(tensor_name=each)
        annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value=known[-1])
    graph.output.append(_info(rng, graph.node[-1].output[0]))
    return graph


def _tensor(rng: Random, name: str) -> T:
    kind, shape = rng.choice(TYPED), [rng.choice([1, 3, 40]), rng.choice([2, 33])]
    if kind == T.STRING:
        tensor = helper.make_tensor(name, kind, shape, [f"t{n}".encode() for n in range(shape[0] * shape[1])])
    else:
        values = np.arange(shape[0] * shape[1]).reshape(shape) % 7
        tensor = helper.make_tensor(name, kind, shape, values.astype(helper.tensor_dtype_to_np_dtype(kind)))
        if rng.random() < 0.6:
            tensor = numpy_helper.from_array(numpy_helper.to_array(tensor), name)
    if rng.random() < 0.3:
        tensor.data_location = T.DEFAULT
        if rng.random() < 0.3:
            tensor.external_data.add(key="location", value="once.bin")
    return tensor


def _sparse(rng: Random, name: str) -> onnx.SparseTensorProto:
    values = numpy_helper.from_array(np.float32([1, 2]), name)
    places = np.int64([0, 5]) if rng.random() < 0.5 else np.int64([[0, 0], [1, 1]])
    return onnx.SparseTensorProto(values=values, indices=numpy_helper.from_array(places, "places"), dims=[3, 4])


def _attribute(rng: Random, name: str, depth: int, known: list[str]) -> onnx.AttributeProto:
    A = onnx.AttributeProto
    choices = [
        lambda: A(name=name, type=A.FLOAT, f=1.5),
        lambda: A(name=name, type=A.INT, i=-3),
        lambda: A(name=name, type=A.STRING, s=rng.choice([b"text", b"", b"\xff\xfe"])),
        lambda: A(name=name, type=A.TENSOR, t=_tensor(rng, rng.choice(["", "t"]))),
        lambda: A(name=name, type=A.SPARSE_TENSOR, sparse_tensor=_sparse(rng, "")),
        lambda: A(name=name, type=A.TYPE_PROTO, tp=_type(rng)),
        lambda: A(name=name, type=A.FLOATS, floats=[1, 2]),
        lambda: A(name=name, type=A.INTS, ints=[1, -2]),
        lambda: A(name=name, type=A.STRINGS, strings=rng.choice([[b"a"], [b"\xff", b"b"], []])),
        lambda: A(name=name, type=A.TENSORS, tensors=[_tensor(rng, "a"), _tensor(rng, "b")]),
        lambda: A(name=name, type=A.SPARSE_TENSORS, sparse_tensors=[_sparse(rng, "")]),
        lambda: A(name=name, type=A.TYPE_PROTOS, type_protos=[_type(rng), _type(rng)]),
        lambda: A(name=name, i=3),
        lambda: A(name=name, type=A.INT, ref_attr_name="free"),
    ]
    if depth:
        choices += [lambda: A(name=name, type=A.GRAPH, g=_inner(rng, depth, name))]
        choices += [lambda: A(name=name, type=A.GRAPHS, graphs=[_inner(rng, depth, name), _inner(rng, depth, name)])]
    return rng.choice(choices)()


def _inner(rng: Random, depth: int, name: str) -> onnx.GraphProto:
    return _graph(rng, [f"i{rng.randrange(1 << 30)}"], depth - 1, f"{name}_{rng.randrange(1 << 30)}")


def _info(rng: Random, name: str) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=name)
    if rng.random() < 0.8:
        info.type.CopyFrom(_type(rng))
    return info


def _type(rng: Random, depth: int = 2) -> onnx.TypeProto:
    kinds = ["tensor", "tensor", "sparse_tensor", "opaque"] + ["sequence", "map", "optional"] * bool(depth)
    kind = rng.choice(kinds)
    found = onnx.TypeProto()
    if kind in ("tensor", "sparse_tensor"):
        tensor = getattr(found, f"{kind}_type")
        tensor.elem_type = rng.choice([T.FLOAT, T.INT64, T.STRING, 77])
        if rng.random() < 0.7:
            tensor.shape.SetInParent()
            for _ in range(rng.randrange(3)):
                dim = tensor.shape.dim.add()
                which = rng.randrange(3)
                if which == 0:
                    dim.dim_value = rng.randrange(5)
                elif which == 1:
                    dim.dim_param = "batch"
                if rng.random() < 0.3:
                    dim.denotation = "DATA_BATCH"
    elif kind == "opaque":
        found.opaque_type.domain, found.opaque_type.name = "own", "thing"
    elif kind == "map":
        found.map_type.key_type = T.INT64
        found.map_type.value_type.CopyFrom(_type(rng, depth - 1))
    elif rng.random() < 0.9:
        getattr(found, f"{kind}_type").elem_type.CopyFrom(_type(rng, depth - 1))
    else:
        getattr(found, f"{kind}_type").SetInParent()
    if rng.random() < 0.2:
        found.denotation = "IMAGE"
    return found


def _annotate(message: Message, rng: Random) -> None:
    """Doc strings, metadata, devices, segments and unknown fields, wherever the schema allows them."""
    for field, value in message.ListFields():
        if field.type == F.TYPE_MESSAGE and field.name != "external_data":
            for inner in value if field.is_repeated else [value]:
                _annotate(inner, rng)
    fields = message.DESCRIPTOR.fields_by_name
    if "doc_string" in fields and rng.random() < 0.4:
        message.doc_string = rng.choice(TEXTS)  # type: ignore[attr-defined]
    if "metadata_props" in fields and rng.random() < 0.4:
        for key in rng.sample(["z", "b", "a", "b"], 2):
            message.metadata_props.add(key=key, value=rng.choice(TEXTS))  # type: ignore[attr-defined]
    for name in ("producer_name", "producer_version"):
        if name in fields and rng.random() < 0.5:
            setattr(message, name, rng.choice(TEXTS))
    if isinstance(message, onnx.ModelProto) and rng.random() < 0.5:
        message.model_version, message.domain = rng.choice([0, 7]), rng.choice(TEXTS)
    if isinstance(message, onnx.TensorProto) and rng.random() < 0.1:
        message.segment.begin, message.segment.end = 0, 5
    if isinstance(message, onnx.NodeProto):
        if rng.random() < 0.2:
            message.overload = "second"
        if rng.random() < 0.3:
            device = message.device_configurations.add(configuration_id="c0", pipeline_stage=1)
            spec = device.sharding_spec.add(tensor_name=message.output[0], device=[0, 1])
            spec.index_to_device_group_map.add(key=1, value=[0, 1])
            spec.sharded_dim.add(axis=0).simple_sharding.add(dim_param="batch", num_shards=2)
    if rng.random() < 0.15:
        message.MergeFromString(
            varint(UNKNOWN << 3 | 2) + b"\x03new" + varint(UNKNOWN << 3 | 3) + varint(UNKNOWN << 3 | 4)
        )
