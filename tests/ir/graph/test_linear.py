import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference import function, graph, model, node, product, values

from scission.ir.errors import ModelError
from scission.ir.graph.linear import scopes
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir

W = np.arange(6, dtype=np.float32).reshape(2, 3)


def addresses(proto):
    return [scope.address(n) for scope in scopes(ir.from_proto(proto)) for n in scope.graph]


def branching(*nodes, name="if", weights=()):
    side = graph([node("Neg", "x", "z", "inner")], (), ["z"])
    return model([node("If", "c", "y", name, then_branch=side, else_branch=side), *nodes], ["x", "c"], ["y"], weights)


def test_an_address_is_the_path_and_the_name():
    body = function("F", "x", "y", [node("Relu", "x", "t", "a"), node("Relu", "t", "y")])
    overload = function("F", "x", "y", [node("Relu", "x", "y", "a")])
    overload.overload = "second"
    proto = branching(node("Relu", "x", "u", "twice"), node("Neg", "x", "v", "twice"), node("Abs", "x", "w"))
    proto.functions.extend([body, overload])
    names = ["if", "Relu#1", "Neg#2", "Abs#3", "if.else_branch/inner", "if.then_branch/inner"]
    assert addresses(proto) == [*names, "local::F/a", "local::F/Relu#1", "local::F:second/a"]


def test_several_graphs_in_one_attribute_are_counted():
    proto = model([node("Many", "x", "y", "m", "strange", bodies=[branching().graph] * 2)], ["x"], ["y"])
    assert [a for a in addresses(proto) if a.count("/") == 1] == ["m.bodies[0]/if", "m.bodies[1]/if"]


names = st.sampled_from(["", "a", "Relu#1", "Relu#0", "Relu#1'", "if.then_branch/inner", "if.then_branch/inner'", "\0"])


@given(st.lists(names, max_size=6))
def test_addresses_are_unique_and_the_same_every_time(chosen):
    proto = branching(*(node("Relu", "x", f"v{n}", name) for n, name in enumerate(chosen)))
    found = addresses(proto)
    assert len(set(found)) == len(found) == len(chosen) + 3
    assert addresses(proto) == found


def test_a_scope_knows_its_operator_sets():
    side = graph([node("Neg", "x", "z")], (), ["z"])
    body = function("F", "x c", "y", [node("If", "c", "y", then_branch=side, else_branch=side)], opset=11)
    found = list(
        scopes(ir.from_proto(model([node("F", "x c", "y", "", "local")], ["x", "c"], ["y"], functions=[body])))
    )
    assert [(scope.opset_imports[""], scope.in_function) for scope in found] == [(17, False), *[(11, True)] * 3]


def test_a_linear_reads_its_weight_as_stored_and_canonical():
    proto = model([node("Gemm", "x w", "y", "n", transB=1)], ["x"], ["y"], {"w": W})
    found = survey(load(proto).graph)
    (linear,) = found.linears
    assert (linear.op, linear.address, linear.shape, linear.transposed) == ("Gemm", "n", (3, 2), True)
    assert (linear.stored(found.constants) == W).all() and (linear.canonical(found.constants) == W.T).all()


@pytest.mark.parametrize("stale", [[2, 3], [3, 5], [6, 1]])
def test_a_shape_that_the_graph_gets_wrong_never_scrambles_the_weight(stale):
    for op in ("Neg", "Transpose"):
        proto = model([node(op, "w", "v"), node("MatMul", "x v", "y", "n")], ["x"], ["y"], {"w": W})
        proto.graph.value_info.extend(values([("v", stale if op == "Transpose" else stale[::-1])]))
        found = survey(load(proto).graph)
        if op == "Transpose":  # whose result is known from its operand, whatever the graph says
            assert (found.linears[0].canonical(found.constants) == W.T).all()
            continue
        with pytest.raises(ModelError, match=r"^n: the weight has shape \(2, 3\)"):
            found.linears[0].canonical(found.constants)


def test_a_linear_in_a_function_is_marked():
    inner = node("Constant", "", "k", value=product(W).graph.initializer[0])
    body = function("F", "x", "y", [inner, node("MatMul", "x k", "y", "n")])
    found = survey(load(model([node("F", "x", "y", "", "local")], ["x"], ["y"], functions=[body])).graph)
    assert [(lin.address, lin.in_function, lin.opset) for lin in found.linears] == [("local::F/n", True, 17)]


AXES = {  # operators on x (2, 3, 4), and where features lie in what they read and make
    "rows": (node("MatMul", "x w", "y"), {"w": np.ones((4, 5), np.float32)}, 2, 2),
    "left": (node("MatMul", "w x", "y"), {"w": np.ones((5, 3), np.float32)}, 1, 1),
    "einsum": (node("Einsum", "x w", "y", equation="abc,bd->dac"), {"w": np.ones((3, 5), np.float32)}, 1, 0),
    "conv": (node("Conv", "x w", "y"), {"w": np.ones((5, 3, 1), np.float32)}, 1, 1),
}


@pytest.mark.parametrize("name", AXES)
def test_features_lie_where_the_layout_says(name):
    one, weights, enters, leaves = AXES[name]
    (linear,) = survey(load(model([one], {"x": [2, 3, 4]}, ["y"], weights)).graph).linears
    assert (linear.layout.axis_in, linear.layout.axis_out) == (enters, leaves)
    assert [2, 3, 4][enters] == linear.shape[0] and linear.layout.from_last(enters) == 3 - enters
