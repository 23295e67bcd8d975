import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper as h
from onnx import numpy_helper as nh

import scission
from scission.ir.onnx_ir import onnx_ir as ir
from scission.models.matrix import weight
from scission.models.planted.products import KINDS, build
from scission.passes.lowering.nodes.sharing import Sharing


def tensors(model):
    """(place, what it holds) of every constant: initializers by graph, Constant nodes likewise, small ones as well.

    Without the operands of DequantizeLinear, which are nobody else's: ONNX Runtime would not fuse it otherwise.
    """
    for index, graph in enumerate(oracles.every_graph(model)):
        own = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.input}
        held = [tensor for tensor in getattr(graph, "initializer", []) if tensor.name not in own]
        held += [a.t for node in graph.node if node.op_type == "Constant" for a in node.attribute if a.name == "value"]
        yield from ((index, t.data_type, tuple(t.dims), nh.to_array(t).tobytes()) for t in held)


def forced(model, **options):
    plan = scission.plan(model, provider="cpu", threads=1, force=True, **options)
    return plan, scission.apply(model, plan)


def shared_by(readers, W, *, branches):
    """`readers` MatMuls of x and one weight in the main graph, and one in each branch of an If."""
    K, N = W.shape
    nodes = [h.make_node("MatMul", ["x", "W"], [f"y{i}"], name=f"mm{i}") for i in range(readers)]
    ends = [f"y{i}" for i in range(readers)]
    inputs = [h.make_tensor_value_info("x", 1, ["n", K])]
    if branches:

        def branch(name, op):
            own = [
                h.make_node("MatMul", ["x", "W"], [f"{name}0"], name=f"mm_{name}"),
                h.make_node(op, [f"{name}0"], [name]),
            ]
            return h.make_graph(own, name, [], [h.make_tensor_value_info(name, 1, ["n", N])])

        nodes.append(h.make_node("If", ["c"], ["z"], then_branch=branch("t", "Neg"), else_branch=branch("e", "Abs")))
        inputs.append(h.make_tensor_value_info("c", 9, []))
        ends.append("z")
    outputs = [h.make_tensor_value_info(name, 1, ["n", N]) for name in ends]
    body = h.make_graph(nodes, "g", inputs, outputs, [nh.from_array(W, "W")])
    return h.make_model(body, opset_imports=[h.make_opsetid("", 17)], ir_version=8)


def test_other_bytes_types_shapes_and_places_are_not_the_same():
    arrays = [np.float32([0, 1]), np.float32([-0.0, 1]), np.int32([0, 1]), np.float32([[0, 1]]), np.float32([0, 1])]
    values = [ir.Value(name=f"v{i}", const_value=ir.tensor(array)) for i, array in enumerate(arrays)]
    sharing = Sharing()
    assert [sharing.first(value, "here").name for value in values] == ["v0", "v1", "v2", "v3", "v0"]
    assert sharing.first(values[-1], "there") is values[-1]


@pytest.mark.parametrize("kind", KINDS)
def test_no_constant_of_a_split_model_is_stored_twice(kind):
    planted = build(np.random.default_rng(3), kind, dormant=(1, 2))
    before = list(tensors(planted.model))
    _, changed = forced(planted.model)
    after = list(tensors(changed))
    assert len(after) - len(set(after)) <= len(before) - len(set(before))


@settings(max_examples=10)
@given(
    st.integers(0, 4),
    st.booleans(),
    st.lists(st.tuples(st.integers(8, 24), st.integers(8, 24)), min_size=2, max_size=4),
    st.booleans(),
    st.integers(0, 2**32),
)
def test_a_weight_of_several_readers_is_stored_once_in_blocks(readers, branches, sizes, contiguous, seed):
    rng = np.random.default_rng(seed)
    branches = branches or not readers
    W, _ = weight(rng, sizes, contiguous=contiguous)
    model = shared_by(readers, np.float32(W), branches=branches)
    plan, changed = forced(model)
    assert len(plan.rewrites) == readers + 2 * branches
    large = [one for one in tensors(changed) if np.prod(one[2]) >= 64]
    assert len(large) == len(set(large))
    assert sum(np.prod(t.dims) for t in changed.graph.initializer if t.data_type == 1) <= W.size
    feeds = {"x": np.float32(rng.standard_normal((3, W.shape[0])))} | ({"c": np.array(True)} if branches else {})
    for condition in (True, False) if branches else (True,):
        feeds |= {"c": np.array(condition)} if branches else {}
        oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))


def test_the_file_of_a_shared_weight_shrinks():
    W, _ = weight(np.random.default_rng(0), [(64, 64)] * 2)
    model = shared_by(4, np.float32(W), branches=True)
    _, changed = forced(model)
    assert len(changed.SerializeToString()) < 0.7 * len(model.SerializeToString())


def test_blocks_in_a_function_are_constants_of_that_function_once():
    W, _ = weight(np.random.default_rng(0), [(3, 3)] * 2)
    body = [h.make_node("Constant", [], ["W"], value=nh.from_array(np.float32(W)))]
    body += [h.make_node("MatMul", ["a", "W"], ["b"], name="p"), h.make_node("Relu", ["b"], ["r"])]
    body += [h.make_node("MatMul", ["r", "W"], ["y"], name="q")]
    function = h.make_function("own", "twice", ["a"], ["y"], body, [h.make_opsetid("", 17)])
    ends = [[h.make_tensor_value_info(name, 1, ["n", 6])] for name in "xz"]
    graph = h.make_graph([h.make_node("twice", ["x"], ["z"], domain="own")], "g", *ends)
    imports = [h.make_opsetid("", 17), h.make_opsetid("own", 1)]
    model = h.make_model(graph, opset_imports=imports, functions=[function], ir_version=8)
    plan, changed = forced(model)
    onnx.checker.check_model(changed)
    held = [one for one in tensors(changed) if one[1] == onnx.TensorProto.FLOAT]
    assert len(plan.rewrites) == 2 and len(held) == len(set(held))
    x = np.float32(np.random.default_rng(1).standard_normal((3, 6)))
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


def test_what_a_dequantised_weight_is_made_of_stays_its_own():
    """ONNX Runtime multiplies in 8 bits only where nobody else reads the scale and the zero point."""
    W, _ = weight(np.random.default_rng(0), [(32, 32)] * 2)
    held = {"q": np.int8(np.sign(W)), "s": np.full(64, 0.01, np.float32), "z": np.zeros(64, np.int8)}
    ends = [[h.make_tensor_value_info(name, 1, ["n", 64])] for name in "xy"]
    nodes = [h.make_node("DequantizeLinear", ["q", "s", "z"], ["w"]), h.make_node("MatMul", ["x", "w"], ["y"], "mm")]
    graph = h.make_graph(nodes, "g", *ends, [nh.from_array(array, name) for name, array in held.items()])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    _, changed = forced(model)
    operands = [name for node in changed.graph.node if node.op_type == "DequantizeLinear" for name in node.input]
    assert len(operands) == 6 == len(set(operands))
