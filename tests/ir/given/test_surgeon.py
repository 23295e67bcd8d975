import random

import ml_dtypes
import numpy as np
import onnx
import oracles
import pytest
import random_models
from one_linear import one_linear
from onnx import TensorProto, helper, numpy_helper

import scission
from scission.ir.given.surgeon import exported, imported, is_surgeon_graph

gs = pytest.importorskip("onnx_graphsurgeon")


@pytest.mark.parametrize("seed", range(60))
def test_random_models_are_the_same_as_graphs(tmp_path, seed):
    """Every type, place and storage of a weight that graphsurgeon reads at all goes there and back."""
    sample = random_models.sample(random.Random(seed), tmp_path)
    model = onnx.load(sample.path)
    try:
        graph = gs.import_onnx(model)
        gs.export_onnx(gs.import_onnx(model))
    except Exception:
        pytest.skip("graphsurgeon itself does not take this one")
    before = oracles.run(model, sample.feeds)
    oracles.assert_close(before, oracles.run(exported(graph), sample.feeds), 0)
    oracles.assert_close(before, oracles.run(exported(imported(exported(graph))), sample.feeds), 0)
    kept = exported(imported(model))
    assert kept.metadata_props == model.metadata_props and kept.doc_string == model.doc_string
    assert [(one.metadata_props, one.doc_string) for one in oracles.every_node(kept)] == [
        (one.metadata_props, one.doc_string) for one in oracles.every_node(model)
    ]
    plan = scission.plan(graph, force=True)
    split = scission.apply(graph, plan)
    assert is_surgeon_graph(split)
    assert bool(plan.changes) == (split is not graph)
    same = scission.apply(model, plan)
    oracles.assert_close(oracles.run(same, sample.feeds), oracles.run(exported(split), sample.feeds), 0)
    oracles.assert_close(before, oracles.run(exported(graph), sample.feeds), 0)


def test_inputs_that_may_be_overridden_stay_inputs():
    model = one_linear(b=np.ones((1, 32), np.float32))
    model.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 32]))
    model.graph.node[0].output[0] = "z"
    model.graph.node.append(helper.make_node("Add", ["z", "b"], ["y"]))
    assert [one.name for one in gs.import_onnx(model).inputs] == ["x"]  # what the library itself loses
    graph = imported(model)
    split = scission.apply(graph, scission.plan(graph, force=True))
    assert split is not graph
    back = exported(split)
    assert [one.name for one in back.graph.input] == ["x", "b"]
    feeds = {"x": np.ones((2, 32), np.float32), "b": np.full((1, 32), 3, np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(back, feeds))


def said(message, value):
    """The same message with something said of it."""
    message.doc_string = value
    message.metadata_props.add(key="said", value=value)
    return message


def told(message):
    return message.doc_string, *((one.key, one.value) for one in message.metadata_props)


def test_what_is_said_of_tensors_and_functions_is_carried():
    """An input that has a default is said to be twice, as a value and as a tensor."""
    model = one_linear(b=np.ones((1, 32), np.float32))
    model.graph.input.append(helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 32]))
    opset = helper.make_opsetid("", model.opset_import[0].version)
    double = helper.make_function("own", "Double", ["p"], ["q"], [helper.make_node("Add", ["p", "p"], ["q"])], [opset])
    model.functions.append(said(double, "function"))
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.graph.node[0].output[0] = "z"
    model.graph.node.append(helper.make_node("Add", ["z", "b"], ["v"]))
    model.graph.node.append(helper.make_node("Double", ["v"], ["y"], domain="own"))
    model.graph.value_info.append(helper.make_tensor_value_info("v", TensorProto.FLOAT, [None, 32]))
    places = (model.graph.input, model.graph.output, model.graph.value_info, model.graph.initializer)
    for number, place in enumerate(places):
        for one in place:
            said(one, f"{number} {one.name}")
    onnx.checker.check_model(model)
    graph = imported(model)
    assert isinstance(graph.tensors()["b"].values, np.ndarray)  # the library makes others of values that were read
    back = exported(graph)
    assert told(back.functions[0]) == told(model.functions[0])
    for place in ("input", "output", "value_info", "initializer"):
        have = {one.name: told(one) for one in getattr(back.graph, place)}
        assert {one.name: told(one) for one in getattr(model.graph, place)}.items() <= have.items()
    split = exported(scission.apply(graph, scission.plan(graph, force=True)))
    assert [told(one) for one in split.graph.input] == [told(one) for one in model.graph.input]


