import numpy as np
import pytest
from reference import function, graph, model, node, product, values

from scission.ir.graph.functions import weight_takers
from scission.ir.graph.view import glance, view
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.reason import Cause
from scission.models.planted.products import KINDS, build

W = np.ones((4, 3), np.float32)
LEFT = [node("Relu", "x", "r"), node("MatMul", "w r", "y", "linear")]


def text(graph):
    return ir.to_proto(graph).SerializeToString(deterministic=True)


def left(shape, **options):
    return load(model(LEFT, {"x": shape}, ["y"], {"w": W.T}, **options)).graph


def test_ranks_that_the_graph_does_not_tell_are_inferred():
    seen = view(left(["b", 4, "s"]))
    (linear,) = seen.found.linears
    assert (linear.layout.kind, linear.layout.rank, seen.found.skipped) == ("axes", 3, ())


def test_an_output_without_a_shape_stays_without():
    model = left(["b", 4, "s"])
    assert model.graph.outputs[0].shape is None is view(model).model.graph.outputs[0].shape


def test_a_rank_that_nobody_knows_stays_unknown():
    seen = view(left(None))
    assert seen.found.linears == () and seen.found.skipped[0].reason.cause is Cause.UNKNOWN_RANK


def test_ranks_inside_branches_and_functions_are_inferred():
    side = graph([node("Relu", "x", "r"), node("MatMul", "w r", "z", "inner")], (), ["z"])
    nodes = [node("If", "c", "y", "if", then_branch=side, else_branch=side)]
    seen = view(load(model(nodes, {"x": [2, 4, 5], "c": ([], np.bool_)}, ["y"], {"w": W.T})).graph)
    assert [linear.layout.rank for linear in seen.found.linears] == [3, 3]


def test_what_the_model_says_itself_is_never_overridden():
    proto = model(LEFT, {"x": ["b", 4, "s"]}, {"y": ["mine", "own", 5]}, {"w": W.T})
    proto.graph.node.insert(1, node("Neg", "x", "n"))
    proto.graph.value_info.extend(values([("n", ["one", "two", "three"])]))
    seen = ir.to_proto(view(load(proto).graph).model)
    assert seen.graph.output == proto.graph.output and seen.graph.input == proto.graph.input
    assert proto.graph.value_info[0] in list(seen.graph.value_info)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("look", [glance, view])
def test_a_view_leaves_the_model_alone_and_shares_its_weights(kind, look):
    graph = load(build(np.random.default_rng(1), kind).model).graph
    before = text(graph)
    seen = look(graph, weight_takers(graph)[0])
    assert text(graph) == before
    for name, value in graph.graph.initializers.items():
        assert seen.model.graph.initializers[name].const_value is value.const_value
    if look is view:
        assert seen.model is not graph
        assert not set(seen.model.graph) & set(graph.graph)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_model_gives_the_same_addresses_each_time(kind):
    graph = load(build(np.random.default_rng(1), kind).model).graph
    glanced, *views = (look(graph, weight_takers(graph)[0]) for look in (glance, view, view))
    first, second = ([(lin.address, lin.shape, lin.layout) for lin in v.found.linears] for v in views)
    assert first == second
    if not glanced.lacks_ranks:
        assert [lin.address for lin in glanced.found.linears] == [address for address, _, _ in first]
    assert text(views[0].model) == text(views[1].model)


def test_nodes_know_the_function_they_came_from():
    body = function("F", "x w", "y", [node("MatMul", "x w", "t", "in"), node("Relu", "t", "y")])
    proto = model(
        [node("F", "x w", "a", "f", "local"), node("Relu", "a", "y", "out")], ["x"], ["y"], {"w": W}, functions=[body]
    )
    graph = load(proto).graph
    seen = view(graph, weight_takers(graph)[0])
    assert {n.name: seen.origins.get(n) for n in seen.model.graph}["out"] is None
    assert set(seen.origins.values()) == {("local", "F", "")}
    assert [seen.origins[lin.node] for lin in seen.found.linears] == [("local", "F", "")]


def test_a_model_with_sparse_initializers_can_be_viewed():
    import onnx

    proto = product(W)
    values, places = onnx.helper.make_tensor("s", 1, [1], [5]), onnx.helper.make_tensor("", 7, [1], [1])
    proto.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(values, places, [4, 3]))
    proto.graph.node.append(node("MatMul", "x s", "z", "sparse"))
    assert [lin.address for lin in view(load(proto).graph).found.linears] == ["linear", "sparse"]
