import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from onnx_ir.passes.common import InlinePass
from reference import function, graph, model, node

from scission.ir.errors import ModelError
from scission.ir.graph.functions import callers, inline, weight_takers
from scission.ir.graph.shapes import infer_shapes, shapes_at
from scission.ir.graph.survey import survey
from scission.ir.io.load import load
from scission.ir.io.save import to_proto
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.reason import Cause

W = np.random.default_rng(0).standard_normal((4, 4)).astype(np.float32)
V = W[::-1].copy()


def held(name, array=W):
    return node("Constant", "", name, value=numpy_helper.from_array(array))


def call(op, inputs, output, name="", **attributes):
    return node(op, inputs, output, name, "local", **attributes)


TAKER = function("Taker", "x w", "y", [node("MatMul", "x w", "y", "product")])
OWNER = function("Owner", "x", "y", [held("k"), node("MatMul", "x k", "y", "product")])
OUTER = function("Outer", "x w", "y", [call("Taker", "x w", "t"), node("Relu", "t", "y")])
USER = function("User", "x", "y", [held("k"), call("Taker", "x k", "y", "inner")])


def calling(*calls, functions=(TAKER, OWNER, OUTER), **options):
    outputs = {n.output[0]: None for n in calls}
    return model(
        calls, {"x": [2, 4], "d": [4, 4]}, outputs, {"W": W, "V": V, "b": W[0]}, functions=functions, **options
    )


def takers(proto):
    return {name for _, name, _ in weight_takers(load(proto).graph)[0]}


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([], set()),
        ([call("Taker", "x W", "y")], {"Taker"}),
        ([call("Taker", "x d", "y")], set()),
        ([call("Taker", "x d", "y"), call("Taker", "x W", "z")], {"Taker"}),
        ([call("Taker", "x b", "y")], set()),
        ([call("Owner", "x", "y")], set()),
        ([call("Outer", "x W", "y")], {"Outer", "Taker"}),
        ([call("Outer", "x d", "y")], set()),
        ([node("Transpose", "W", "t"), call("Taker", "x t", "y")], {"Taker"}),
    ],
)
def test_a_function_takes_weights_when_a_call_hands_it_a_constant_matrix(calls, expected):
    assert takers(calling(*calls)) == expected


def test_a_constant_of_another_function_counts():
    assert takers(calling(call("User", "x", "y"), functions=(TAKER, USER))) == {"Taker"}


def test_a_weight_counts_that_passes_through_an_operator_on_its_way_to_an_inner_function():
    turning = function("Turning", "x w", "y", [node("Transpose", "w", "t"), call("Taker", "x t", "y")])
    assert takers(calling(call("Turning", "x W", "y"), functions=(TAKER, turning))) == {"Taker", "Turning"}


def test_a_call_in_a_branch_counts():
    side = graph([call("Taker", "x W", "z")], (), ["z"])
    proto = calling(node("If", "c", "y", then_branch=side, else_branch=side))
    proto.graph.initializer.append(numpy_helper.from_array(np.array(True), "c"))
    assert takers(proto) == {"Taker"}


def test_an_overridable_weight_does_not_count():
    proto = calling(call("Taker", "x W", "y"))
    proto.graph.input.append(onnx.helper.make_tensor_value_info("W", 1, [4, 4]))
    assert takers(proto) == set()


def test_what_cannot_stand_in_for_its_call_is_told_with_the_reason():
    older = function("Older", "x w", "y", [node("MatMul", "x w", "y")], opset=13)
    handed = function("Handed", "x w", "y", [node("MatMul", "x w", "y")], attributes=["body"])
    pair = function("Pair", "x w", "y z", [node("MatMul", "x w", "y"), node("Relu", "x", "z")])
    short = call("Pair", "x W", "p")
    short.output.append("")
    calls = [
        call("Older", "x W", "y"),
        call("Handed", "x W", "z", body=graph([node("Identity", "x", "e")], (), ["e"])),
        short,
    ]
    proto = calling(*calls, functions=[older, handed, pair])
    found, blocked = weight_takers(load(proto).graph)
    assert found == set()
    assert {name: reason.text for (_, name, _), reason in blocked.items()} == {
        "Older": "the function imports version 13 of 'ai.onnx', the model another one",
        "Handed": "the function takes a graph as an attribute",
        "Pair": "a call leaves out an output",
    }


