import numpy as np
import onnx
import oracles
import pytest

import scission
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir


def relu():
    nodes = [("Mul", ["x", "two"], ["h"]), ("Relu", ["h"], ["y"])]
    return oracles.graph(nodes, {"x": ["batch", 3]}, {"y": ["batch", 3]}, {"two": np.array([2], np.float32)})


def rows(model):
    return [one.shape[0] for one in (*load(model).graph.graph.inputs, *load(model).graph.graph.outputs)]


def test_models_come_back_in_the_form_in_which_they_came(tmp_path):
    assert isinstance(scission.fix_shapes(relu(), {"batch": 2}), onnx.ModelProto)
    assert isinstance(scission.fix_shapes(ir.from_proto(relu()), {"batch": 2}), ir.Model)
    assert rows(scission.fix_shapes(relu().SerializeToString(), {"batch": 2})) == [2, 2]
    onnx.save(relu(), tmp_path / "in.onnx")
    assert scission.fix_shapes(tmp_path / "in.onnx", {"batch": 2}, tmp_path / "out.onnx") == tmp_path / "out.onnx"
    assert rows(tmp_path / "out.onnx") == [2, 2] and rows(tmp_path / "in.onnx")[0] != 2
    with pytest.raises(scission.ModelError, match="exists"):
        scission.fix_shapes(tmp_path / "in.onnx", {"batch": 2}, tmp_path / "out.onnx")
    with pytest.raises(ValueError, match="output"):
        scission.fix_shapes(tmp_path / "in.onnx", {"batch": 2})
