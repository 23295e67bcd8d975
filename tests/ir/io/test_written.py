import onnx
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from scission.ir.io.written import bodies

ATTRIBUTES = ({}, {"alpha": 0.5}, {"ints": [1, 2]})


def graph(said):
    nodes = st.lists(said.map(lambda one: helper.make_node("Op", ["x"], ["y"], **one)), max_size=4)
    return nodes.map(lambda some: helper.make_graph(some, "g", [], []))


def with_graphs(deeper):
    held = st.dictionaries(st.sampled_from(["then", "other"]), deeper, max_size=2)
    several = st.lists(deeper, min_size=1, max_size=2).map(lambda some: {"several": some})
    return graph(st.one_of(st.sampled_from(ATTRIBUTES), held, several))


GRAPHS = st.recursive(graph(st.sampled_from(ATTRIBUTES)), with_graphs, max_leaves=6)


def inside(body):
    """The graph and all inside, as recursion finds them."""
    held = [one for node in body.node for at in node.attribute for one in ([at.g] if at.HasField("g") else at.graphs)]
    return [body, *(deeper for one in held for deeper in inside(one))]


@given(GRAPHS, st.lists(GRAPHS, max_size=2))
def test_every_graph_is_found_once_with_its_nodes_and_those_that_have_attributes(main, others):
    functions = [helper.make_function("own", f"f{n}", [], [], one.node, []) for n, one in enumerate(others)]
    proto = helper.make_model(main, functions=functions)
    found = bodies(proto)
    expected = [(None, one) for one in inside(proto.graph)]
    expected += [(place, one) for place, function in enumerate(proto.functions) for one in inside(function)]
    told = sorted((str(one.function), one.body.SerializeToString()) for one in found)
    assert told == sorted((str(place), body.SerializeToString()) for place, body in expected)
    for one in found:
        assert one.nodes == list(one.body.node)
        assert one.telling == [node for node in one.body.node if node.attribute]
        assert list(one.attributes) == [(node, at) for node in one.body.node for at in node.attribute]


def test_nothing_is_listed_behind_a_node_without_an_operator():
    body = onnx.GraphProto()
    body.ParseFromString(b"\x0a\x03\x22\x01A" + b"\x0a\x00" * 1000)
    assert [node.op_type for node in bodies(body)[0].nodes] == ["A", ""]
