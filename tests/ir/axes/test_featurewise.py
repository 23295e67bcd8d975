"""Which operators between two linears keep hidden units apart."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import BATCH, DOWN, MICROSOFT, OPSET, RELU, UP, D, H, between, found, named, weight
from onnx.reference import ReferenceEvaluator
from reference import model, node

ACTIVATIONS = {  # what may lie between h and z
    "Relu": [node("Relu", "h", "z")],
    "Gelu": [node("Gelu", "h", "z")],
    "LeakyRelu": [node("LeakyRelu", "h", "z", alpha=0.1)],
    "Elu": [node("Elu", "h", "z")],
    "HardSwish": [node("HardSwish", "h", "z")],
    "PRelu": [node("PRelu", "h row", "z")],
    "Clip": [node("Clip", "h nought three", "z")],
    "fused": [node("Gelu", "h", "z", domain=MICROSOFT)],
    "fast": [node("FastGelu", "h bu", "z", domain=MICROSOFT)],
    "biased": [node("BiasGelu", "h bu", "z", domain=MICROSOFT)],
    "quick": [node("QuickGelu", "h", "z", domain=MICROSOFT)],
    "nothing but a bias": [node("Add", "bu h", "z")],
    "SiLU": [node("Sigmoid", "h", "s"), node("Mul", "h s", "z")],
    "erf Gelu": [
        node("Add", "h bu", "a"),
        node("Div", "a three", "b"),
        node("Erf", "b", "c"),
        node("Add", "c one", "d"),
        node("Mul", "a d", "e"),
        node("Mul", "e half", "z"),
    ],
    "tanh Gelu": [
        node("Pow", "h three", "a"),
        node("Mul", "a half", "b"),
        node("Add", "h b", "c"),
        node("Tanh", "c", "d"),
        node("Add", "d one", "e"),
        node("Mul", "h half", "f"),
        node("Mul", "f e", "z"),
    ],
    "choice": [node("Greater", "h nought", "p"), node("Mul", "h row", "q"), node("Where", "p h q", "z")],
    "Dropout": [node("Relu", "h", "a"), node("Dropout", "a half", "z mask")],
    "Cast": [node("Cast", "h", "a", to=11), node("Sqrt", "a", "b"), node("Cast", "b", "z", to=1)],
    "its shape is read": [node("Shape", "h", "s"), node("Relu", "h", "a"), node("Reshape", "a s", "z")],
    "Reshape": [node("Reshape", "h grid", "a"), node("Relu", "a", "b"), node("Reshape", "b flat", "z")],
    "Reshape of both": [
        node("Sigmoid", "h", "s"),
        node("Reshape", "h flat", "a"),
        node("Reshape", "s flat_again", "b"),
        node("Mul", "a b", "z"),
    ],
    "bias behind a Reshape": [node("Reshape", "h flat", "a"), node("Add", "a bu", "b"), node("Relu", "b", "z")],
    "vector behind a Reshape": [node("Tanh", "h", "t"), node("Reshape", "t flat", "a"), node("Mul", "a row", "z")],
    "a result that nobody reads": [node("Neg", "h", "idle"), node("Relu", "h", "z")],
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_pair_with_feature_wise_operators_between_is_a_network(name):
    assert named(found(between(*ACTIVATIONS[name]))) == [("up", None, "down", 2)]


OTHERS = {  # no networks: nodes, and outputs of the model beside y
    "mixes features": (between(node("Softmax", "h", "z")), ()),
    "normalises": (between(node("LayerNormalization", "h bu", "z")), ()),
    "sums features": (between(node("ReduceMean", "h", "m", keepdims=1), node("Sub", "h m", "z")), ()),
    "transposes": (between(node("Transpose", "h", "a", perm=[1, 0]), node("Reshape", "a flat", "z")), ()),
    "takes some features": (between(node("Slice", "h axis axis", "a"), node("Add", "a h", "z")), ()),
    "hidden units are an output": (between(RELU), ("z",)),
    "a value in between is an output": (between(node("Tanh", "h", "a"), node("Relu", "a", "z")), ("a",)),
    "another reader": (between(RELU, node("Softmax", "z", "p")), ("p",)),
    "a second linear reads": (between(RELU, node("MatMul", "z VT", "q", transB=1)), ("q",)),
    "a second down": ([UP, RELU, DOWN, node("Gemm", "z V", "p", "other")], ("p",)),
    "another input": (between(node("Add", "h r", "a"), node("Relu", "a", "z")), ()),
    "a residual": ([node("Add", "h r", "z"), UP, DOWN], ()),
    "a constant for each row": (between(node("Add", "h table", "a"), node("Relu", "a", "z")), ()),
    "a constant on another axis": (between(node("Relu", "h", "a"), node("Mul", "a column", "z")), ()),
    "a vector where extents are open": (
        between(node("Reshape", "h odd", "a"), node("Mul", "a row", "b"), node("Reshape", "b flat", "z")),
        (),
    ),
    "two shapes": (
        between(node("Reshape", "h odd", "a"), node("Mul", "a h", "b"), node("Reshape", "b flat", "z")),
        (),
    ),
    "a random mask is read": (
        between(node("Dropout", "h", "z mask"), node("Cast", "mask", "q", to=1)),
        ("q",),
    ),
    "the activation is the shape": (between(node("Cast", "h", "s", to=7), node("Reshape", "r s", "z")), ()),
    "a scaled shape": (between(node("Relu", "h", "a"), node("Expand", "a flat", "z")), ()),
    "an unknown operator": (between(node("Relu", "h", "z", domain="strange")), ()),
    "hidden units are also the addend": ([UP, RELU, node("Gemm", "z HH z", "y", "down")], ()),
    "reshaped by itself": (between(node("Cast", "h", "s", to=7), node("Reshape", "h s", "z")), ()),
    "narrower rows": ([UP, node("Reshape", "h odd", "z"), node("MatMul", "z two", "y", "down")], ()),
    "broadcast against itself": (
        between(
            node("Reshape", "h odd", "a"),
            node("Reshape", "h odder", "b"),
            node("Mul", "a b", "c"),
            node("Reshape", "c flat", "z"),
        ),
        (),
    ),
    "flattened in two ways": (
        between(
            node("Flatten", "h", "a", axis=0),
            node("Flatten", "h", "b", axis=2),
            node("Mul", "a b", "c"),
            node("Reshape", "c flat", "z"),
        ),
        (),
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_understood_is_no_network(name):
    nodes, more = OTHERS[name]
    assert named(found(nodes, outputs=("y", *more), domains=[MICROSOFT, "strange"])) == []


def test_a_caller_may_override_a_constant():
    nodes = between(node("Mul", "h half", "a"), node("Relu", "a", "z"))
    assert named(found(nodes)) and not named(found(nodes, BATCH | {"half": []}))


def test_a_bias_is_one_for_each_feature_wherever_the_linear_says_so():
    """Nothing is known of the extents behind the Reshape."""
    nodes = between(
        node("Reshape", "h shape", "a"),
        node("Add", "a bu", "b"),
        node("Relu", "b", "c"),
        node("Reshape", "c flat", "z"),
    )
    assert named(found(nodes, BATCH | {"shape": ([3], np.int64)})) == [("up", None, "down", 2)]
    nodes[3] = node("Mul", "b row", "c")
    assert named(found(nodes, BATCH | {"shape": ([3], np.int64)})) == []


def test_old_operators_that_say_how_a_constant_lines_up_are_not_understood():
    nodes = between(node("Relu", "h", "a"), node("Mul", "a bu", "z"))
    assert named(found(nodes, opset=7, domains=()))
    nodes[2] = node("Mul", "a bu", "z", broadcast=1, axis=0)
    assert named(found(nodes, opset=6, domains=())) == []


def test_columns_are_not_reshaped_into_rows():
    nodes = [node("MatMul", "UT x", "h", "up"), node("Reshape", "h flat", "z"), DOWN]
    assert named(found(nodes, {"x": ["b", D, "s"]})) == []


def test_features_on_different_axes_are_not_the_same():
    nodes = [node("MatMul", "x U", "h", "up"), RELU, node("MatMul", "VT z", "y", "down")]
    assert named(found(nodes, {"x": ["b", H, D]})) == []
    nodes[0] = node("MatMul", "UT x", "h", "up")
    assert named(found(nodes, {"x": ["b", D, "s"]})) == [("up", None, "down", 2)]


# Soundness: what is called feature-wise keeps hidden units apart when it runs.


def pick(draw, values):
    return draw(st.sampled_from(values))


@st.composite
def chains(draw):
    """Random nodes from h (4, 4) to z; many mix features, and the rows are as many as the features."""
    nodes, values = [], ["h"]
    for index in range(draw(st.integers(1, 5))):
        a, b, new = pick(draw, values), pick(draw, values), f"v{index}"
        kind = draw(st.sampled_from(["unary", "binary", "constant", "move", "mix"]))
        if kind == "unary":
            nodes.append(node(draw(st.sampled_from(["Tanh", "Sigmoid", "Neg"])), a, new))
        elif kind == "binary":
            nodes.append(node(draw(st.sampled_from(["Add", "Mul", "Max"])), f"{a} {b}", new))
        elif kind == "constant":
            nodes.append(node("Add", f"{a} {draw(st.sampled_from(['single', 'line', 'upright', 'matrix']))}", new))
        elif kind == "move":
            shape = draw(st.sampled_from(["to44", "to28", "to82", "to16", "to144"]))
            nodes.append(node("Reshape", f"{a} {shape}", new))
        else:
            nodes.append(draw(st.sampled_from([node("Transpose", a, new), node("Softmax", a, new)])))
        values.append(new)
    return [*nodes, node("Reshape", f"{values[-1]} to44", "z")]


PIECES = {
    "single": np.float32(0.5),
    "line": weight(4),
    "upright": weight(4, 1),
    "matrix": weight(4, 4),
    "to44": np.array([-1, 4]),
    "to28": np.array([2, -1]),
    "to82": np.array([-1, 2]),
    "to16": np.array([-1]),
    "to144": np.array([1, 4, 4]),
}
SEEN = {True: 0, False: 0}


@given(chains())
def test_what_is_found_keeps_hidden_units_apart_when_it_runs(nodes):
    """A hidden unit that changes, changes at most its own feature of what the second linear reads."""
    constants = PIECES | {"U": weight(2, 4), "V": weight(4, 2)}
    whole = found(between(*nodes), {"x": [4, 2]}, constants=constants)
    SEEN[bool(whole)] += 1
    if whole:
        alone = ReferenceEvaluator(model(nodes, {"h": [4, 4]}, ["z"], PIECES, opset=OPSET))
        h = weight(4, 4)
        (before,) = alone.run(None, {"h": h})
        for unit in range(4):
            changed = h.copy()
            changed[:, unit] += 1
            (after,) = alone.run(None, {"h": changed})
            others = np.arange(4) != unit
            assert after.shape == before.shape and (after[:, others] == before[:, others]).all()


def test_the_random_chains_above_are_found_and_refused():
    test_what_is_found_keeps_hidden_units_apart_when_it_runs()
    assert min(SEEN.values()) >= 10
