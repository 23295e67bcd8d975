import numpy as np
import onnx
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mutations import KINDS, mutated, random_model, shuffled, told, towers
from onnx import TensorProto, helper, numpy_helper
from small_models import mlp

import scission

SEEDS = st.integers(0, 10**6)


@settings(max_examples=12)
@given(SEEDS, st.integers(1, 25), st.booleans(), st.booleans())
def test_a_model_is_the_same_as_itself_under_other_names(seed, size, named, layers):
    rng = np.random.default_rng(seed)
    model = random_model(rng, size, named, layers)
    assert scission.diff(model, model).same and scission.diff(model, shuffled(rng, model)).same


@settings(max_examples=8)
@pytest.mark.parametrize("kind", KINDS)
@given(SEEDS, st.integers(2, 20), st.booleans(), st.booleans())
def test_one_change_is_found_and_nothing_else(kind, seed, size, named, layers):
    rng = np.random.default_rng(seed)
    model = random_model(rng, size, named, layers)
    change = mutated(rng, model, kind)
    assume(change is not None)
    other, what = change
    assert told(scission.diff(model, other), other, kind) == what


@settings(max_examples=12)
@given(SEEDS, st.integers(2, 12), st.integers(2, 12))
def test_the_other_way_round_added_is_removed(seed, size, other):
    rng = np.random.default_rng(seed)
    one, two = random_model(rng, size, False), random_model(rng, other, False)
    there, back = scission.diff(one, two), scission.diff(two, one)
    assert (len(there.added), len(there.removed)) == (len(back.removed), len(back.added))
    assert there.matched == back.matched and there.same is back.same


@pytest.mark.parametrize("tied", [True, False])
def test_towers_of_the_same_layers(tied):
    model = towers(np.random.default_rng(0), height=6, count=4, tied=tied)
    assert scission.diff(model, shuffled(np.random.default_rng(1), model)).same
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.node[5].op_type = "Tanh"
    (group,) = scission.diff(model, other).groups
    assert [node.op for node in (*group.before, *group.after)] == ["Relu", "Tanh"]


def test_a_thousand_nodes():
    model = towers(np.random.default_rng(0), height=125, count=4)
    assert scission.diff(model, shuffled(np.random.default_rng(1), model)).same


