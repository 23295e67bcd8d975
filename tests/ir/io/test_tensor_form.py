import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper, numpy_helper
from reference import W, graph, model, node, write

from scission.ir.errors import ModelError
from scission.ir.io.load import load
from scission.ir.io.tensor_form import tensors, wrong_tensor
from scission.ir.io.written import bodies


def changed(**fields):
    tensor = numpy_helper.from_array(W, "w")
    for name, value in fields.items():
        tensor.ClearField(name)
        if isinstance(value, list):
            getattr(tensor, name).extend(value)
        elif value is not None:
            setattr(tensor, name, value)
    return tensor


WRONG = {
    "no data": (changed(raw_data=None), "states 20x30 float values and holds none"),
    "too short": (changed(raw_data=W.tobytes()[:-4]), "holds 2396 bytes of 2400"),
    "too long": (changed(raw_data=W.tobytes() + b"four"), "holds 2404 bytes of 2400"),
    "no type": (changed(data_type=T.UNDEFINED), "has no element type"),
    "unknown type": (changed(data_type=99), "has the element type 99"),
    "texts as bytes": (changed(data_type=T.STRING), "holds bytes where texts belong"),
    "too few texts": (changed(data_type=T.STRING, raw_data=None, string_data=[b"a"]), "holds 1 texts of 600"),
    "negative size": (changed(dims=[-20, -30]), "negative size"),
    "field too short": (changed(raw_data=None, float_data=[1.0] * 599), "holds 599 values in float_data of 600"),
    "field too long": (changed(raw_data=None, float_data=[1.0] * 601), "holds 601 values in float_data of 600"),
    "field of another type": (changed(raw_data=None, int64_data=[1] * 600), "holds none"),
    "empty raw data beside a field": (changed(raw_data=b"", float_data=[1.0] * 600), "holds none"),
}


def with_initializer(tensor):
    proto = model([node("MatMul", "x w", "y", "mm")], {"x": ["b", 20]}, {"y": ["b", 30]})
    proto.graph.initializer.append(tensor)
    return proto


def with_constant(tensor):
    nodes = [node("Constant", "", "w", "c", value=tensor), node("MatMul", "x w", "y", "mm")]
    return model(nodes, {"x": ["b", 20]}, {"y": ["b", 30]})


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("where", [with_initializer, with_constant])
def test_a_tensor_that_does_not_hold_what_it_states_is_refused_in_one_line(name, where, tmp_path):
    tensor, message = WRONG[name]
    proto = where(tensor)
    for source in (proto, write(tmp_path / "m.onnx", proto)):
        with pytest.raises(ModelError, match=message) as caught:
            load(source)
        assert "'w'" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        onnxruntime.InferenceSession(proto.SerializeToString())


@pytest.mark.parametrize("name", [name for name in WRONG if "type" not in name or name == "field of another type"])
def test_a_tensor_that_nothing_uses_may_be_anything(name):
    """ONNX Runtime does not look at it either."""
    proto = with_initializer(WRONG[name][0])
    del proto.graph.node[0].input[:]
    proto.graph.node[0].CopyFrom(node("Relu", "x", "y"))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", 1, ["b", 20]))
    onnxruntime.InferenceSession(proto.SerializeToString())
    load(proto)


TYPES = [T.FLOAT, T.DOUBLE, T.FLOAT16, T.BFLOAT16, T.INT8, T.UINT8, T.INT16, T.UINT16, T.INT32, T.INT64, T.UINT32]
TYPES += [T.UINT64, T.BOOL, T.INT4, T.UINT4, T.FLOAT8E4M3FN, T.FLOAT8E5M2, T.COMPLEX64, T.COMPLEX128, T.FLOAT4E2M1]


@pytest.mark.parametrize("kind", [*TYPES, T.STRING])
@pytest.mark.parametrize("shape", [[], [0, 3], [5], [3, 7]])
def test_every_type_in_every_form_is_taken(kind, shape):
    count = int(np.prod(shape))
    if kind == T.STRING:
        forms = [helper.make_tensor("w", kind, shape, [b"a"] * count)]
    else:
        dtype = helper.tensor_dtype_to_np_dtype(kind)
        values = np.ones(shape, dtype)
        forms = [helper.make_tensor("w", kind, shape, values.reshape(-1)), numpy_helper.from_array(values, "w")]
    for tensor in forms:
        assert wrong_tensor(bodies(with_initializer(tensor))) == ""


def test_tensors_of_branches_and_functions_are_found():
    side = graph([node("Constant", "", "z", "c", value=numpy_helper.from_array(W, "held"))], [], ["z"], {"inner": W})
    proto = model([node("If", "c", "y", then_branch=side, else_branch=side)], {"c": ([], np.bool_)}, ["y"])
    assert [tensor.name for tensor in tensors(bodies(proto))] == ["inner", "held"] * 2
    side.initializer[0].data_type = 0
    proto = model([node("If", "c", "y", then_branch=side, else_branch=side)], {"c": ([], np.bool_)}, ["y"])
    assert wrong_tensor(bodies(proto)) == "initializer 'inner' has no element type"
