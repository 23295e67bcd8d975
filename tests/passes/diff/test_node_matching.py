import numpy as np
import onnx
import pytest
from mutations import random_model, shuffled, towers

from scission.ir.io.load import load
from scission.passes.diff.node_matching import pair_nodes
from scission.passes.diff.tensor_identity import Contents
from scission.passes.diff.value_numbering import Numbers, anatomy


def paired(one, other):
    numbers, contents = Numbers(), Contents()
    seen = [anatomy(load(model).graph, numbers, contents) for model in (one, other)]
    return seen, pair_nodes(*seen)


@pytest.mark.parametrize("tied", [True, False])
def test_twins_are_all_paired(tied):
    model = towers(np.random.default_rng(0), tied=tied)
    (one, _), pairs = paired(model, shuffled(np.random.default_rng(1), model))
    assert len(pairs.forth) == len(one.home) == len(pairs.back)


@pytest.mark.parametrize("index", [0, 6, 11])
def test_a_node_without_name_is_found_from_its_neighbours(index):
    model = random_model(np.random.default_rng(3), 12, named=False)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    other.graph.node[index].attribute.append(onnx.helper.make_attribute("strange", 7))
    (one, two), pairs = paired(model, other)
    assert [pairs.forth[node] for node in one.main.nodes] == list(two.main.nodes)


def test_numbers_as_names_do_not_mislead():
    """A node put in front moves all numbers on by one."""
    model = random_model(np.random.default_rng(4), 10, layers=True)
    other = onnx.ModelProto()
    other.CopyFrom(model)
    for node in other.graph.node:
        node.name = f"node{int(node.name[4:]) + 1}"
    other.graph.node.insert(0, onnx.helper.make_node("Elu", ["y"], ["unread"], name="node0", alpha=0.123))
    (one, two), pairs = paired(model, other)
    assert [pairs.forth[node] for node in one.main.nodes] == list(two.main.nodes)[1:]
