import numpy as np
import pytest
from onnx import numpy_helper
from reference import function, graph, model, node, product, tensors_of

from scission.ir.graph import constants as constant
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.models.planted.products import KINDS, build

W = np.ones((4, 3), np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_parameters_are_the_entries_of_all_tensors(kind):
    proto = build(np.random.default_rng(1), kind).model
    entries = sum(numpy_helper.to_array(tensor).size for tensor in tensors_of(proto))
    assert survey(load(proto).graph).parameters == entries


def test_main_graph_subgraphs_and_functions_come_in_this_order():
    side = graph([node("MatMul", "x w", "z", "inner")], (), ["z"])
    held = node("Constant", "", "k", value=numpy_helper.from_array(W))
    body = function("F", "x", "y", [held, node("MatMul", "x k", "y", "owned"), node("Gather", "k x", "t", "table")])
    nodes = [
        node("If", "c", "y", "if", then_branch=side, else_branch=side),
        node("MatMul", "x w", "a", "outer"),
        node("Gather", "w i", "b", "table"),
        node("F", "x", "d", "call", "local"),
    ]
    found = survey(load(model(nodes, ["x", "c", "i"], ["y"], {"w": W}, functions=[body])).graph)
    assert [lin.address for lin in found.linears] == [
        "outer",
        "if.else_branch/inner",
        "if.then_branch/inner",
        "local::F/owned",
    ]
    assert [skipped.node for skipped in found.skipped] == ["table", "local::F/table"]


@pytest.mark.parametrize("kind", ["plain", "transposed"])
def test_no_weight_is_read(tmp_path, monkeypatch, kind):
    """Not one byte: the weight is 4 TiB of a sparse file."""
    rows = 1 << 20
    with (tmp_path / "w.bin").open("wb") as file:
        file.truncate(rows * rows * 4)
    proto = product(np.ones((1, 1), np.float32))
    proto.graph.input[0].type.tensor_type.shape.dim[1].dim_value = rows
    tensor = proto.graph.initializer[0]
    tensor.CopyFrom(type(tensor)(name="W", data_type=1, dims=[rows, rows], data_location=1))
    tensor.external_data.add(key="location", value="w.bin")
    if kind == "transposed":
        proto.graph.node[0].CopyFrom(node("Gemm", "x W", "y", "linear", transB=1))
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    monkeypatch.setattr(constant, "read", lambda tensor: pytest.fail("a weight was read"))
    found = survey(load(tmp_path / "m.onnx").graph)
    assert [(lin.shape, found.parameters) for lin in found.linears] == [((rows, rows), rows * rows)]


def test_a_weight_shared_by_two_operators_is_found_twice_and_counted_once():
    proto = model([node("MatMul", "x w", "y", "a"), node("MatMul", "z w", "v", "b")], ["x", "z"], ["y", "v"], {"w": W})
    found = survey(load(proto).graph)
    assert len(found.linears) == 2 and found.linears[0].weight is found.linears[1].weight and found.parameters == 12
