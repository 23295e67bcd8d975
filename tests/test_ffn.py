"""Which pairs of linears are feed-forward networks."""

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from reference import function, graph, model, node

from scission.ir.ffn import find_ffns
from scission.ir.model import load
from scission.ir.shapes import infer_shapes
from scission.ir.survey import survey
from scission.models import gpt2

D, H = 3, 6
OPSET = 20  # the first with Gelu
RNG = np.random.default_rng(0)


def weight(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


CONSTANTS = {
    "U": weight(D, H),
    "V": weight(H, D),
    "G": weight(D, H),
    "U2": weight(D, 2 * H),
    "V2": weight(2 * H, D),
    "wide": weight(D, 7),
    "back": weight(7, D),
    "square": weight(D, D),
    "square2": weight(D, D),
    "UT": weight(H, D),
    "VT": weight(D, H),
    "kernelU": weight(H, D, 1, 1),
    "kernelV": weight(D, H, 1, 1),
    "bu": weight(H),
    "bd": weight(D),
    "row": weight(1, H),
    "column": weight(H, 1),
    "planes": weight(H, 1, 1),
    "table": weight(5, H),
    "half": np.float32(0.5),
    "one": np.ones((1, 1), np.float32),
    "three": np.float32(3),
    "nought": np.float32(0),
    "flat": np.array([-1, H]),
    "flat_again": np.array([-1, H]),
    "odd": np.array([-1, 2]),
    "grid": np.array([0, 0, 2, 3]),
    "axis": np.array([0]),
    "halves": np.array([3, 3]),
    "odder": np.array([-1, 1, 2]),
    "HH": weight(H, H),
    "two": weight(2, D),
    "single": weight(D, 1),
}
BATCH = {"x": ["b", D], "r": ["b", H]}


def found(nodes, inputs=None, outputs=("y",), constants=CONSTANTS, **options):
    options = {"opset": OPSET, "domains": ["com.microsoft"]} | options
    loaded = load(model(nodes, inputs or BATCH, list(outputs), constants, **options)).graph
    infer_shapes(loaded)
    seen = survey(loaded)
    return find_ffns(seen.linears, seen.constants)


def named(ffns):
    """(ups, gate, downs, channels) by the names of their nodes."""
    return [
        (
            " ".join(up.address for up in ffn.ups),
            ffn.gate and ffn.gate.address,
            " ".join(down.address for down in ffn.downs),
            ffn.channels,
        )
        for ffn in ffns
    ]


UP, DOWN = node("MatMul", "x U", "h", "up"), node("MatMul", "z V", "y", "down")
GATE = node("MatMul", "x G", "g", "gate")


def between(*nodes):
    return [UP, *nodes, DOWN]


MICROSOFT = "com.microsoft"
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


def test_its_shape_and_linears_are_told():
    (ffn,) = found(between(*ACTIVATIONS["Relu"]))
    assert ffn.shape == (D, H, D) and [way.address for way in ffn.linears] == ["up", "down"]


RELU = node("Relu", "h", "z")
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
    "gate with an addend": ([UP, node("Gemm", "x G r", "g", "gate"), node("Mul", "h g", "z"), DOWN], ()),
    "one gate for all": ([UP, node("MatMul", "x single", "g", "gate"), node("Mul", "h g", "z"), DOWN], ()),
    "gated apart": ([UP, GATE, RELU, DOWN, node("Mul", "h g", "idle")], ()),
    "gated and read again": ([UP, GATE, node("Mul", "h g", "z"), DOWN, node("Add", "z r", "q")], ("q",)),
    "an addend from elsewhere": ([node("Gemm", "x U r", "h", "up"), RELU, DOWN], ()),
    "sum of two linears": ([UP, GATE, node("Add", "h g", "a"), node("Relu", "a", "z"), DOWN], ()),
    "gate of another input": (
        [UP, node("Neg", "x", "n"), node("MatMul", "n G", "g", "gate"), node("Mul", "h g", "z"), DOWN],
        (),
    ),
    "gate from outside": (between(node("Mul", "h r", "z")), ()),
    "three factors": (
        [UP, GATE, node("Gemm", "x UT", "f", transB=1), node("Mul", "h g", "a"), node("Mul", "a f", "z"), DOWN],
        (),
    ),
    "gate is an output": ([UP, GATE, node("Mul", "h g", "z"), DOWN], ("g",)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_understood_is_no_network(name):
    nodes, more = OTHERS[name]
    assert named(found(nodes, outputs=("y", *more), domains=[MICROSOFT, "strange"])) == []


def test_a_caller_may_override_a_constant():
    nodes = between(node("Mul", "h half", "a"), node("Relu", "a", "z"))
    assert named(found(nodes)) and not named(found(nodes, BATCH | {"half": []}))


SPELLINGS = {
    "Gemm": ([node("Gemm", "x U bu", "h", "up"), RELU, node("Gemm", "z V bd", "y", "down")], BATCH),
    "transposed": (
        [node("Gemm", "x UT", "h", "up", transB=1), RELU, node("Gemm", "z VT", "y", "down", transB=1)],
        BATCH,
    ),
    "fused": ([node("FusedGemm", "x U bu", "z", "up", MICROSOFT, activation="Relu"), DOWN], BATCH),
    "residual in the second": ([UP, RELU, node("Gemm", "z V x", "y", "down")], BATCH),
    "mixed": ([UP, RELU, node("Gemm", "z V bd", "y", "down")], BATCH),
    "three axes": ([UP, node("Add", "h row", "a"), node("Relu", "a", "z"), DOWN], {"x": ["b", "s", D]}),
    "unknown rank": ([UP, node("Add", "h bu", "a"), node("Relu", "a", "z"), DOWN], {"x": None}),
    "pixels": (
        [
            node("Conv", "x kernelU bu", "h", "up"),
            node("Mul", "h planes", "a"),
            node("Relu", "a", "z"),
            node("Conv", "z kernelV", "y", "down"),
        ],
        {"x": ["b", D, 4, 4]},
    ),
    "columns": (
        [
            node("MatMul", "UT x", "h", "up"),
            node("Add", "h column", "a"),
            node("Relu", "a", "z"),
            node("MatMul", "VT z", "y", "down"),
        ],
        {"x": ["b", D, "s"]},
    ),
    "between Reshapes": (
        [
            node("Shape", "x", "s", end=2),
            node("Concat", "s last", "shape", axis=0),
            node("Reshape", "x narrow", "rows"),
            node("Gemm", "rows U bu", "m", "up"),
            node("Reshape", "m shape", "h"),
            node("Sigmoid", "h", "t"),
            node("Mul", "h t", "z"),
            node("Reshape", "z flat", "n"),
            node("Gemm", "n V bd", "y", "down"),
        ],
        {"x": ["b", "s", D]},
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_two_linears_may_be_spelt_in_any_way(name):
    nodes, inputs = SPELLINGS[name]
    constants = CONSTANTS | {"last": np.array([-1]), "narrow": np.array([-1, D])}
    assert named(found(nodes, inputs, constants=constants)) == [("up", None, "down", 2)]


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


@pytest.mark.parametrize(
    ("up", "down", "channels"),
    [("U", "V", 2), ("square", "square2", 1), ("U2", "V2", 4), ("wide", "back", None), ("U", "other", None)],
)
def test_channels_are_counted_where_the_shape_has_some(up, down, channels):
    nodes = [node("MatMul", f"x {up}", "h", "up"), RELU, node("MatMul", f"z {down}", "y", "down")]
    constants = CONSTANTS | {"other": weight(H, D + 1)}
    assert named(found(nodes, constants=constants)) == [("up", None, "down", channels)]


GATED = {
    "SwiGLU": [node("Sigmoid", "g", "s"), node("Mul", "g s", "a"), node("Mul", "a h", "z")],
    "the other way round": [node("Mul", "h a", "z"), node("Gelu", "g", "a")],
    "regrouped": [node("Sigmoid", "g", "s"), node("Mul", "s h", "a"), node("Mul", "g a", "z")],
    "with a bias": [node("Add", "g bu", "b"), node("Relu", "b", "a"), node("Mul", "a h", "b2"), node("Neg", "b2", "z")],
    "reshaped": [
        node("Relu", "g", "a"),
        node("Reshape", "a odd", "b"),
        node("Reshape", "h odd", "c"),
        node("Mul", "b c", "d"),
        node("Reshape", "d flat", "z"),
    ],
}


@pytest.mark.parametrize("name", GATED)
@pytest.mark.parametrize("order", [1, -1])
def test_a_gated_network_has_a_gate(name, order):
    nodes = [*[UP, GATE][::order], *GATED[name], DOWN]
    assert named(found(nodes)) == [("up", "gate", "down", 2)]
    (ffn,) = found(nodes)
    assert [way.address for way in ffn.linears] == ["up", "gate", "down"] and ffn.shape == (D, H, D)


@pytest.mark.parametrize("order", [1, -1])
def test_a_factor_with_a_fused_activation_function_is_the_gate(order):
    fused = node("FusedGemm", "x G bu", "g", "gate", MICROSOFT, activation="Sigmoid")
    assert named(found([*[UP, fused][::order], node("Mul", "g h", "z"), DOWN])) == [("up", "gate", "down", 2)]


def test_where_neither_factor_has_an_activation_function_the_first_is_the_gate():
    assert named(found([GATE, UP, node("Mul", "h g", "z"), DOWN])) == [("up", "gate", "down", 2)]


def branches(count, total, read="x", last="y"):
    """`count` products d -> d -> d of one input, each of its own, and the nodes `total` that add up y0, y1 …"""
    made = []
    for c in range(count):
        made += [
            node("MatMul", f"{read} square", f"h{c}", f"up{c}"),
            node("Tanh", f"h{c}", f"z{c}"),
            node("MatMul", f"z{c} square2", f"y{c}", f"down{c}"),
        ]
    return [*made, *total]


SUMS = {
    "Sum": (3, [node("Sum", "y0 y1 y2", "y")]),
    "Add": (3, [node("Add", "y0 y1", "a"), node("Add", "y2 a", "y")]),
    "biases and a residual": (
        2,
        [node("Add", "y0 x", "a"), node("Add", "y1 bd", "b"), node("Sum", "a b", "c"), node("Softmax", "c", "y")],
    ),
    "reshaped": (2, [node("Reshape", "y0 rows", "a"), node("Reshape", "y1 rows", "b"), node("Add", "a b", "y")]),
}


@pytest.mark.parametrize("name", SUMS)
def test_channels_that_are_added_up_are_one_network(name):
    count, total = SUMS[name]
    ups, downs = (" ".join(f"{side}{c}" for c in range(count)) for side in ("up", "down"))
    constants = CONSTANTS | {"rows": np.array([-1, D])}
    assert named(found(branches(count, total), constants=constants)) == [(ups, None, downs, count)]


def test_branches_of_several_channels_count_together():
    nodes = [
        *branches(1, []),
        *[node("MatMul", "x U2", "h", "up"), RELU, node("MatMul", "z V2", "v", "down")],
        node("Add", "y0 v", "y"),
    ]
    (ffn,) = found(nodes)
    assert named([ffn]) == [("up0 up", None, "down0 down", 5)] and ffn.shape == (D, D + 2 * H, D)


APART = {
    "difference": (branches(2, [node("Sub", "y0 y1", "y")]), ()),
    "stacked": (branches(2, [node("Concat", "y0 y1", "y", axis=0)]), ()),
    "one is an output": (branches(2, [node("Add", "y0 y1", "y")]), ("y0",)),
    "one is read twice": (branches(2, [node("Add", "y0 y1", "y"), node("Neg", "y0", "q")]), ("q",)),
    "reshaped apart": (branches(2, [node("Reshape", "y0 halves", "a"), node("Add", "a y1", "y")]), ()),
    "of two inputs": (
        [
            *branches(1, []),
            *[node("Neg", "x", "n"), node("MatMul", "n U2", "h"), RELU, node("MatMul", "z V2", "v")],
            node("Add", "y0 v", "y"),
        ],
        (),
    ),
}


@pytest.mark.parametrize("name", APART)
def test_branches_that_are_not_added_up_stay_apart(name):
    nodes, more = APART[name]
    assert [len(ffn.ups) for ffn in found(nodes, outputs=("y", *more))] == [1, 1]


def test_gated_branches_are_not_put_together():
    gated = [UP, GATE, node("Relu", "g", "a"), node("Mul", "a h", "z"), node("MatMul", "z V", "v", "down")]
    assert named(found([*branches(1, []), *gated, node("Add", "v y0", "y")])) == [
        ("up0", None, "down0", 1),
        ("up", "gate", "down", 2),
    ]


def test_no_linear_is_in_two_networks_and_those_with_channels_come_first():
    """D -> 7 -> D -> H -> D: the pair in the middle has no channels, and so has the first."""
    nodes = [
        node("MatMul", "x square", "a", "first"),
        node("Relu", "a", "b"),
        node("MatMul", "b U", "c", "second"),
        node("Relu", "c", "d"),
        node("MatMul", "d V", "e", "third"),
        node("Relu", "e", "f"),
        node("MatMul", "f wide", "g", "fourth"),
        node("Relu", "g", "h"),
        node("MatMul", "h back", "y", "fifth"),
    ]
    assert named(found(nodes)) == [("second", None, "third", 2), ("fourth", None, "fifth", None)]


def test_they_come_in_the_order_of_their_first_linears():
    nodes = [
        *[node("MatMul", "x wide", "a", "first"), node("Relu", "a", "b"), node("MatMul", "b back", "x2", "second")],
        node("Softmax", "x2", "x3"),
        *[node("MatMul", "x3 U", "h", "third"), RELU, node("MatMul", "z V", "y", "fourth")],
    ]
    assert named(found(nodes)) == [("first", None, "second", None), ("third", None, "fourth", 2)]


def test_networks_in_branches_and_functions_are_found_and_readers_in_branches_count():
    inside = graph(between(RELU), (), ["y"], {"U": CONSTANTS["U"], "V": CONSTANTS["V"]})
    rest = graph([node("Identity", "x", "w")], (), ["w"])
    call = node("If", "c", "out", "if", then_branch=inside, else_branch=rest)
    inputs = BATCH | {"c": ([], np.bool_)}
    assert named(found([call], inputs, ["out"], {})) == [("if.then_branch/up", None, "if.then_branch/down", 2)]
    held = [node("Constant", "", n, value=onnx.numpy_helper.from_array(CONSTANTS[n])) for n in "UV"]
    body = function("F", "x", "y", [*held, *between(RELU)], opset=OPSET)
    assert len(found([node("F", "x", "y", "", "local")], constants={}, functions=[body])) == 1
    for reader in (node("Neg", "z", "w"), node("MatMul", "z V", "w", "inner")):
        side = graph([reader], (), ["w"])
        nodes = [UP, RELU, node("If", "c", "out", "if", then_branch=side, else_branch=rest)]
        assert named(found([*nodes, DOWN], inputs, ["y", "out"])) == []
        assert named(found(nodes, inputs, ["out"])) == []


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


def test_every_layer_of_a_transformer_has_one(tmp_path):
    gpt2.build(np.random.default_rng(0), tmp_path / "m.onnx", layers=2, width=128, vocabulary=101)
    seen = survey(load(tmp_path / "m.onnx").graph)
    assert named(find_ffns(seen.linears, seen.constants)) == [
        (f"h{layer}.mlp.c_fc", None, f"h{layer}.mlp.c_proj", 4) for layer in range(2)
    ]


def test_every_layer_of_a_trained_transformer_has_one(minilm_path):
    seen = survey(load(minilm_path).graph)
    ffns = find_ffns(seen.linears, seen.constants)
    assert [(ffn.shape, ffn.channels, ffn.gate) for ffn in ffns] == [((384, 1536, 384), 4, None)] * 6
