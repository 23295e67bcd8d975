"""Every rule, as whole axes read it, against ONNX Runtime: operands in another order give the result in that order."""

import numpy as np
import oracles
import pytest
from equivariance import assert_equivariant, found
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx.reference import ReferenceEvaluator
from random_nodes import MS, case, cases, ints
from reference import model, node
from rule_cases import RUNTIME_ONLY, case_of, version

from scission.ir.axes.axis_rule import Sizes
from scission.ir.axes.axis_rules import RULES
from scission.ir.axes.shared_axis import axis_groups
from scission.ir.graph.constants import Constants
from scission.ir.graph.shapes import infer_shapes
from scission.ir.io.load import load

X = {"x": [2, 3, 4]}


def evaluated(proto, feeds):
    """What ONNX says the result is, a number for what is none, so that its places count as well."""
    with np.errstate(all="ignore"):
        return [np.nan_to_num(result, nan=-7) for result in ReferenceEvaluator(proto).run(None, feeds)]


HOLD = {
    "Add": case("Add", "x b", {**X, "b": [4]}),
    "Add of one": case("Add", "x b", {**X, "b": [3, 1]}),
    "Sum": case("Sum", "x b x", {**X, "b": [3, 4]}),
    "Where": case("Where", "c x b", {**X, "b": [1, 4], "c": ([2, 1, 1], np.bool_)}),
    "Clip": case("Clip", "x low", X, {"low": np.float32(0)}),
    "PRelu": case("PRelu", "x b", {**X, "b": [3, 1]}),
    "Gelu": case("Gelu", "x", X),
    "BiasGelu": case("BiasGelu", "x b", {**X, "b": [4]}, domain=MS),
    "FastGelu": case("FastGelu", "x b", {**X, "b": [4]}, domain=MS),
    "Dropout": case("Dropout", "x", X),
    "Dropout told not to train": case("Dropout", "x r t", X, {"r": np.float32(0.5), "t": np.array(False)}),
    "LayerNormalization": case("LayerNormalization", "x s b", {**X, "s": [4], "b": [4]}),
    "LayerNormalization of two": case("LayerNormalization", "x s b", {**X, "s": [3, 4], "b": [3, 4]}, axis=1),
    "SimplifiedLayerNormalization": case("SimplifiedLayerNormalization", "x s", {**X, "s": [4]}),
    "SkipLayerNormalization": case(
        "SkipLayerNormalization", "x k s b c", {**X, "k": [2, 3, 4], "s": [4], "b": [4], "c": [4]}, domain=MS
    ),
    "SkipSimplifiedLayerNormalization": case(
        "SkipSimplifiedLayerNormalization", "x k s", {**X, "k": [2, 3, 4], "s": [4]}, domain=MS
    ),
    "QuantizeLinear": case("QuantizeLinear", "x s", X, {"s": np.float32(0.1)}),
    "QuantizeLinear along an axis": case("QuantizeLinear", "x s", {**X, "s": [3]}, axis=1),
    "Softmax": case("Softmax", "x", X, axis=1),
    "LogSoftmax": case("LogSoftmax", "x", X),
    "ReduceMean": case("ReduceMean", "x a", X, {"a": ints(-1)}),
    "ReduceMax": case("ReduceMax", "x a", X, {"a": ints(1)}, keepdims=0),
    "ReduceL2": case("ReduceL2", "x a", X, {"a": ints(0, 2)}, keepdims=0),
    "ReduceSum of all": case("ReduceSum", "x", X),
    "ReduceSum of nothing": case("ReduceSum", "x", X, noop_with_empty_axes=1),
    "GlobalAveragePool": case("GlobalAveragePool", "x", X),
    "MaxPool": case("MaxPool", "x", X, kernel_shape=[2]),
    "BatchNormalization": case("BatchNormalization", "x s s s v", {**X, "s": [3]}, {"v": np.ones(3, np.float32)}),
    "InstanceNormalization": case("InstanceNormalization", "x s b", {**X, "s": [3], "b": [3]}),
    "LpNormalization": case("LpNormalization", "x", X, axis=1),
    "GlobalLpPool": case("GlobalLpPool", "x", X),
    "Pad": case("Pad", "x p", X, {"p": ints(0, 0, 1, 0, 0, 2)}),
    "Pad of one axis": case("Pad", "x p v a", X, {"p": ints(1, 0), "v": np.float32(3), "a": ints(-2)}, mode="constant"),
    "Resize": case("Resize", "x - s", X, {"s": np.array([1, 1, 2.5], np.float32)}, mode="linear"),
    "Resize to sizes": case("Resize", "x - - s", X, {"s": ints(2, 3, 7)}),
    "Tile": case("Tile", "x n", X, {"n": ints(1, 3, 1)}),
    "GridSample": case("GridSample", "x g", {"x": [2, 3, 4, 4], "g": [2, 5, 5, 2]}),
    "Transpose": case("Transpose", "x", X, perm=[2, 0, 1]),
    "Transpose of all": case("Transpose", "x", X),
    "Squeeze": case("Squeeze", "x a", {"x": [2, 1, 4]}, {"a": ints(1)}),
    "Squeeze of all": case("Squeeze", "x", {"x": [2, 1, 4]}),
    "Unsqueeze": case("Unsqueeze", "x a", X, {"a": ints(1, -1)}),
    "Reshape": case("Reshape", "x s", X, {"s": ints(-1, 4)}),
    "Reshape behind": case("Reshape", "x s", X, {"s": ints(2, 1, 3, 2, 2)}),
    "Flatten": case("Flatten", "x", X, axis=2),
    "Expand": case("Expand", "x s", {"x": [3, 1]}, {"s": ints(2, 1, 5)}),
    "Gather": case("Gather", "x i", X, {"i": np.array([[0, 2], [1, 1]])}, axis=1),
    "Gather of one": case("Gather", "x i", X, {"i": np.array(1)}, axis=-1),
    "Slice": case("Slice", "x s e a", X, {"s": ints(1), "e": ints(3), "a": ints(-2)}),
    "Slice from the first": case("Slice", "x s e", X, {"s": ints(1), "e": ints(2)}),
    "Concat": case("Concat", "x b", {**X, "b": [2, 5, 4]}, axis=1),
    "Split": case("Split", "x s", X, {"s": ints(1, 2)}, outputs="y z", axis=1),
    "MatMul": case("MatMul", "x b", {**X, "b": [4, 5]}),
    "MatMul of batches": case("MatMul", "x b", {**X, "b": [5, 1, 4, 2]}),
    "MatMul with a vector": case("MatMul", "x b", {**X, "b": [4]}),
    "MatMul of a vector": case("MatMul", "b x", {**X, "b": [3]}),
    "FusedMatMul": case("FusedMatMul", "x b", {**X, "b": [2, 5, 3]}, domain=MS, transA=1, transB=1),
    "Gemm": case("Gemm", "x b c", {"x": [2, 3], "b": [3, 4], "c": [4]}),
    "Gemm transposed": case("Gemm", "x b c", {"x": [3, 2], "b": [4, 3], "c": [2, 1]}, transA=1, transB=1),
    "FusedGemm": case("FusedGemm", "x b c", {"x": [2, 3], "b": [3, 4], "c": [4]}, domain=MS, activation="Relu"),
    "Conv": case("Conv", "x w b", {"x": [2, 3, 5], "w": [4, 3, 2], "b": [4]}),
    "Conv of each channel": case("Conv", "x w b", {"x": [2, 3, 5], "w": [3, 1, 2], "b": [3]}, group=3),
    "Einsum": case("Einsum", "x b", {**X, "b": [4, 5, 2]}, equation="abc,cda->dab"),
    "Einsum without an arrow": case("Einsum", "x b", {**X, "b": [4, 5]}, equation="abc,cd"),
}