def branching(inner=0.1, deep=0):
    """An If with branches that read outside, `deep` times inside one another."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y"))
    flag = helper.make_tensor_value_info("flag", TensorProto.BOOL, [])
    core = [helper.make_node("LeakyRelu", ["h"], ["in0"], alpha=inner)]
    for level in range(deep + 1):
        out = helper.make_tensor_value_info(f"in{level}", TensorProto.FLOAT, ["n"])
        other = helper.make_node("Neg", ["h"], [f"else{level}"])
        end = helper.make_tensor_value_info(f"else{level}", TensorProto.FLOAT, ["n"])
        bodies = {
            "then_branch": helper.make_graph(core, "then", [], [out]),
            "else_branch": helper.make_graph([other], "else", [], [end]),
        }
        core = [helper.make_node("If", ["flag"], [f"in{level + 1}" if level < deep else "y"], **bodies)]
    nodes = [helper.make_node("Abs", ["x"], ["h"]), *core]
    return helper.make_model(helper.make_graph(nodes, "g", [x, flag], [y]), ir_version=8)


@pytest.mark.parametrize("deep", [0, 6])
def test_changes_inside_branches(deep):
    one, two = branching(0.1, deep), branching(0.5, deep)
    assert scission.diff(one, one).same and scission.diff(one, shuffled(np.random.default_rng(0), one)).same
    (change,) = scission.diff(one, two).nodes
    assert change.kind == "changed" and change.after.address.count("then_branch") == deep + 1
    assert scission.diff(one, two).count == 1


def looping(reads="state"):
    state, step, keep, go = (
        helper.make_tensor_value_info(name, kind, shape)
        for name, kind, shape in (("state", 1, ["n"]), ("i", 7, []), ("keep", 9, []), ("go", 9, []))
    )
    body = helper.make_graph(
        [helper.make_node("Identity", ["keep"], ["go"]), helper.make_node("Add", [reads, "h"], ["next"])],
        "body",
        [step, keep, state],
        [go, helper.make_tensor_value_info("next", 1, ["n"])],
    )
    nodes = [helper.make_node("Abs", ["x"], ["h"]), helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)]
    x, y = (helper.make_tensor_value_info(name, 1, ["n"]) for name in "xy")
    count = numpy_helper.from_array(np.array(3), "n")
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y], [count]), ir_version=8)


def test_edges_inside_loops():
    one, two = looping(), looping("h")
    assert scission.diff(one, shuffled(np.random.default_rng(0), one)).same
    (change,) = scission.diff(one, two).nodes
    assert (change.kind, str(change.fields[0])) == ("moved", "operand 0 state -> Abs#0")


def calling(alpha=0.1, name="f"):
    body = [helper.make_node("LeakyRelu", ["a"], ["b"], alpha=alpha)]
    function = helper.make_function("own", name, ["a"], ["b"], body, [helper.make_opsetid("", 17)])
    x, y = (helper.make_tensor_value_info(port, 1, ["n"]) for port in "xy")
    graph = helper.make_graph([helper.make_node(name, ["x"], ["y"], domain="own")], "g", [x], [y])
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=8)


def test_changes_inside_functions():
    (change,) = scission.diff(calling(), calling(0.5)).nodes
    assert change.after.address.startswith("own::f/") and scission.diff(calling(), calling(0.5)).count == 1
    found = scission.diff(calling(), calling(name="g"))
    assert {field.what for field in found.header} == {"function own::f", "function own::g"}
    assert scission.diff(calling(), calling()).same


def edit(change):
    model, _ = mlp(np.random.default_rng(0))
    change(model)
    return model


def _rename(model):
    model.graph.input[0].name = "entry"
    for node in model.graph.node:
        node.input[:] = ["entry" if name == "x" else name for name in node.input]


HEADERS = [
    (lambda m: m.metadata_props.add(key="k", value="v"), "metadata k", (None, "v")),
    (lambda m: setattr(m, "ir_version", 9), "IR version", ("8", "9")),
    (
        lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "rows"),
        "input x shape",
        ("[n, 4]", "[rows, 4]"),
    ),
    (_rename, "input name", ("x", "entry")),
    (lambda m: m.graph.output.pop(), "output", ("z float [n, 2]", None)),
    (lambda m: m.graph.input.add(name="new", type=m.graph.input[0].type), "input", (None, "new float [n, 4]")),
]


@pytest.mark.parametrize(("change", "what", "both"), HEADERS)
def test_header_and_interface(change, what, both):
    found = scission.diff(edit(lambda _: None), edit(change))
    assert found.count == 1
    (field,) = (*found.header, *found.interface)
    assert (field.what, (field.before, field.after)) == (what, both)


def test_who_wrote_a_model_is_no_difference():
    assert scission.diff(edit(lambda _: None), edit(lambda m: setattr(m, "producer_name", "somebody"))).same


def test_an_output_that_another_node_makes():
    one, two = (edit(lambda _: None) for _ in range(2))
    two.graph.node[1].output[0], two.graph.node[2].input[0] = "h2", "h2"
    for model, inner in ((one, ("h", "g")), (two, ("g", "h2"))):
        model.graph.output.append(helper.make_tensor_value_info(inner[0], 1, ["n", 6]))
    found = scission.diff(one, two)
    assert not found.same and any(field.what.startswith("output") for field in found.interface)


def branched(then, other):
    """An If whose branches hand out the named values of what both compute: r, n and the outer x."""

    def branch(name, ends):
        nodes = [helper.make_node("Relu", ["x"], [f"{name}r"]), helper.make_node("Neg", ["x"], [f"{name}n"])]
        outputs = [helper.make_tensor_value_info(f"{name}{end}", TensorProto.FLOAT, ["m", 2]) for end in ends]
        return helper.make_graph(nodes, name, [], outputs)

    branches = {"then_branch": branch("t", then), "else_branch": branch("e", other)}
    node = helper.make_node("If", ["c"], ["y", "z"], **branches)
    x, y, z = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["m", 2]) for name in "xyz")
    c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    return helper.make_model(
        helper.make_graph([node], "g", [c, x], [y, z]), opset_imports=[helper.make_opsetid("", 17)]
    )


def functional(ends):
    """A local function that hands out values of what it computes."""
    nodes = [helper.make_node("Relu", ["p"], ["r"]), helper.make_node("Neg", ["p"], ["n"])]
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("loc", "F", ["p"], list(ends), nodes, imports)
    x, y, z = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["m", 2]) for name in "xyz")
    graph = helper.make_graph([helper.make_node("F", ["x"], ["y", "z"], domain="loc")], "g", [x], [y, z])
    return helper.make_model(graph, functions=[function], opset_imports=[*imports, helper.make_opsetid("loc", 1)])


@pytest.mark.parametrize(
    ("one", "two", "where"),
    [
        (branched("rn", "rn"), branched("rr", "rn"), "If#0.then_branch: output 1"),
        (branched("rn", "rn"), branched("rn", "nr"), "If#0.else_branch: output 0"),
        (functional("rn"), functional("nr"), "loc::F: output 0"),
        (functional("rn"), functional("rr"), "loc::F: output 1"),
    ],
)
def test_what_graphs_inside_hand_out_counts(one, two, where):
    assert scission.diff(one, one).same and scission.diff(two, two).same
    found = scission.diff(one, two)
    assert not found.same and found.nodes == () and any(field.what.startswith(where) for field in found.interface)
