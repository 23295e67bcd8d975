import numpy as np
import onnx
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutations import random_model, shuffled
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.models.planted import products as planted

SEEDS = st.integers(0, 10**6)


def annotated(rng, model):
    """A copy with something written beside everything."""
    other = onnx.ModelProto.FromString(model.SerializeToString())
    graph = other.graph
    other.doc_string, other.domain, other.model_version = "a model", "org.example", 3
    graph.doc_string = "a graph"
    for index, thing in enumerate((*graph.input, *graph.output, *graph.node, *graph.initializer)):
        thing.doc_string = f"text {index} {rng.integers(1 << 30)}"
        thing.metadata_props.add(key="note", value=str(index))
    return other


def without(model, place):
    """A copy that lacks one text, the `place`-th of all, and what it was written beside; None where it has fewer."""
    other = onnx.ModelProto.FromString(model.SerializeToString())
    graph = other.graph
    things = [other, graph, *graph.input, *graph.output, *graph.node, *graph.initializer]
    place %= len(things)
    things[place].doc_string = ""
    return other, getattr(things[place], "name", "")


@settings(max_examples=8)
@given(SEEDS, st.integers(2, 12), st.booleans(), SEEDS)
def test_one_text_that_is_gone_is_the_only_difference(seed, size, named, place):
    rng = np.random.default_rng(seed)
    model = annotated(rng, random_model(rng, size, named))
    assert scission.diff(model, model).same and scission.diff(model, shuffled(rng, model)).same
    other, name = without(model, place)
    for pair in ((model, other), (other, model)):
        found = scission.diff(*pair)
        assert found.count == 1 and not found.same
        (field,) = (*found.header, *found.texts)
        assert "doc string" in field.what and (not named or name in field.what or "the graph" in field.what)


PROVENANCE = ("scission.origin", "scission.role", "pkg.torch.onnx.fx_node", "namespace")


@settings(max_examples=8)
@given(SEEDS, st.integers(2, 15), st.booleans(), st.sampled_from(PROVENANCE), st.booleans())
def test_provenance_on_one_side_only_is_no_difference(seed, size, named, key, residual):
    """Whatever it says: the name of a node that is there, or of one that is not."""
    rng = np.random.default_rng(seed)
    model = random_model(rng, size, named)
    other = onnx.ModelProto.FromString(model.SerializeToString())
    for node in other.graph.node:
        if rng.random() < 0.7:
            node.metadata_props.add(key=key, value="elsewhere" if residual else other.graph.node[0].name or "x")
    for pair in ((model, other), (other, model)):
        found = scission.diff(*pair)
        assert found.same and not found.texts
        assert [one.what for one in found.provenance] == [key] * any(node.metadata_props for node in other.graph.node)


def stripped(model):
    other = onnx.ModelProto.FromString(model.SerializeToString())
    for thing in (other, other.graph, *other.graph.node):
        del thing.metadata_props[:]
    return other


@pytest.mark.parametrize("changed", [False, True])
def test_a_split_model_whose_metadata_was_stripped(changed):
    """Every node is found again, also where what leads to it is another one."""
    model = planted.build(np.random.default_rng(0), "matmul-right-3", sizes=((32, 32),) * 8).model
    split = scission.apply(model, scission.plan(model, batch=[1, 64], force=True))
    bare = stripped(split)
    if changed:
        bare.graph.node[0].doc_string = "new"
        first = bare.graph.initializer[0]
        first.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(first) + 1, first.name))
    for pair in ((split, bare), (bare, split)):
        found = scission.diff(*pair)
        assert not found.groups and found.matched == len(split.graph.node)
        assert found.same is not changed
    assert scission.diff(model, split).groups[0].by == "provenance"


def test_denotations_and_annotations_of_quantisation_count():
    model = oracles.graph([("Relu", ["x"], ["y"])], {"x": ["n", 4]}, {"y": ["n", 4]}, {"k": np.float32(1)})
    other = onnx.ModelProto.FromString(model.SerializeToString())
    other.graph.input[0].type.denotation = "TENSOR"
    other.graph.input[0].type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    annotation = other.graph.quantization_annotation.add(tensor_name="y")
    annotation.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="k")
    found = scission.diff(model, other)
    assert {str(field) for field in found.texts} == {
        "denotation of input x TENSOR added",
        "denotation of dimension 0 of input x DATA_BATCH added",
        "quantisation of output y SCALE_TENSOR k added",
    }


def test_texts_inside_branches_and_functions():
    def of(text):
        body = [helper.make_node("Relu", ["a"], ["b"], doc_string=text)]
        function = helper.make_function("own", "f", ["a"], ["b"], body, [helper.make_opsetid("", 17)])
        function.doc_string = text
        inner = helper.make_graph(
            [helper.make_node("Neg", ["x"], ["t"], doc_string=text)],
            "then",
            [],
            [helper.make_tensor_value_info("t", TensorProto.FLOAT, ["n"])],
        )
        inner.doc_string = text
        nodes = [
            helper.make_node("f", ["x"], ["z"], domain="own"),
            helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner),
        ]
        ports = [helper.make_tensor_value_info(name, 1, ["n"]) for name in "xyz"]
        c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
        graph = helper.make_graph(nodes, "g", [ports[0], c], ports[1:])
        imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
        return helper.make_model(graph, functions=[function], opset_imports=imports, ir_version=8)

    found = scission.diff(of("one"), of("two"))
    assert found.count == len(found.texts) == 6 and {(one.before, one.after) for one in found.texts} == {("one", "two")}