def test_callers_are_found_through_any_number_of_functions():
    both = calling(call("Outer", "x W", "y"), call("User", "x", "z"), functions=(TAKER, OUTER, USER))
    graph = load(both).graph
    names = lambda start: {name for _, name, _ in callers(graph, [("local", start, "")])}  # noqa: E731
    assert names("Taker") == {"Taker", "Outer", "User"}
    assert names("Outer") == {"Outer"}
    assert names("Owner") == {"Owner"}


MODELS = {
    "two weights": calling(call("Taker", "x W", "y"), call("Taker", "x V", "z"), functions=[TAKER]),
    "constant and dynamic": calling(call("Taker", "x W", "y"), call("Taker", "x d", "z"), functions=[TAKER]),
    "nested": calling(call("Outer", "x W", "y"), call("Outer", "x V", "z"), functions=[TAKER, OUTER]),
    "beside an owner": calling(call("Taker", "x W", "y"), call("Owner", "x", "z"), functions=[TAKER, OWNER]),
    "inside another function": calling(call("Taker", "x W", "y"), call("User", "x", "z"), functions=[TAKER, USER]),
}
WEIGHTS = {
    "two weights": [W, V],
    "constant and dynamic": [W],
    "nested": [W, V],
    "beside an owner": [W, W],
    "inside another function": [W, W],
}


def run(proto):
    data = {"x": np.arange(8, dtype=np.float32).reshape(2, 4), "d": V.T.copy()}
    return onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, data)


@pytest.mark.parametrize("name", MODELS)
def test_bodies_in_place_of_calls_compute_the_same_and_show_their_weights(name):
    before = load(MODELS[name])
    copy, origins = inline(before.graph, weight_takers(before.graph)[0])
    found = survey(copy)
    assert [linear.canonical(found.constants).tolist() for linear in found.linears] == [
        w.tolist() for w in WEIGHTS[name]
    ]
    assert all(linear.in_function or origins[linear.node][1] == "Taker" for linear in found.linears)
    after = to_proto(before, copy)
    left = [prop.key for f in (after.graph, *after.functions) for n in f.node for prop in n.metadata_props]
    assert not any(key.startswith("scission") for key in left)
    for expected, got in zip(run(MODELS[name]), run(after), strict=True):
        np.testing.assert_array_equal(got, expected)
    assert [(o.name, o.type) for o in after.graph.output] == [(o.name, o.type) for o in MODELS[name].graph.output]


@pytest.mark.parametrize("name", MODELS)
def test_inlining_is_deterministic_and_leaves_the_model_alone(name):
    before = load(MODELS[name])
    text = ir.to_proto(before.graph).SerializeToString(deterministic=True)
    chosen = weight_takers(before.graph)[0]
    first, second = (
        ir.to_proto(inline(before.graph, order)[0]) for order in (sorted(chosen), sorted(chosen, reverse=True))
    )
    assert first == second
    assert ir.to_proto(before.graph).SerializeToString(deterministic=True) == text


def test_nothing_to_inline_is_a_plain_copy():
    before = load(MODELS["nested"]).graph
    copy, origins = inline(before, [])
    assert copy is not before and origins == {} and ir.to_proto(copy) == ir.to_proto(before)


def doubling(levels):
    """Functions each of which calls the one before it twice, the first with a weight."""
    calls = lambda i: [call(f"F{i - 1}", "x w", "t"), call(f"F{i - 1}", "t w", "y")]  # noqa: E731 - as short as its use
    first = function("F0", "x w", "y", [node("MatMul", "x w", "y")])
    made = [first, *(function(f"F{i}", "x w", "y", calls(i)) for i in range(1, levels))]
    return calling(call(f"F{levels - 1}", "x W", "y"), functions=made)


