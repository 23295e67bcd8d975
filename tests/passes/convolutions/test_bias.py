"""What follows a convolution behind operators that move elements, moved inside."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from convolved import model_of, rewritten, steps_of
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

FUNCTIONS = {"Relu": {}, "Sigmoid": {}, "Tanh": {}, "LeakyRelu": {"alpha": 0.1}, "HardSigmoid": {}}
CHANNELS = 8


def moved(draw, nodes, constants, value, shape, axis, count):
    """Some operators that move elements: the name, the shape and the axis of channels that they leave."""
    for place in range(count):
        name = f"{value}{place}"
        op = draw(st.sampled_from(["Transpose", "Unsqueeze", "Squeeze", "Identity"]))
        ones = [at for at, extent in enumerate(shape) if extent == 1]
        if op == "Squeeze" and ones:
            gone = draw(st.sampled_from(ones))
            constants[f"{name}_axes"] = np.array([gone - draw(st.sampled_from([0, len(shape)]))])
            nodes.append(helper.make_node("Squeeze", [value, f"{name}_axes"], [name], name))
            shape, axis = shape[:gone] + shape[gone + 1 :], axis - (gone < axis)
        elif op == "Unsqueeze":
            new = draw(st.integers(0, len(shape)))
            constants[f"{name}_axes"] = np.array([new])
            nodes.append(helper.make_node("Unsqueeze", [value, f"{name}_axes"], [name], name))
            shape, axis = (*shape[:new], 1, *shape[new:]), axis + (new <= axis)
        elif op == "Transpose":
            order = draw(st.permutations(range(len(shape))))
            nodes.append(helper.make_node("Transpose", [value], [name], name, perm=order))
            shape, axis = tuple(shape[at] for at in order), order.index(axis)
        else:
            nodes.append(helper.make_node("Identity", [value], [name], name))
        value = name
    return value, shape, axis


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_same_is_computed_bit_by_bit(data):
    draw = data.draw
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    constants = {"w": rng.standard_normal((CHANNELS, 3, 1, 2)).astype(np.float32)}
    nodes = [helper.make_node("Conv", ["x", "w"], ["c"], "conv")]
    value, shape, axis = moved(draw, nodes, constants, "c", (2, CHANNELS, 1, 5), 1, draw(st.integers(0, 3)))
    before = len(nodes) > 1
    own = [1] * len(shape)
    own[axis] = draw(st.sampled_from([1, CHANNELS]))
    constants["b"] = rng.standard_normal(own[draw(st.integers(0, axis)) :]).astype(np.float32)
    nodes.append(helper.make_node("Add", draw(st.permutations([value, "b"])), ["s"], "add"))
    value, *_ = moved(draw, nodes, constants, "s", shape, axis, draw(st.integers(0, 2)))
    between = value != "s"
    function = draw(st.sampled_from([None, *FUNCTIONS]))
    if function:
        nodes.append(helper.make_node(function, [value], ["f"], "function", **FUNCTIONS[function]))
        value = "f"
    nodes.append(helper.make_node("Identity", [value], ["y"], "last"))
    model = model_of(nodes, [2, 3, 1, 6], None, constants)
    feeds = {"x": rng.standard_normal((2, 3, 1, 6)).astype(np.float32)}
    changed, forms = rewritten(model)
    assert forms == (["bias"] if before or (function and between) else [])
    ((one,), (other,)) = (oracles.run(each, feeds) for each in (model, changed))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    if forms:
        assert "Add" not in oracles.operators(changed)
    if forms and function:
        maker = {name: node.op_type for node in changed.graph.node for name in node.output}
        (moved_function,) = (node for node in changed.graph.node if node.op_type == function)
        assert maker[moved_function.input[0]] == "Conv"


def chain(*nodes, constants=(), x=(2, 3, 1, 6)):
    weight = np.random.default_rng(0).standard_normal((CHANNELS, 3, 1, 2)).astype(np.float32)
    given = {"w": weight, "axes": np.array([2]), "b": np.ones((CHANNELS, 1), np.float32), **dict(constants)}
    used = {name for node in nodes for name in node.input} | {"w"}
    first = helper.make_node("Conv", ["x", "w"], ["c"], "conv")
    return model_of([first, *nodes], list(x), None, {name: one for name, one in given.items() if name in used})


SQUEEZE = helper.make_node("Squeeze", ["c", "axes"], ["q"], "squeeze")


@pytest.mark.parametrize(
    "nodes",
    [
        [SQUEEZE, helper.make_node("Add", ["q", "q"], ["y"])],  # nothing constant is added
        [SQUEEZE, helper.make_node("Add", ["q", "b"], ["y"]), helper.make_node("Exp", ["q"], ["z"])],  # two readers
        [SQUEEZE, helper.make_node("Mul", ["q", "b"], ["y"])],
        [helper.make_node("Relu", ["c"], ["y"])],  # nothing stands between
    ],
)
def test_other_chains_stay(nodes):
    assert steps_of(chain(*nodes)) == []


def test_a_constant_along_positions_is_no_bias():
    along = {"b": np.ones((1, 5), np.float32)}
    assert steps_of(chain(SQUEEZE, helper.make_node("Add", ["q", "b"], ["y"]), constants=along.items())) == []


def test_names_of_results_stay_with_what_they_were():
    model = chain(SQUEEZE, helper.make_node("Add", ["q", "b"], ["s"]), helper.make_node("Relu", ["s"], ["y"], "relu"))
    changed, _ = rewritten(model)
    assert oracles.interface(changed) == oracles.interface(model)
    assert [node.op_type for node in changed.graph.node] == ["Conv", "Relu", "Squeeze"]
    assert "c" not in {name for node in changed.graph.node for name in node.output}  # it is another value than it was


LOW, HIGH = np.float32(-0.2), np.float32(0.5)


@pytest.mark.parametrize("bounds", [["low", "high"], ["", "high"], ["low"], ["low", ""]])
@pytest.mark.parametrize("made", [False, True])  # by nodes that stand behind the convolution
def test_bounds_move_with_their_function(bounds, made):
    given = {"low": LOW, "high": HIGH}
    makers = [
        helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(one)))
        for name, one in given.items()
        if made and name in bounds
    ]
    add, clip = helper.make_node("Add", ["q", "b"], ["s"]), helper.make_node("Clip", ["s", *bounds], ["y"], "clip")
    model = chain(SQUEEZE, add, *makers, clip, constants=() if made else given.items())
    changed, forms = rewritten(model)
    assert forms == ["bias"]
    made_before = {"", "x", *(one.name for one in changed.graph.initializer)}
    for node in changed.graph.node:
        assert made_before.issuperset(node.input)
        made_before.update(node.output)
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 3, 1, 6)).astype(np.float32)}
    ((wanted,), (got,)) = (oracles.run(each, feeds) for each in (model, changed))
    np.testing.assert_allclose(got, wanted, rtol=0, atol=1e-6)
    assert (wanted.min() < LOW) == ("low" not in bounds) and (wanted.max() > HIGH) == ("high" not in bounds)
