import numpy as np
import onnx
import onnx_ir as ir
import oracles
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scission.ir.graph.linear import Layout, Linear
from scission.passes.lowering.nodes.emitter import Emitter, Names
from scission.passes.lowering.nodes.last_axis import Columns, take_columns

TYPES = {np.float16: ir.DataType.FLOAT16, np.float32: ir.DataType.FLOAT, np.float64: ir.DataType.DOUBLE}


def emitter_of(extent, rank, opset=17, dtype=ir.DataType.FLOAT, shape=None):
    """An emitter for a linear whose activation is x, an input of a graph."""
    x = ir.Value(name="x", type=ir.TensorType(dtype), shape=None if shape is None else ir.Shape(shape))
    w, y = ir.Value(name="w"), ir.Value(name="y")
    node = ir.Node("", "MatMul", [x, w], outputs=[y], name="linear")
    linear = Linear(
        node=node,
        address="linear",
        activation=x,
        weight=w,
        shape=(extent, extent),
        dtype=dtype,
        transposed=False,
        layout=Layout(kind="rows", rank=rank),
        opset=opset,
    )
    graph = ir.Graph([x, w], [y], nodes=[node], opset_imports={"": opset}, name="g")
    return Emitter(linear, Names(ir.Model(graph, ir_version=8)))


def run(emitter, results, x):
    """What the emitted nodes make of x."""
    node = emitter.linear.node
    graph = node.graph
    graph.outputs.clear()
    graph.remove(node)
    graph.inputs.pop()
    graph.extend(emitter.nodes)
    for constant in emitter.constants:
        graph.register_initializer(constant)
    graph.outputs.extend(results)
    return oracles.run(ir.to_proto(ir.Model(graph, ir_version=8)), {"x": x})


def one_by_one(x, order):
    """Feature by feature, with no indexing but of one at a time."""
    return np.stack([x[..., place] for place in order], axis=-1)


@given(
    extent=st.integers(1, 7),
    lead=st.lists(st.integers(0, 3), max_size=3),
    known=st.booleans(),
    ranked=st.booleans(),
    opset=st.sampled_from([7, 9, 10, 11, 12, 13, 15, 18, 21]),
    dtype=st.sampled_from(list(TYPES)),
    data=st.data(),
)
def test_any_order_of_any_values(extent, lead, known, ranked, opset, dtype, data):
    order = data.draw(st.lists(st.integers(0, extent - 1), min_size=1, max_size=9))
    order = data.draw(st.sampled_from([order, list(range(extent)), list(range(extent))[::-1]]))
    rank = len(lead) + 1 if ranked else None
    stated = [*(lead if known else ["a", "b", "c"][: len(lead)]), extent] if ranked else None
    emitter = emitter_of(extent, rank, opset, TYPES[dtype], stated)
    x = np.random.default_rng(0).standard_normal((*lead, extent)).astype(dtype)
    y = take_columns(emitter, emitter.linear.activation, order, extent=extent, rank=rank, shape=stated)
    if order == list(range(extent)):
        assert y is emitter.linear.activation and not emitter.nodes and not emitter.constants
        return
    assert y.dtype == TYPES[dtype]
    np.testing.assert_array_equal(run(emitter, [y], x)[0], one_by_one(x, order))


@pytest.mark.parametrize(
    ("shape", "opset", "order", "operators"),
    [
        (["m", 4], 17, [2, 0, 3, 1], ["Slice", "Shape", "Expand", "GatherElements"]),
        ([5, 4], 17, [2, 0, 3, 1], ["Expand", "GatherElements"]),
        ([1, 1, 4], 17, [2, 0, 3, 1], ["Gather"]),  # one row: nothing to expand
        ([4], 17, [2, 0], ["Gather"]),
        (["m", 4], 10, [2, 0, 3, 1], ["Gather"]),  # before GatherElements
        (["m", 4], 17, [1, 2], ["Slice"]),
        (["m", 4], 17, [0, 1, 2, 3], []),
        (["m", 4], 17, [1, 1], ["Slice", "Shape", "Expand", "GatherElements"]),
    ],
)
def test_the_operators(shape, opset, order, operators):
    emitter = emitter_of(4, len(shape), opset, shape=shape)
    take_columns(emitter, emitter.linear.activation, order, extent=4, rank=len(shape), shape=shape)
    assert [node.op_type for node in emitter.nodes] == operators
    indices = [c.dtype for c in emitter.constants if c.name.endswith("order")]
    assert indices == [ir.DataType.INT32 if "Expand" in operators else ir.DataType.INT64] * (len(indices))


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_what_two_permutations_share_is_computed_once(rows):
    emitter = emitter_of(4, None)
    x = emitter.linear.activation
    columns = Columns(emitter, x, None)
    first = columns.take(x, [3, 1, 0, 2, 2], 4, "in")
    second = columns.take(first, [4, 0], 5, "out")
    row = columns.repeat(np.arange(3, dtype=np.float32), "row")
    assert [node.op_type for node in emitter.nodes].count("Shape") == 1
    data = np.random.default_rng(0).standard_normal((2, rows, 4)).astype(np.float32)
    y, z = run(emitter, [second, row], data)
    np.testing.assert_array_equal(y, data[..., [2, 3]])
    np.testing.assert_array_equal(z, np.broadcast_to(np.arange(3, dtype=np.float32), (2, rows, 3)))


def test_bfloat16_is_permitted_by_the_operator():
    """ONNX Runtime has GatherElements for all types; its Python cannot be fed this one, so it is cast on both sides."""
    order = onnx.numpy_helper.from_array(np.array([[2, 0, 1]], np.int32), "order")
    nodes = [
        onnx.helper.make_node("Cast", ["x"], ["b"], to=onnx.TensorProto.BFLOAT16),
        onnx.helper.make_node("GatherElements", ["b", "order"], ["p"], axis=1),
        onnx.helper.make_node("Cast", ["p"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    x, y = (onnx.helper.make_tensor_value_info(name, 1, [1, 3]) for name in "xy")
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", [x], [y], [order]), ir_version=8)
    model.opset_import[0].version = 17
    assert oracles.run(model, {"x": np.array([[1, 2, 3]], np.float32)})[0].tolist() == [[3, 1, 2]]
