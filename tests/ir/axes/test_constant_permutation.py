import numpy as np
import onnx_ir as ir
import pytest
from reference import model, node

from scission.ir.axes.constant_permutation import operand_orders, problem
from scission.ir.graph.constants import Constants
from scission.ir.io.load import load

W = np.arange(12, dtype=np.float32).reshape(3, 4)
Q, SCALE, ZERO = W.astype(np.int8), np.linspace(0.1, 0.4, 4, dtype=np.float32), np.array([0, 1, 2, 3], np.int8)
CHAINS = {
    "stored": [],
    "identity": [node("Identity", "W", "c")],
    "cast": [node("Cast", "W", "c", to=11)],
    "transposed": [node("Transpose", "W", "c")],
    "transposed by name": [node("Transpose", "W", "c", perm=[1, 0])],
    "dequantised": [node("DequantizeLinear", "Q scale zero", "c", axis=1)],
    "dequantised from the last": [node("DequantizeLinear", "Q scale zero", "c", axis=-1)],
    "dequantised as a whole": [node("DequantizeLinear", "Q one", "c")],
    "dequantised and transposed": [
        node("DequantizeLinear", "Q scale zero", "q", axis=1),
        node("Transpose", "q", "t"),
        node("Identity", "t", "c"),
    ],
}


def chain(nodes):
    stored = {"W": W, "Q": Q, "scale": SCALE, "zero": ZERO, "one": np.float32(0.5)}
    last = "c" if nodes else "W"
    graph = load(model([*nodes, node("Shape", last, "y")], {}, ["y"], stored, opset=19)).graph
    value = next(n for n in graph.graph if n.op_type == "Shape").inputs[0]
    return value, Constants(graph)


def permuted(value, orders, constants):
    """What a constant would hold if what is stored were permuted, slow and obvious."""
    maker = value.producer()
    if maker is None:
        held = constants.read(value)
        for axis, order in orders.items():
            held = np.take(held, order, axis=axis)
        return held
    needed = operand_orders(maker, orders, constants)
    operands = [permuted(v, needed.get(index, {}), constants) for index, v in enumerate(maker.inputs)]
    if maker.op_type == "Transpose":
        return operands[0].T
    if maker.op_type == "DequantizeLinear":
        zero = operands[2].astype(np.float32) if len(operands) > 2 else 0
        return (operands[0].astype(np.float32) - zero) * operands[1]
    return operands[0]


@pytest.mark.parametrize("name", CHAINS)
def test_permuting_what_is_stored_permutes_what_is_read(name):
    value, constants = chain(CHAINS[name])
    held = constants.read(value)
    rng = np.random.default_rng(0)
    orders = {axis: rng.permutation(extent) for axis, extent in enumerate(held.shape)}
    assert problem(value, constants) == ""
    np.testing.assert_array_equal(permuted(value, orders, constants), held[np.ix_(orders[0], orders[1])])


@pytest.mark.parametrize(
    ("nodes", "why"),
    [
        ([node("Mul", "W W", "c")], "computed by Mul"),
        ([node("Mul", "W W", "m"), node("Transpose", "m", "c")], "computed by Mul"),
        (
            [node("Identity", f"c{i}" if i else "W", f"c{i + 1}") for i in range(40)] + [node("Identity", "c40", "c")],
            "more",
        ),
    ],
)
def test_other_operators_are_a_problem(nodes, why):
    assert why in problem(*chain(nodes))


def test_a_name_that_is_given_twice_is_a_problem():
    stored = {"W": W}
    branch = model([node("Identity", "W", "z")], {}, ["z"], {"W": W}).graph
    choice = node("If", "x", "y", then_branch=branch, else_branch=branch)
    graph = load(model([choice, node("Shape", "W", "s")], {"x": ([], np.bool_)}, ["y", "s"], stored)).graph
    value = next(n for n in graph.graph if n.op_type == "Shape").inputs[0]
    assert "in or outside a branch" in problem(value, Constants(graph))


def test_a_constant_node_is_stored():
    import onnx

    stored = node("Constant", "", "c", value=onnx.numpy_helper.from_array(W))
    text = node("Constant", "", "d", value_strings=["a", "b"])
    graph = load(model([stored, text, node("Shape", "c", "y")], {}, ["y"], {})).graph
    constants = Constants(graph)
    first, second = (n.outputs[0] for n in list(graph.graph)[:2])
    assert problem(first, constants) == ""
    assert second not in constants
    assert isinstance(first, ir.Value)
