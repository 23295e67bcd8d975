"""Which pairs of linears are feed-forward networks."""

import numpy as np
import onnx
import pytest
from networks import BATCH, CONSTANTS, DOWN, GATE, MICROSOFT, OPSET, RELU, UP, D, H, between, found, named, weight
from reference import function, graph, node

from scission.ir.axes.ffn import find_ffns
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.models.trained import gpt2


def test_its_shape_and_linears_are_told():
    (ffn,) = found(between(RELU))
    assert ffn.shape == (D, H, D) and [way.address for way in ffn.linears] == ["up", "down"]


OTHERS = {  # no networks: nodes, and outputs of the model beside y
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
