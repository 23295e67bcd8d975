import numpy as np
import onnx
import oracles
import pytest
from one_linear import one_linear

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


def test_where_nothing_is_gained_the_same_graph_comes_back():
    graph = gs.import_onnx(one_linear(1))
    assert graphsurgeon.decompose(graph) is graph


@pytest.mark.parametrize("call", [graphsurgeon.decompose, graphsurgeon.plan, graphsurgeon.inspect])
@pytest.mark.parametrize("given", [onnx.ModelProto(), "model.onnx", None])
def test_anything_else_is_a_type_error_that_says_what_is_taken(call, given):
    with pytest.raises(TypeError, match=r"onnx_graphsurgeon\.import_onnx\(model\)"):
        call(given)
