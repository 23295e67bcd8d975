"""Rows are told as running shows them: a row that has rows is the same whatever the others are, and without them."""

import numpy as np
import pytest
from onnx import helper, numpy_helper
from random_parts import random_feed, random_parts, run_model

from scission.ir.io.load import load
from scission.passes.partition.find import analysed


def found_in(model):
    work = analysed(load(model).graph)
    graph = work.seen.model.graph
    return work.rows.inputs(graph, [*graph.outputs])


def model_of(nodes, *, x=("n", 4), w=None, constants=(), opset=17, shapes=None):
    inputs = [helper.make_tensor_value_info("x", 1, x)]
    if w is not None:
        inputs.append(helper.make_tensor_value_info("w", 1, w))
    kept = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants]
    made = [
        helper.make_node(op, list(read), [write], f"{op}{at}", **more)
        for at, (op, read, write, more) in enumerate(nodes)
    ]
    graph = helper.make_graph(made, "g", inputs, [helper.make_tensor_value_info("y", 1, shapes)], kept)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


@pytest.mark.parametrize("seed", range(25))
def test_networks_over_features_have_rows_and_each_is_computed_alone(seed):
    model, _ = random_parts(seed)
    names = found_in(model)
    assert set(names) == {one.name for one in model.graph.input}
    feed = random_feed(np.random.default_rng(seed), model)
    whole = run_model(model, feed)
    for row in range(5):
        alone = run_model(model, {name: array[row : row + 1] for name, array in feed.items()})
        for name, value in whole.items():
            assert np.allclose(value[row], alone[name][0], atol=1e-4 * np.abs(value).max())


W = ("W", np.eye(4, dtype=np.float32))
SIZE = [("Shape", ["x"], "s", {}), ("Gather", ["s", "zero"], "n", {}), ("Concat", ["n", "rest"], "t", {"axis": 0})]
SIZES = [("zero", np.array([0])), ("rest", np.array([2, 2]))]
ROWED = {
    "a transpose there and back": (
        [("Transpose", ["x"], "a", {}), ("Relu", ["a"], "b", {}), ("Transpose", ["b"], "y", {})],
        {},
    ),
    "another input for all rows": ([("Mul", ["x", "w"], "y", {})], {"w": [1, 4]}),
    "another input of fewer axes": ([("Mul", ["x", "w"], "y", {})], {"w": [4]}),
    "a reshape to the rows that there are": (
        [*SIZE, ("Reshape", ["x", "t"], "y", {})],
        {"constants": SIZES},
    ),
    "a softmax over features": ([("Softmax", ["x"], "y", {"axis": 1})], {}),
}
NOT = {
    "a softmax over rows": ([("Softmax", ["x"], "y", {"axis": 0})], {}),
    "a mean over rows": ([("ReduceMean", ["x"], "m", {"axes": [0]}), ("Sub", ["x", "m"], "y", {})], {}),
    "all rows with all": ([("Transpose", ["x"], "t", {}), ("MatMul", ["x", "t"], "y", {})], {}),
    "rows that end elsewhere": ([("Transpose", ["x"], "y", {})], {}),
    "a number of rows": (
        [
            ("Shape", ["x"], "s", {}),
            ("Cast", ["s"], "c", {"to": 1}),
            ("ReduceMax", ["c"], "m", {}),
            ("Mul", ["x", "m"], "y", {}),
        ],
        {},
    ),
    "one scale for all": (
        [
            ("DynamicQuantizeLinear", ["x"], "q", {}),
            ("Cast", ["q"], "y", {"to": 1}),
        ],
        {},
    ),
    "a fixed batch": ([("MatMul", ["x", "W"], "y", {})], {"x": (3, 4), "constants": [W]}),
    "another input with sizes of its own": ([("Mul", ["x", "w"], "y", {})], {"w": ["m", 4]}),
    "a constant for each row": ([("Mul", ["x", "P"], "y", {})], {"constants": [("P", np.ones((5, 4), np.float32))]}),
    "rows in memory order": ([("Reshape", ["x", "flat"], "y", {})], {"constants": [("flat", np.array([4, -1]))]}),
    "a sum over rows so far": ([("CumSum", ["x", "zero"], "y", {})], {"constants": [("zero", np.array(0))]}),
    "some rows": ([("Gather", ["x", "zero"], "y", {"axis": 0})], {"constants": [("zero", np.array([0, 0]))]}),
}


@pytest.mark.parametrize("case", ROWED)
def test_rows_go_on(case):
    nodes, more = ROWED[case]
    assert found_in(model_of(nodes, **more)) == ("x",)


@pytest.mark.parametrize("case", NOT)
def test_rows_that_depend_on_others_are_none(case):
    nodes, more = NOT[case]
    model = model_of(nodes, **more)
    if case == "one scale for all":
        model.graph.node[0].output.extend(["scale", "point"])
    assert found_in(model) == ()


def test_two_inputs_with_the_same_rows():
    assert found_in(model_of([("Add", ["x", "w"], "y", {})], w=["n", 4])) == ("x", "w")


def test_what_a_branch_reads_is_not_followed():
    then, other = (
        helper.make_graph([helper.make_node(op, ["x"], [op])], op, [], [helper.make_tensor_value_info(op, 1, None)])
        for op in ("Relu", "Neg")
    )
    nodes = [("If", ["w"], "y", {"then_branch": then, "else_branch": other})]
    model = model_of(nodes, w=[])
    model.graph.input[1].type.tensor_type.elem_type = 9
    assert found_in(model) == ()
