"""Walks over nodes and the graphs that they hold are those that onnx_ir makes, which start two generators a node."""

from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from scission.ir.io.load import load
from scission.ir.io.tensors import every_node, graphs, graphs_within

BRANCHES = st.recursive(st.just([]), lambda inner: st.lists(st.tuples(inner, inner), max_size=3), max_leaves=8)


def graph_of(shape, depth="g"):
    """A Relu, then one If for each pair of branches, each branch made likewise."""
    nodes = [helper.make_node("Relu", ["x"], [f"{depth}_r"], f"{depth}_r")]
    for place, sides in enumerate(shape):
        inner = [graph_of(side, f"{depth}_{place}{which}") for which, side in zip("te", sides, strict=True)]
        name = f"{depth}_{place}"
        nodes.append(helper.make_node("If", ["c"], [name], name, then_branch=inner[0], else_branch=inner[1]))
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], 1, ["n"])]
    return helper.make_graph(nodes, depth, [], outputs)


@settings(max_examples=30)
@given(BRANCHES)
def test_nodes_and_graphs_come_in_the_order_in_which_they_stand(shape):
    graph = graph_of(shape)
    graph.input.extend([helper.make_tensor_value_info("x", 1, ["n"]), helper.make_tensor_value_info("c", 9, [])])
    model = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)).graph
    assert list(every_node(model.graph)) == list(model.graph.all_nodes())
    assert graphs_within(model.graph) == list(model.graph.subgraphs())
    assert list(graphs(model)) == [model.graph, *model.graph.subgraphs()]