def test_functions_that_call_one_another_twice_are_counted_before_they_are_put_anywhere(monkeypatch):
    loaded = load(doubling(24))
    monkeypatch.setattr(ir.Model, "clone", lambda *_: pytest.fail("it was copied"))
    assert weight_takers(loaded.graph)[0] == set()
    blocked = weight_takers(loaded.graph)[1]
    assert len(blocked) == 24 and all(reason.cause is Cause.IN_FUNCTION for reason in blocked.values())
    assert {str(reason) for reason in blocked.values()} == {
        "in the place of their calls, functions would be 8,388,608 nodes"
    }
    with pytest.raises(ModelError, match="8,388,608 nodes"):
        inline(loaded.graph, sorted(blocked))


def test_shapes_of_functions_that_unfold_endlessly_are_not_inferred(monkeypatch):
    loaded = load(doubling(24))
    monkeypatch.setattr(onnx.shape_inference, "infer_shapes", lambda *_, **__: pytest.fail("it was asked for"))
    infer_shapes(loaded.graph)
    assert shapes_at(loaded.graph, [{}]) == [{}]


def test_functions_that_unfold_to_some_are_put_in_the_place_of_their_calls():
    loaded = load(doubling(6))
    found, blocked = weight_takers(loaded.graph)
    assert len(found) == 6 and not blocked
    assert len(list(inline(loaded.graph, sorted(found))[0].graph)) == 32


NAMES = st.sampled_from(["", "n", "n_2", "n_3", "node", "node_2"])
VALUES = st.sampled_from(["v", "v_2", "val", "v_2_2"])


@st.composite
def models(draw):
    """Calls of functions that call one another, with branches inside, named like what copies are called."""
    inner, name = draw(VALUES), draw(NAMES)
    branch = graph([node("Relu", "x", inner + "_in", name)], [], [inner + "_in"])
    held = [node("If", "c", "b", draw(NAMES), then_branch=branch, else_branch=branch)] if draw(st.booleans()) else []
    flag = [node("Constant", "", "c", draw(NAMES), value=numpy_helper.from_array(np.array(True)))] if held else []
    first = [*flag, *held, node("Relu", "x", inner, name), node("Neg", inner, "y", draw(NAMES))]
    second = [call("One", "x", inner, draw(NAMES)), call("One", inner, "y", draw(NAMES))]
    functions = [function("One", "x", "y", first), function("Two", "x", "y", second)]
    nodes, source = [], "x"
    for place in range(draw(st.integers(1, 6))):
        target = draw(VALUES) + f"_{place + 2}" if draw(st.booleans()) else f"t{place}"
        if target in {one.output[0] for one in nodes}:
            continue
        nodes.append(call(draw(st.sampled_from(["One", "Two"])), source, target, draw(NAMES)))
        source = target
    return model(nodes, {"x": [2]}, [source], functions=functions)


def named(made):
    nodes = list(made.graph.all_nodes())
    return [(one.name, one.op_type, [v.name for v in one.inputs], [v.name for v in one.outputs]) for one in nodes]


@given(models())
def test_names_are_those_that_are_found_by_trying_all_numbers_each_time(proto):
    read = load(proto).graph
    tried = read.clone()
    InlinePass()(tried)
    assert named(inline(read, list(read.functions))[0]) == named(tried)
    assert named(inline(read, list(read.functions))[0]) == named(tried)  # the model that is read keeps its own


def test_many_calls_of_a_function_without_names():
    count = 3000
    nodes = [call("One", f"x{place}", f"x{place + 1}", "") for place in range(count)]
    proto = model(nodes, {"x0": [2]}, [f"x{count}"], functions=[function("One", "x", "y", [node("Relu", "x", "y")])])
    made, origins = inline(load(proto).graph, [("local", "One", "")])
    names = [one.name for one in made.graph]
    assert len(set(names)) == count == len(origins) and names[-1] == f"node_{count}"