@pytest.mark.parametrize("name", HOLD)
def test_operands_in_another_order_give_the_result_in_that_order(name):
    tied = assert_equivariant(HOLD[name], np.random.default_rng(0))
    assert name == "ReduceSum of all" or any(len(tie) > 1 for tie in tied)


@pytest.mark.parametrize("op", sorted(RULES))
def test_every_operator_of_the_table_has_a_case_that_holds(op):
    """An operator that is added to the table needs one, unless ONNX says all that there is to say of its operands."""
    chosen = case_of(op, HOLD.values())
    run = oracles.run if chosen[0].domain == MS or op in RUNTIME_ONLY else evaluated
    assert any(len(tie) > 1 for tie in assert_equivariant(chosen, np.random.default_rng(0), run, opset=version(op)))


@settings(max_examples=100)
@given(cases(), st.integers(0, 2**32))
def test_every_rule_is_equivariant_whatever_the_shapes_and_attributes(of, seed):
    assert_equivariant(of, np.random.default_rng(seed), evaluated)


@pytest.mark.parametrize(
    ("name", "free"),
    [
        ("Reshape", {("x", 2), ("y", 1)}),
        ("Slice", {("x", 0), ("x", 2), ("y", 0), ("y", 2)}),
        ("Gather", {("x", 0), ("x", 2), ("i", 0), ("i", 1), ("y", 0), ("y", 1), ("y", 2), ("y", 3)}),
        ("Split", {(n, axis) for n in "xyz" for axis in (0, 2)}),
        ("Concat", {(n, axis) for n in "xby" for axis in (0, 2)}),
        ("MaxPool", {("x", 0), ("x", 1), ("y", 0), ("y", 1)}),
        ("Conv", {("x", 1), ("w", 1), ("w", 0), ("b", 0), ("y", 1), ("x", 0), ("y", 0)}),
    ],
)
def test_what_an_operator_cuts_is_in_no_tie(name, free):
    tied = found(HOLD[name])[0]
    names = {(getattr(place, "value", place).name, axis) for tie in tied for place, axis in tie}
    assert names == free


