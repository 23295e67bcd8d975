"""Which products inside loops map a state to itself."""

import numpy as np
import pytest
from reference import graph, model, node

import scission
from scission.ir.graph.survey import survey
from scission.ir.io.load import load

H = 4
W = np.triu(np.ones((H, H), np.float32), 1)  # input i reaches the states above it
U = np.ones((3, H), np.float32)
FLIP = {"perm": [1, 0]}
BODIES = {  # nodes of a body that carries h to h2 and reads x; whether the product p is found
    "plain": ([node("MatMul", "h W", "h2", "p")], True),
    "Elman": (
        [node("MatMul", "h W", "a", "p"), node("MatMul", "x U", "b"), node("Add", "a b", "c"), node("Tanh", "c", "h2")],
        True,
    ),
    "scaled before": ([node("Mul", "h s", "a"), node("MatMul", "a W", "b", "p"), node("Add", "b h", "h2")], True),
    "Gemm": ([node("Gemm", "h W", "h2", "p", transB=1)], True),
    "left": (
        [node("Transpose", "h", "t", **FLIP), node("MatMul", "W t", "u", "p"), node("Transpose", "u", "h2", **FLIP)],
        False,
    ),
    "normalised": ([node("MatMul", "h W", "a", "p"), node("Softmax", "a", "h2")], False),
    "two in a row": ([node("MatMul", "h W", "a", "p"), node("MatMul", "a W", "h2", "q")], False),
    "of x": ([node("MatMul", "x V", "a", "p"), node("Add", "a h", "h2")], False),
    "not carried": ([node("MatMul", "h W", "z", "p"), node("Identity", "h", "h2")], False),
    "reshaped": ([node("MatMul", "h W", "a", "p"), node("Reshape", "a n", "b"), node("Tanh", "b", "h2")], False),
    "gate": ([node("MatMul", "h W", "a", "p"), node("Sigmoid", "a", "r"), node("Mul", "r h", "h2")], True),
}
CONSTANTS = {"W": W, "U": U, "V": np.ones((3, H), np.float32), "s": np.float32(0.5), "n": np.array([-1, H])}


def scan(nodes):
    body = graph([*nodes, node("Identity", "h2", "y")], {"h": ["b", H], "x": ["b", 3]}, {"h2": ["b", H], "y": ["b", H]})
    made = node("Scan", "h0 xs", "last ys", "scan", num_scan_inputs=1, body=body)
    return model([made], {"h0": ["b", H], "xs": ["s", "b", 3]}, {"last": ["b", H], "ys": None}, CONSTANTS)


def loop(nodes, crossed=False):
    body = graph(
        [*nodes, node("Identity", "go", "on"), node("Neg", "other", "other2")],
        {"turn": ([], np.int64), "go": ([], np.bool_), "h": ["b", H], "other": ["b", H], "x": ["b", 3]},
        ["on", *(["other2", "h2"] if crossed else ["h2", "other2"]), "x"],
    )
    made = node("Loop", "turns  h0 h0 x0".replace("  ", " yes "), "last rest x9", "loop", body=body)
    constants = CONSTANTS | {"turns": np.array(2), "yes": np.array(True)}
    return model([made], {"h0": ["b", H], "x0": ["b", 3]}, ["last", "rest"], constants)


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("make", [scan, loop])
def test_products_of_a_state_with_itself_are_found(make, name):
    nodes, expected = BODIES[name]
    found = survey(load(make(nodes)).graph)
    assert {address.rpartition("/")[2] for address in found.hidden} == ({"p"} if expected else set())


def test_two_states_that_change_places_are_not_one():
    nodes, _ = BODIES["plain"]
    assert survey(load(loop(nodes)).graph).hidden and not survey(load(loop(nodes, crossed=True)).graph).hidden


def test_a_branch_and_the_main_graph_carry_nothing():
    proto = model([node("MatMul", "h W", "h2", "p")], {"h": ["b", H]}, {"h2": ["b", H]}, CONSTANTS)
    assert survey(load(proto).graph).hidden == frozenset()
    branch = graph([node("MatMul", "h W", "h2")], (), ["h2"])
    rest = graph([node("Neg", "h", "h3")], (), ["h3"])
    proto = model(
        [node("If", "c", "y", "if", then_branch=branch, else_branch=rest)],
        {"h": ["b", H], "c": ([], np.bool_)},
        ["y"],
        CONSTANTS,
    )
    assert survey(load(proto).graph).hidden == frozenset()


@pytest.mark.parametrize("name", ["Elman", "Gemm"])
def test_the_plan_tells_the_structure_of_shared_states(name):
    made = scission.plan(scan(BODIES[name][0]), provider="cpu")
    steps = {step.node.rpartition("/")[2]: step for step in made.steps}
    states = steps.pop("p").states
    assert (states.components, states.sccs, states.layers, states.giant) == (1, H, H, 1.0)
    assert all(step.states is None for step in steps.values())
    assert '"states"' in made.dumps() and scission.Plan.loads(made.dumps()) == made


def test_a_scan_whose_inputs_the_caller_of_its_function_counts_is_passed_over():
    """Its states cannot be told from its body; the model runs."""
    from onnx import AttributeProto, helper, numpy_helper
    from reference import function

    body = graph(
        [node("MatMul", "h W", "z", "p"), node("Add", "z x", "h2"), node("Identity", "h2", "y2")],
        {"h": [3, H], "x": [3, H]},
        {"h2": [3, H], "y2": [3, H]},
    )
    scan = node("Scan", "h0 xs", "hn ys", "scan", body=body)
    scan.attribute.append(AttributeProto(name="num_scan_inputs", type=AttributeProto.INT, ref_attr_name="n"))
    held = node("Constant", "", "W", value=numpy_helper.from_array(W))
    made = function("F", "h0 xs", "hn ys", [held, scan], attributes=["n"], domains=())
    call = helper.make_node("F", ["h0", "xs"], ["hn", "ys"], domain="local", n=1)
    proto = model([call], {"h0": [3, H], "xs": ["n", 3, H]}, ["hn", "ys"], functions=[made])
    assert survey(load(proto).graph).hidden == frozenset()
    assert scission.plan(proto, provider="cpu").steps
