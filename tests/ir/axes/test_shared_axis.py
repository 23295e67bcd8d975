import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_regions import Builder
from reference import function, model, node

from scission.ir.axes import shared_axis as module
from scission.ir.axes.shared_axis import find_shared_axes
from scission.ir.graph.view import view
from scission.ir.io.load import load

RNG = np.random.default_rng(0)


def weight(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


U, V, G, B = weight(3, 6), weight(6, 4), weight(3, 6), weight(6)
CONSTANTS = {
    "U": U,
    "V": V,
    "G": G,
    "B": B,
    "R": weight(6, 6),
    "UT": U.T.copy(),
    "Q": (V * 50).astype(np.int8),
    "scales": np.abs(weight(6)),
    "half": np.float32(0.5),
    "two": weight(2, 6),
    "T": weight(9, 6),
    "pick": np.array([2, 0, 1, 5, 4, 3]),
    "fold": np.array([-1, 2, 3]),
    "flat": np.array([-1, 6]),
    "zero": np.array([0]),
    "last": np.array([-1]),
    "first": np.array([0]),
    "third": np.array([3]),
}
X = {"x": ["b", 3]}
UP, DOWN = node("MatMul", "x U", "h", "up"), node("MatMul", "z V", "y", "down")


def shared_axes(nodes, inputs=X, outputs=("y",), **options):
    used = {name for one in nodes for name in one.input}
    constants = {name: array for name, array in CONSTANTS.items() if name in used | set(options.pop("also", ()))}
    options = {"opset": 20, "domains": ["com.microsoft"]} | options
    seen = view(load(model(nodes, inputs, list(outputs), constants, **options)).graph)
    return {shared_axis.value: shared_axis for shared_axis in find_shared_axes(seen.found, seen.model)}


def constants_of(shared_axis):
    """(constant, axis) of all that another order permutes."""
    return sorted((place.value.name, axis) for place, axis in shared_axis.constants)


FREE = {
    "nothing between": ([node("Identity", "h", "z")], []),
    "an activation": ([node("Relu", "h", "z")], []),
    "a bias": ([node("Add", "B h", "z")], [("B", 0)]),
    "a number": ([node("Mul", "h half", "z")], []),
    "a gate": ([node("MatMul", "x G", "g", "gate"), node("Mul", "h g", "z")], [("G", 1)]),
    "a residual": ([node("MatMul", "h R", "r", "mix"), node("Add", "h r", "z")], [("R", 0), ("R", 1)]),
    "a norm": ([node("LayerNormalization", "h B B", "z", axis=-1)], [("B", 0), ("B", 0)]),
    "a softmax": ([node("Softmax", "h", "z")], []),
    "a sum over it": ([node("ReduceSum", "h last", "s"), node("Div", "h s", "z")], []),
    "shapes": ([node("Shape", "h", "n"), node("Reshape", "h n", "k"), node("Relu", "h", "z")], []),
    "a turn": ([node("Transpose", "h", "t"), node("Relu", "t", "r"), node("Transpose", "r", "z")], []),
    "a new axis": ([node("Unsqueeze", "h zero", "u"), node("Squeeze", "u zero", "z")], []),
    "another shape": ([node("Unsqueeze", "h zero", "u"), node("Reshape", "u flat", "z")], []),
    "rows that are picked": ([node("Gather", "h first", "z", axis=0)], []),
    "rows beside": ([node("Concat", "h two", "z", axis=0)], [("two", 1)]),
    "a table": ([node("Cast", "x", "i", to=7), node("Gather", "T i", "t"), node("Add", "h t", "z")], None),
    "a product with itself": ([node("Einsum", "h h", "s", equation="bi,ci->bc"), node("MatMul", "s h", "z")], []),
    "scales": ([node("DequantizeLinear", "Q scales", "W", axis=0), node("MatMul", "h W", "y", "down")], [("W", 0)]),
    "another weight's turn": ([node("Transpose", "V", "W"), node("Gemm", "h W", "y", "down", transB=1)], [("W", 1)]),
}


@pytest.mark.parametrize("name", [name for name in FREE if FREE[name][1] is not None])
def test_what_leaves_the_order_open(name):
    between, constants = FREE[name]
    found = shared_axes([UP, *between, *([] if "y" in between[-1].output else [DOWN])])
    shared_axis = found["h"]
    assert (shared_axis.size, shared_axis.axis, shared_axis.pinned) == (6, 1, "")
    assert {"up"} <= set(shared_axis.writers) and {"down"} <= set(shared_axis.readers)
    expected = [*constants, ("U", 1), *([("V", 0)] if all(n != "W" for n, _ in constants) else [])]
    assert constants_of(shared_axis) == sorted(expected)
    assert found["x"].pinned and found["y"].pinned


def test_an_embedding_lies_on_a_shared_axis():
    nodes = [node("Gather", "T i", "h"), node("MatMul", "h V", "y", "down")]
    found = shared_axes(nodes, {"i": (["b", "s"], np.int64)})
    assert found["h"].pinned == "" and constants_of(found["h"]) == [("T", 1), ("V", 0)]
    assert (found["h"].readers, found["h"].writers) == (("down",), ())


PINNED = {
    "an output": ([node("Relu", "h", "z")], ("y", "z"), "z is an output of the model"),
    "an unknown operator": ([node("CumSum", "h axis", "z")], ("y",), "may depend on their order"),
    "a cut": (
        [node("Split", "h", "p q", axis=1, num_outputs=2), node("Concat", "p q", "z", axis=1)],
        ("y",),
        "where they are",
    ),
    "heads": ([node("Reshape", "h fold", "r"), node("Reshape", "r flat", "z")], ("y",), "where they are"),
    "a pick": ([node("Gather", "h pick", "z", axis=1)], ("y",), "where they are"),
    "a window": ([node("Slice", "h first third", "s", "cut"), node("Add", "h s", "z")], ("y",), None),
    "a computed constant": ([node("Mul", "B B", "c"), node("Add", "h c", "z")], ("y",), "computed by Mul"),
    "another house": ([node("Relu", "h", "z", domain="elsewhere")], ("y",), "may depend"),
    "no rank": ([node("Strange", "h", "s", domain="elsewhere"), node("Add", "h s", "z")], ("y",), None),
}


@pytest.mark.parametrize("name", PINNED)
def test_what_pins_the_order(name):
    between, outputs, why = PINNED[name]
    between = [
        node("Constant", "", "axis", value_int=1) if any("axis" in one.input for one in between) else None,
        *between,
    ]
    found = shared_axes([UP, *filter(None, between), DOWN], outputs=outputs, domains=["com.microsoft", "elsewhere"])
    if name == "a window":  # rows are cut, features go on
        assert found["h"].pinned == ""
    else:
        assert (why or "may depend") in found["h"].pinned, found["h"].pinned


def test_the_features_of_a_stack_lie_behind_it():
    nodes = [node("MatMul", "x S", "h", "up"), node("Relu", "h", "z"), node("MatMul", "z D", "y", "down")]
    constants = {"S": weight(5, 3, 6), "D": weight(5, 6, 4)}
    seen = view(load(model(nodes, {"x": [5, "b", 3]}, ["y"], constants)).graph)
    (hidden,) = (one for one in find_shared_axes(seen.found, seen.model) if not one.pinned)
    assert (hidden.value, hidden.axis, hidden.size) == ("h", 2, 6)
    assert (hidden.writers, hidden.readers) == (("up",), ("down",))


def test_what_a_branch_reads_is_pinned():
    branch = model([node("Relu", "h", "b")], {}, ["b"]).graph
    nodes = [UP, node("If", "c", "k", then_branch=branch, else_branch=branch), DOWN, node("Relu", "h", "z")]
    found = shared_axes(nodes, {**X, "c": ([], np.bool_)}, ("y", "k"))
    assert found["h"].pinned == "h is read inside a branch or loop"


def test_what_a_branch_hands_out_is_pinned():
    branch = model([node("MatMul", "q U", "b")], {}, ["b"]).graph
    nodes = [
        node("Relu", "x", "q"),
        node("If", "c", "h", then_branch=branch, else_branch=branch),
        node("Relu", "h", "z"),
    ]
    found = shared_axes([*nodes, DOWN], {**X, "c": ([], np.bool_)}, also=["U"])
    assert "(If)" in found["h"].pinned or "If may depend" in found["h"].pinned


def test_what_a_function_reads_is_pinned():
    relu = function("Relu", "a", "b", [node("Relu", "a", "b")])
    nodes = [UP, node("Relu", "h", "z", domain="local"), DOWN]
    assert "local function" in shared_axes(nodes, functions=[relu], domains=[])["h"].pinned


def test_overridable_weights_pin():
    found = shared_axes([UP, node("Add", "h B", "z"), DOWN], {**X, "B": [6]})
    assert found["h"].pinned == "B is an input of the model"


def test_extents_that_differ_pin():
    """The graph cannot run, and nobody knows in which order it would."""
    found = shared_axes(
        [UP, node("Relu", "h", "k"), node("Add", "k o", "z"), node("MatMul", "o T", "w", "other"), DOWN],
        {**X, "o": ["b", "c"]},
        ("y", "w"),
    )
    assert all(shared_axis.pinned for shared_axis in found.values())


def test_a_constant_that_two_streams_read_ties_nothing_together():
    """Each gets its own copy."""
    nodes = [UP, node("Add", "h B", "k"), node("Relu", "k", "z"), DOWN]
    nodes += [node("MatMul", "x G", "g", "gate"), node("Add", "g B", "f"), node("MatMul", "f V", "w", "out")]
    found = shared_axes(nodes, outputs=("y", "w"))
    assert found["h"].pinned == found["g"].pinned == ""
    assert constants_of(found["h"]) == [("B", 0), ("U", 1), ("V", 0)]
    assert constants_of(found["g"]) == [("B", 0), ("G", 1), ("V", 0)]


def test_a_graph_output_that_is_a_constant_pins_nothing():
    nodes = [UP, node("Add", "h B", "z"), DOWN]
    assert shared_axes(nodes, outputs=("y", "B"))["h"].pinned == ""


def test_a_stream_of_one_feature_is_none():
    narrow = {"u": weight(3, 1), "v": weight(1, 4)}
    nodes = [node("MatMul", "x u", "h"), node("MatMul", "h v", "y")]
    seen = view(load(model(nodes, X, ["y"], narrow)).graph)
    assert [shared_axis.value for shared_axis in find_shared_axes(seen.found, seen.model)] == ["x", "y"]


def test_left_hand_weights_carry_features_on_another_axis():
    nodes = [node("MatMul", "UT x", "h", "up"), node("Relu", "h", "z"), node("MatMul", "V z", "y", "down")]
    constants = {"UT": U.T.copy(), "V": V.T.copy()}
    seen = view(load(model(nodes, {"x": [3, "m"]}, ["y"], constants)).graph)
    (free,) = [shared_axis for shared_axis in find_shared_axes(seen.found, seen.model) if not shared_axis.pinned]
    assert (free.value, free.axis, free.size) == ("h", 0, 6)
    assert constants_of(free) == [("UT", 0), ("V", 1)]


def test_channels_of_convolutions_lie_on_shared_axes():
    constants = {"u": weight(6, 3, 3, 3), "v": weight(4, 6, 1, 1), "s": weight(6), "e": np.ones(6, np.float32)}
    nodes = [
        node("Conv", "x u s", "h"),
        node("BatchNormalization", "h s s s e", "n"),
        node("Relu", "n", "r"),
        node("MaxPool", "r", "z", kernel_shape=[2, 2]),
        node("Conv", "z v", "y", "pointwise"),
    ]
    seen = view(load(model(nodes, {"x": ["b", 3, 8, 8]}, ["y"], constants)).graph)
    (free,) = [shared_axis for shared_axis in find_shared_axes(seen.found, seen.model) if not shared_axis.pinned]
    assert (free.value, free.axis, free.readers, free.writers) == ("h", 1, ("pointwise",), ("Conv#0",))
    assert constants_of(free) == [("e", 0), *[("s", 0)] * 4, ("u", 0), ("v", 1)]


@settings(max_examples=15)
@given(st.integers(0, 2**32))
def test_elementwise_operators_share_what_any_rule_says(seed):
    seen = view(load(Builder(seed, np.float64).build(10)).graph)

    def told():
        found = find_shared_axes(seen.found, seen.model)
        return [(one.value, one.size, set(one.members), set(one.constants), bool(one.pinned)) for one in found]

    quick = told()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "is_pointwise", lambda *_: False)
        assert told() == quick