DYNAMIC = {"x": ["b", "s", 4]}
NOTHING = {
    "TopK": (case("TopK", "x k", X, {"k": ints(2)}, outputs="y z"), "may depend"),
    "CumSum": (case("CumSum", "x a", X, {"a": np.int64(2)}), "may depend"),
    "an operator of another house": (case("Relu", "x", X, domain="elsewhere"), "may depend"),
    "an ONNX operator in ONNX Runtime's house": (case("Softmax", "x", X, domain=MS), "may depend"),
    "Dropout that trains": (case("Dropout", "x r t", X, {"r": np.float32(0.5), "t": np.array(True)}), "random"),
    "unknown rank": (case("Relu", "x", {"x": None}), "unknown rank"),
    "axes that are computed": (case("ReduceSum", "x a", {**X, "a": ([1], np.int64)}), "takes its axes"),
    "Squeeze of what is 1 at run time": (case("Squeeze", "x", DYNAMIC), "run time"),
    "Conv in groups": (case("Conv", "x w", {"x": [2, 4, 5], "w": [4, 2, 2]}, group=2), "groups"),
    "an ellipsis": (case("Einsum", "x b", {**X, "b": [4, 5]}, equation="...c,cd->...d"), "broadcasts"),
    "BatchNormalization that trains": (
        case("BatchNormalization", "x s s s s", {**X, "s": [3]}, outputs="y m v", training_mode=1),
        "norm of channels",
    ),
    "nonsense": (case("Transpose", "x", X, perm=[5, 0, 1]), "cannot be understood"),
    "an axis that is not there": (case("Concat", "x x", X, axis=7), "not there"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_what_is_not_known_ties_nothing_and_says_why(name):
    of, why = NOTHING[name]
    tied = found(of, domains=[MS, "elsewhere"])[0]
    assert isinstance(tied, str) and why in tied, tied


def test_before_operator_set_7_operands_line_up_otherwise():
    assert "before 7" in found(case("Relu", "x", X), opset=6)[0]


def reshaped(shape_nodes, constants):
    nodes = [node("Shape", "x", "n"), *shape_nodes, node("Reshape", "x s", "y")]
    graph = load(model(nodes, DYNAMIC, ["y"], constants)).graph
    infer_shapes(graph)
    last = list(graph.graph)[-1]
    return [[axis for _, axis in tie] for tie in axis_groups(last, Sizes(Constants(graph)))]


def test_a_shape_put_together_at_run_time_tells_its_last_extent():
    first = node("Slice", "n start stop", "m")
    numbers = {"start": ints(0), "stop": ints(2), "four": ints(4), "two": ints(2, 2), "any": ints(-1)}
    assert reshaped([first, node("Concat", "m four", "s", axis=0)], numbers) == [[0, 0], [1, 1], [2, 2]]
    assert reshaped([first, node("Concat", "m two", "s", axis=0)], numbers) == [[0, 0], [1, 1]]
    assert reshaped([node("Concat", "any four", "s", axis=0)], numbers) == [[2, 1]]


TARGETS = {
    "into heads": ("b s two", {}, ("b", "s", 2, 2)),
    "one is left over": ("b s any pair", {}, ("b", "s", 2, 2)),
    "turned": ("s b four", {}, (None, None, 4)),  # where s is 0, it copies b
    "turned, zeros are zeros": ("s b four", {"allowzero": 1}, ("s", "b", 4)),
    "behind all": ("one one one b s four", {}, (1, 1, 1, "b", "s", 4)),
}


@pytest.mark.parametrize("name", TARGETS)
def test_sizes_behind_a_fused_operator_tell_what_a_reshape_makes(name):
    target, attributes, told = TARGETS[name]
    numbers = {"zero": ints(0), "first": ints(1), "one": ints(1), "any": ints(-1), "four": ints(4)}
    numbers |= {"pair": ints(2), "two": ints(2, 2)}
    numbers["numbers"] = np.ones(4, np.float32)  # ONNX infers the type of what is made from it, no shape
    sized = [node("Shape", "g", "all"), node("Gather", "all zero", "b"), node("Gather", "all first", "s")]
    last = node("Reshape", "g target", "y", **attributes)
    before = [node("FastGelu", "x", "f", domain=MS), node("Add", "numbers f", "g")]
    nodes = [*before, *sized, node("Concat", target, "target", axis=0), last]
    proto = model(nodes, DYNAMIC, ["y"], numbers, domains=[MS])
    graph = load(proto).graph
    infer_shapes(graph)
    sizes = Sizes(Constants(graph))
    for here in graph.graph:
        axis_groups(here, sizes)
    made = sizes.of(graph.graph.outputs[0])
    assert tuple(extent if extent in (*told, "b", "s") else None for extent in made) == told
    for b, s in ((3, 2), (1, 5)):
        there = oracles.run(proto, {"x": np.ones((b, s, 4), np.float32)})[0].shape
        named = {"b": b, "s": s}
        assert all(known is None or named.get(known, known) == is_ for known, is_ in zip(told, there, strict=True))


def test_fused_operators_tell_what_onnx_does_not_infer():
    nodes = [
        node("FusedMatMul", "x w", "h", domain=MS),
        node("FastGelu", "h", "g", domain=MS),
        node("SkipLayerNormalization", "g h s b", "y  _ z", domain=MS),
        node("FusedGemm", "v w", "u", domain=MS),
    ]
    nodes[2].output[:] = ["y", "", "", "z"]
    ones = np.ones((4, 6), np.float32)
    shapes = {**DYNAMIC, "v": ["b", 4]}
    graph = load(model(nodes, shapes, ["y"], {"w": ones, "s": ones[0], "b": ones[0]}, domains=[MS])).graph
    infer_shapes(graph)
    sizes = Sizes(Constants(graph))
    for here in graph.graph:
        assert isinstance(axis_groups(here, sizes), list)
    made = {v.name: sizes.of(v) for here in graph.graph for v in here.outputs if v.name}
    assert made == {**dict.fromkeys("hgyz", ("b", "s", 6)), "u": ("b", 6)}
