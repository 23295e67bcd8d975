import io

import numpy as np
import onnx
import onnx_ir
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.given.sources import SourceTypeError, unwrapped


def proto():
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 8]) for name in "xy")
    weight = numpy_helper.from_array(np.kron(np.eye(2), np.ones((4, 4))).astype(np.float32), "w")
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], "mm")], "g", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


class ONNXProgram:
    """As torch.onnx.export returns it; the exporter itself takes seconds to import."""

    def __init__(self):
        self.model = onnx_ir.from_proto(proto())


def test_a_program_is_taken_for_its_model():
    program = ONNXProgram()
    before = onnx_ir.to_proto(program.model).SerializeToString()
    plan = scission.plan(program, force=True)
    assert [step.node for step in plan.rewrites] == ["mm"]
    assert [row.node for row in scission.inspect(program)] == ["mm"]
    found = scission.optimize(program, force=True, bench=False)
    assert found.outcome == "split" and isinstance(found.model, ONNXProgram)
    changed = scission.apply(program, plan)
    assert isinstance(changed, ONNXProgram) and changed is not program and changed.model is not program.model
    assert scission.diff(program, proto()).same
    assert onnx_ir.to_proto(program.model).SerializeToString() == before
    assert scission.optimize(program).model is program  # nothing gains at this size: it comes back itself


class Net(torch.nn.Linear):
    pass


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Net(4, 4), "torch.onnx.export"),
        (lambda: proto().graph, "onnx.helper.make_model"),
        (lambda: onnx_ir.from_proto(proto()).graph, "onnx_ir.Model"),
        (lambda: bytearray(proto().SerializeToString()), r"bytes\(model\)"),
        (lambda: io.BytesIO(proto().SerializeToString()), "its path"),
        (lambda: {"a": 1}, "dict is no model: give a path"),
        (lambda: None, "NoneType is no model"),
    ],
)
def test_anything_else_is_an_error_that_says_what_to_give(make, said):
    for call in (scission.plan, scission.optimize, scission.inspect, lambda one: scission.diff(proto(), one)):
        with pytest.raises(SourceTypeError, match=said) as error:
            call(make())
        assert isinstance(error.value, (scission.ScissionError, TypeError))


def test_models_pass_as_they_are():
    for source in ("a.onnx", proto(), onnx_ir.from_proto(proto()), b""):
        assert unwrapped(source) is source
    assert isinstance(unwrapped(onnx.ModelProto()), onnx.ModelProto)
