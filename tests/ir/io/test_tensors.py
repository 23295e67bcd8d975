"""Walks over nodes and the graphs that they hold are those that onnx_ir makes, which start two generators a node; and
tensors that are looked at where they lie."""

import os

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from scission.ir.errors import ModelError
from scission.ir.io import tensors
from scission.ir.io.load import load
from scission.ir.io.tensors import MappedFiles, every_node, graphs, graphs_within, read

BRANCHES = st.recursive(st.just([]), lambda inner: st.lists(st.tuples(inner, inner), max_size=3), max_leaves=8)


def graph_of(shape, depth="g"):
    """A Relu, then one If for each pair of branches, each branch made likewise."""
    nodes = [helper.make_node("Relu", ["x"], [f"{depth}_r"], f"{depth}_r")]
    for place, sides in enumerate(shape):
        inner = [graph_of(side, f"{depth}_{place}{which}") for which, side in zip("te", sides, strict=True)]
        name = f"{depth}_{place}"
        nodes.append(helper.make_node("If", ["c"], [name], name, then_branch=inner[0], else_branch=inner[1]))
    outputs = [helper.make_tensor_value_info(nodes[-1].output[0], 1, ["n"])]
    return helper.make_graph(nodes, depth, [], outputs)


@settings(max_examples=30)
@given(BRANCHES)
def test_nodes_and_graphs_come_in_the_order_in_which_they_stand(shape):
    graph = graph_of(shape)
    graph.input.extend([helper.make_tensor_value_info("x", 1, ["n"]), helper.make_tensor_value_info("c", 9, [])])
    model = load(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)).graph
    assert list(every_node(model.graph)) == list(model.graph.all_nodes())
    assert graphs_within(model.graph) == list(model.graph.subgraphs())
    assert list(graphs(model)) == [model.graph, *model.graph.subgraphs()]


def stored(folder, external):
    """The tensors of a model of three weights in a file, and that file."""
    rng = np.random.default_rng(0)
    kinds = (np.float32, np.int8, np.float64)
    weights = [
        numpy_helper.from_array((9 * rng.standard_normal((1200, 1000 + place))).astype(kind), f"W{place}")
        for place, kind in enumerate(kinds)
    ]
    graph = helper.make_graph([], "g", [], [], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "model.onnx"
    onnx.save(model, path, save_as_external_data=external, location="data", size_threshold=0)
    found = load(path).graph.graph.initializers.values()
    return [value.const_value for value in found], folder / "data" if external else path


@pytest.mark.parametrize("external", [False, True])
def test_each_file_is_opened_once_and_its_tensors_are_what_is_read_of_it(tmp_path, monkeypatch, external):
    held, path = stored(tmp_path, external)
    files, opened, whole = MappedFiles(), [], tensors.open_tensor
    monkeypatch.setattr(tensors, "open_tensor", lambda one: (opened.append(one.name), whole(one))[1])
    arrays = [files.array(one) for one in held]
    assert opened == ["W0"]
    for array, one in zip(arrays, held, strict=True):
        assert np.array_equal(array, read(one)) and array.dtype == read(one).dtype and not array.flags.writeable
    os.truncate(path, path.stat().st_size - 8)
    with pytest.raises(ModelError, match="the file became shorter"):
        files.array(held[-1])
