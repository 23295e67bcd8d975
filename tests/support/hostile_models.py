"""Models that nothing makes by accident, each one edit away from a sound one."""

from collections.abc import Callable

import onnx
from damage import EVIL
from onnx import numpy_helper
from readers import model

Edit = Callable[[onnx.ModelProto], object]


def _twice(values) -> None:
    values.add().CopyFrom(values[0])


def _set(holder, name: str, value: object) -> None:
    setattr(holder, name, value)


def _call(made: onnx.ModelProto, name: str) -> None:
    made.functions[0].name = made.graph.node[2].op_type = name


def _circle(made: onnx.ModelProto) -> None:
    made.functions[0].node[0].op_type, made.functions[0].node[0].domain = "Twice", "own"


FAR, WIDE = (1 << 63) - 1, 1 << 62


def _branch(made: onnx.ModelProto) -> onnx.GraphProto:
    return made.graph.node[1].attribute[0].g


def _sparse(made: onnx.ModelProto) -> onnx.SparseTensorProto:
    return made.graph.sparse_initializer[0]


def _size(made: onnx.ModelProto, size: int) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size


def _attribute(made: onnx.ModelProto, place: int) -> onnx.AttributeProto:
    return made.graph.node[5].attribute[place]


def _typed(node: int, attribute: int, kind: int) -> Edit:
    return lambda made: _set(made.graph.node[node].attribute[attribute], "type", kind)


def _outside(tensor: onnx.TensorProto) -> None:
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="../../../../../../etc/passwd")


def _emptied(made: onnx.ModelProto) -> None:
    tensor = made.graph.initializer[0]
    tensor.dims[:] = [0, 8]
    tensor.raw_data = b""


EDITS: dict[str, Edit] = {
    "an output listed twice": lambda made: _twice(made.graph.output),
    "an input listed twice": lambda made: _twice(made.graph.input),
    "an output without a name": lambda made: made.graph.output.add(),
    "an output of a branch without a name": lambda made: _set(_branch(made).output[0], "name", ""),
    "an output of a branch that nothing makes": lambda made: _set(_branch(made).output[0], "name", "nowhere"),
    "an output of a branch from outside": lambda made: _set(_branch(made).output[0], "name", "a"),
    "an output of a branch listed twice": lambda made: _twice(_branch(made).output),
    "a call with too many arguments": lambda made: made.graph.node[2].input.extend(["a"] * 3),
    "a call with too many results": lambda made: made.graph.node[2].output.extend(["r1", "r2"]),
    "a call without arguments": lambda made: made.graph.node[2].ClearField("input"),
    "functions in a circle": _circle,
    "a function there twice": lambda made: _twice(made.functions),
    "an input of a function there twice": lambda made: made.functions[0].input.append("u"),
    "an output of a function there twice": lambda made: made.functions[0].output.append("v"),
    "an output of a function that nothing makes": lambda made: made.functions[0].output.__setitem__(0, "z"),
    "an attribute of a function there twice": lambda made: made.functions[0].attribute.append("alpha"),
    "a function with a name of lines": lambda made: _call(made, "Tw\nice"),
    "a function with a hostile name": lambda made: _call(made, EVIL),
    "an operator set beyond 64 bits": lambda made: _set(made.opset_import[0], "version", FAR),
    "an operator set of one's own beyond 64 bits": lambda made: _set(made.opset_import[1], "version", FAR),
    "an operator set below 0": lambda made: _set(made.opset_import[1], "version", -(1 << 63)),
    "an operator set of a function beyond 64 bits": lambda made: _set(
        made.functions[0].opset_import[0], "version", (1 << 63) - 1
    ),
    "an operator set there twice": lambda made: made.opset_import.add(domain="", version=13),
    "an IR version beyond 64 bits": lambda made: _set(made, "ir_version", FAR),
    "sparse places out of range": lambda made: _set(_sparse(made).indices, "raw_data", b"\xff" * 64),
    "sparse places in a shape that is another": lambda made: _sparse(made).indices.dims.insert(0, WIDE),
    "sparse entries below 0": lambda made: _sparse(made).dims.__setitem__(0, -1),
    "sparse entries without end": lambda made: _sparse(made).dims.__setitem__(0, WIDE),
    "sparse entries of many gigabytes": lambda made: _sparse(made).dims.__setitem__(0, 1 << 30),
    "a sparse tensor without a type": lambda made: _set(_sparse(made).values, "data_type", 0),
    "sparse places of a wrong type": lambda made: _set(_sparse(made).indices, "data_type", 1),
    "sparse values in segments": lambda made: _set(_sparse(made).values.segment, "end", 3),
    "sparse places in segments": lambda made: _set(_sparse(made).indices.segment, "end", 3),
    "sparse values that are nowhere": lambda made: _set(_sparse(made).values, "data_location", 1),
    "sparse places that are elsewhere": lambda made: _outside(_sparse(made).indices),
    "a branch without a graph": lambda made: made.graph.node[1].attribute[0].ClearField("g"),
    "a sparse tensor with the name of another": lambda made: _set(_sparse(made).values, "name", "W"),
    "a tensor without a type": lambda made: _set(made.graph.initializer[0], "data_type", 0),
    "a size of 0 with data": lambda made: made.graph.initializer[0].dims.__setitem__(0, 0),
    "a size below 0 with data": lambda made: made.graph.initializer[0].dims.__setitem__(0, -8),
    "a size of many gigabytes": lambda made: made.graph.initializer[0].dims.__setitem__(0, 1 << 40),
    "an empty weight": _emptied,
    "an input of endless size": lambda made: _set(
        made.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 1 << 62
    ),
    "an input of a size below 0": lambda made: _size(made, -5),
    "an input without a type": lambda made: made.graph.input[0].ClearField("type"),
    "an input of no element": lambda made: _set(made.graph.input[0].type.tensor_type, "elem_type", 0),
    "a value of an unknown element": lambda made: _set(made.graph.value_info[0].type.tensor_type, "elem_type", 99),
    "a weight of floats that are none": lambda made: made.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(numpy_helper.to_array(made.graph.initializer[0]) * float("nan"), "W")
    ),
    "an attribute there twice": lambda made: _twice(made.graph.node[1].attribute),
    "an attribute without a name": lambda made: _set(_attribute(made, 0), "name", ""),
    "an attribute of a caller that there is not": lambda made: _set(
        made.graph.node[5].attribute[0], "ref_attr_name", "x"
    ),
    "an attribute that is infinite": lambda made: _set(_attribute(made, 1), "f", float("inf")),
    "a device that is none": lambda made: made.graph.node[0].device_configurations.add(),
    "a result with the name of an input": lambda made: made.graph.node[0].output.__setitem__(0, "x"),
    "a result without a name": lambda made: made.graph.node[0].output.__setitem__(0, ""),
    "metadata there twice": lambda made: _twice(made.metadata_props),
    "external data that is nowhere": lambda made: _set(made.graph.initializer[0], "data_location", 1),
    "a tensor in segments": lambda made: _set(made.graph.initializer[0].segment, "end", 3),
    "a string that is no text": lambda made: made.graph.node[5].attribute.add(
        name="s", type=3, s=b"\xff\x00\0carried7"
    ),
    **{f"a number of the type {kind}": _typed(5, 0, kind) for kind in range(15)},
    **{f"a branch of the type {kind}": _typed(1, 0, kind) for kind in range(15)},
}


def hostile(name: str) -> onnx.ModelProto:
    """The model of that name."""
    made = onnx.ModelProto()
    made.CopyFrom(model())
    EDITS[name](made)
    return made