def test_a_function_may_be_given_graphs():
    """What stands in its node is a reference, which has no nodes."""
    bodies = {
        f"{word}_branch": helper.make_graph(
            [helper.make_node("Constant", [], [word], value_float=value)],
            word, [], [helper.make_tensor_value_info(word, TensorProto.FLOAT, [])],
        )
        for word, value in (("then", 1.0), ("else", 2.0))
    }  # fmt: skip
    choice, opset = helper.make_node("If", ["a"], ["b"]), helper.make_opsetid("", 21)
    for name in bodies:
        choice.attribute.add(name=name, ref_attr_name=name, type=onnx.AttributeProto.GRAPH)
    function = helper.make_function("own", "Choose", ["a"], ["b"], [choice], [opset], attributes=[*bodies])
    called = helper.make_node("Choose", ["c"], ["y"], domain="own", **bodies)
    ends = (helper.make_tensor_value_info(name, kind, []) for name, kind in (("c", TensorProto.BOOL), ("y", 1)))
    graph = helper.make_graph([called], "g", *([one] for one in ends))
    opsets = [opset, helper.make_opsetid("own", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=[function], ir_version=10)
    onnx.checker.check_model(model)
    assert exported(imported(model)).functions == model.functions


def test_an_input_that_nothing_reads_keeps_its_value():
    model = one_linear(unread=np.arange(3, dtype=np.float32))
    model.graph.input.append(helper.make_tensor_value_info("unread", TensorProto.FLOAT, [3]))
    back = exported(imported(model))
    assert [one.name for one in back.graph.input] == ["x", "unread"]


@pytest.mark.parametrize("kind", [ml_dtypes.int4, ml_dtypes.uint4])
@pytest.mark.parametrize("count", [1, 2, 7, 8])
def test_values_of_four_bits_that_python_made_are_packed(kind, count):
    low = 0 if kind is ml_dtypes.uint4 else -4
    values = np.arange(low, low + count).astype(kind)
    codes, scale = gs.Constant("codes", values), gs.Constant("scale", np.array(0.5, np.float32))
    x, d, y = (gs.Variable(name, np.float32, [count]) for name in "xdy")
    nodes = [
        gs.Node("DequantizeLinear", inputs=[codes, scale], outputs=[d]),
        gs.Node("Add", inputs=[x, d], outputs=[y]),
    ]
    graph = gs.Graph(nodes, [x], [y], opset=21, ir_version=10, name="g")
    model = exported(graph)
    assert codes.values is values  # the graph is as it was
    packed = next(one for one in model.graph.initializer if one.name == "codes")
    assert numpy_helper.to_array(packed).tolist() == values.tolist()
    assert (
        oracles.run(model, {"x": np.zeros(count, np.float32)})[0].tolist() == (values.astype(np.float32) / 2).tolist()
    )
    again = imported(model)
    assert again.tensors()["codes"].values.tolist() == values.tolist()  # read, so that it is no stored tensor any more
    assert exported(again).graph.initializer[0].raw_data == model.graph.initializer[0].raw_data


def test_attributes_that_the_importer_passes_over_are_carried():
    made = helper.make_node("Optional", [], ["o"], "o", type=helper.make_tensor_type_proto(1, ["n", 32]))
    asked = helper.make_node("OptionalHasElement", ["o"], ["has"])
    model = one_linear()
    model.graph.node.extend([made, asked])
    model.graph.output.append(helper.make_tensor_value_info("has", TensorProto.BOOL, []))
    graph = imported(model)
    split = scission.apply(graph, scission.plan(graph, force=True))
    node = next(one for one in exported(split).graph.node if one.op_type == "Optional")
    assert node.attribute[0].tp == made.attribute[0].tp


def test_what_cannot_be_exported_is_one_error_that_says_what_to_do():
    graph = gs.import_onnx(one_linear())
    graph.outputs[0].dtype = None
    with pytest.raises(scission.ModelError, match=r"graph 'graph'.*dtype"):
        scission.plan(graph)


def test_exporting_changes_no_graph():
    graph = gs.import_onnx(one_linear())
    graph.import_domains = None
    exported(graph)
    assert graph.import_domains is None
