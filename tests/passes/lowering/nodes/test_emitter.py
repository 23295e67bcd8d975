import numpy as np
import onnx_ir as ir
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.graph.survey import survey
from scission.ir.provenance import ORIGIN, ROLE
from scission.models.planted.products import build
from scission.passes.lowering.nodes.emitter import Emitter, Names


def graph(kind="matmul-right-2"):
    return ir.from_proto(build(np.random.default_rng(0), kind).model)


@pytest.mark.parametrize("kind", ["matmul-right-2", "if", "loop", "scan", "function", "chain"])
def test_names_know_every_value_and_node_of_all_graphs(kind):
    proto = build(np.random.default_rng(0), kind).model
    names = Names(ir.from_proto(proto))
    for taken in oracles.value_names(proto) | oracles.node_names(proto):
        assert names.fresh(taken) != taken


def test_a_name_that_is_only_read_is_taken_too():
    """A sparse initializer is kept aside: in the graph it is an input that nothing makes."""
    proto = build(np.random.default_rng(0), "matmul-right-2").model
    proto.graph.node[0].input[1] = "sparse"
    assert Names(ir.from_proto(proto)).fresh("sparse") == "sparse_1"


@given(st.lists(st.sampled_from(["a", "a_1", "a_1_1", "b", ""]), max_size=30))
def test_fresh_names_are_never_given_twice(wishes):
    names = Names(graph())
    given_out = [names.fresh(wish) for wish in wishes]
    assert len(set(given_out)) == len(given_out)
    assert all(name.startswith(wish) for name, wish in zip(given_out, wishes, strict=True))


def emitter():
    model = graph()
    (linear,) = survey(model).linears
    return Emitter(linear, Names(model))


def test_nodes_carry_origin_role_and_type():
    made = emitter()
    values = made.node("Split", [made.linear.activation], "piece", {"axis": 1}, outputs=3)
    shape = made.one("Shape", [made.linear.activation], "zero")
    assert [node.op_type for node in made.nodes] == ["Split", "Shape"]
    assert made.nodes[0].metadata_props == {ORIGIN: "linear", ROLE: "piece"}
    assert made.nodes[0].name == "linear/piece/Split"
    assert made.nodes[0].attributes["axis"].as_int() == 1
    assert len({value.name for value in values}) == 3
    assert {value.dtype for value in values} == {ir.DataType.FLOAT} and shape.dtype == ir.DataType.INT64


@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 3)])
def test_constants_keep_shape_type_and_contents(shape):
    made = emitter()
    array = np.arange(np.prod(shape), dtype=np.float16).reshape(shape).T
    value = made.constant(array, "part")
    assert value.const_value.numpy().shape == array.shape == tuple(value.shape.numpy())
    assert np.array_equal(value.const_value.numpy(), array) and value.dtype == ir.DataType.FLOAT16
    assert made.constants == [value] and value.name == "linear/part"


def test_integers_are_one_dimensional_int64():
    value = emitter().integers([3], "size")
    assert value.const_value.numpy().tolist() == [3] and value.dtype == ir.DataType.INT64
