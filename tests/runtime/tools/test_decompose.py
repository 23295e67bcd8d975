import ml_dtypes
import numpy as np
import onnx
import oracles
import pytest
from one_linear import one_linear
from onnx import TensorProto, helper

import scission
from scission import graphsurgeon

gs = pytest.importorskip("onnx_graphsurgeon")
FORCED = scission.PlanOptions(force=True)


def test_a_graph_is_split_and_stays_itself():
    model = one_linear(4)
    graph = gs.import_onnx(model)
    split = graphsurgeon.decompose(graph, FORCED)
    assert isinstance(split, gs.Graph) and split is not graph
    assert [node.op for node in graph.nodes] == ["MatMul"]
    feeds = {"x": np.random.default_rng(0).standard_normal((3, 32)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(gs.export_onnx(split), feeds))
    assert scission.check(graph, split).equal
    assert not graphsurgeon.diff(graph, split).same and graphsurgeon.diff(graph, gs.import_onnx(model)).same
    assert graphsurgeon.plan(graph, FORCED).rewrites[0].node == graphsurgeon.inspect(graph)[0].node


def test_what_graphsurgeon_loses_comes_through(tmp_path):
    """Metadata, weights of 4 bits, inputs with a default: from a model to its split graph and back to a model."""
    values = np.random.default_rng(0).integers(1, 7, (32, 32)) * np.kron(np.eye(4), np.ones((8, 8)))
    nodes = [
        ("DequantizeLinear", ["codes", "scale"], ["v"], {"name": "dequantize"}),
        ("MatMul", ["x", "v"], ["h"], {"name": "quantised"}),
        ("MatMul", ["h", "w"], ["s"], {"name": "up"}),
        ("Add", ["s", "b"], ["y"], {"name": "bias"}),
    ]
    constants = {"b": np.ones(32, np.float32), "w": values.astype(np.float32), "scale": np.float32(0.5)}
    constants["codes"] = values.astype(ml_dtypes.int4)
    sizes = ["n", 32]
    model = oracles.graph(nodes, {"x": sizes}, {"y": sizes}, constants, opset=21)
    model.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [32]))
    helper.set_model_props(model, {"split_assignments": "up=0"})
    model.doc_string = "of layers"
    for node in model.graph.node:
        node.metadata_props.add(key="layer_ann", value=f"layer of {node.name}")
    split = graphsurgeon.decompose(graphsurgeon.import_onnx(model), FORCED)
    assert isinstance(split, gs.Graph)
    back = graphsurgeon.export_onnx(split)
    onnx.save(back, tmp_path / "split.onnx")
    back = onnx.load(tmp_path / "split.onnx")
    assert [one.name for one in back.graph.input] == ["x", "b"] and back.doc_string == "of layers"
    assert {one.key: one.value for one in back.metadata_props}["split_assignments"] == "up=0"
    layers = {one.value for node in back.graph.node for one in node.metadata_props if one.key == "layer_ann"}
    assert layers >= {"layer of up", "layer of bias"} and len(back.graph.node) > 4
    assert all(any(one.key == "layer_ann" for one in node.metadata_props) for node in back.graph.node)
    assert {one.data_type for one in back.graph.initializer} >= {TensorProto.INT4}
    feeds = {"x": np.ones((3, 32), np.float32), "b": np.full(32, 3, np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(back, feeds))


def test_only_models_are_imported_and_only_graphs_exported():
    with pytest.raises(TypeError, match=r"onnx\.load\(path\)"):
        graphsurgeon.import_onnx("model.onnx")
    with pytest.raises(TypeError, match=r"onnx_graphsurgeon\.import_onnx\(model\)"):
        graphsurgeon.export_onnx(one_linear())


def test_where_nothing_is_gained_the_same_graph_comes_back():
    graph = gs.import_onnx(one_linear(1))
    assert graphsurgeon.decompose(graph) is graph


@pytest.mark.parametrize("call", [graphsurgeon.decompose, graphsurgeon.plan, graphsurgeon.inspect])
@pytest.mark.parametrize("given", [onnx.ModelProto(), "model.onnx", None])
def test_anything_else_is_a_type_error_that_says_what_is_taken(call, given):
    with pytest.raises(TypeError, match=r"onnx_graphsurgeon\.import_onnx\(model\)"):
        call(given)
