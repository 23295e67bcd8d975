import numpy as np
import onnx
import oracles
import pytest
from onnx import helper

import scission
from scission.models.planted.products import KINDS, build


def graph(nodes, x=("n", 4)):
    ports = [helper.make_tensor_value_info(name, 1, x) for name in "xy"]
    return helper.make_model(helper.make_graph(nodes, "g", ports[:1], ports[1:]))


def chain(*ops, names=None):
    values = ["x", *(names or [f"h{index}" for index in range(len(ops) - 1)]), "y"]
    return graph([helper.make_node(op, [values[i]], [values[i + 1]]) for i, op in enumerate(ops)])


def kinds(a, b):
    found = scission.diff(a, b)
    return [(group.kind, [n.op for n in group.before], [n.op for n in group.after]) for group in found.groups]


def test_a_node_between_others_was_added_or_removed():
    one, two = chain("Relu", "Tanh"), chain("Relu", "Abs", "Tanh")
    assert kinds(one, two) == [("added", [], ["Abs"])] and kinds(two, one) == [("removed", ["Abs"], [])]


def test_a_node_in_the_place_of_others_is_what_they_became():
    assert kinds(chain("Relu", "Exp", "Log", "Tanh"), chain("Relu", "Abs", "Tanh")) == [
        ("became", ["Exp", "Log"], ["Abs"])
    ]


def test_values_of_one_name_keep_neighbouring_groups_apart():
    one = chain("Relu", "Exp", "Log", "Sin", "Cos", "Tanh", names=["a", "b", "meet", "c", "d"])
    two = chain("Relu", "Abs", "Neg", "Tanh", names=["a", "meet", "d"])
    assert kinds(one, two) == [("became", ["Exp", "Log"], ["Abs"]), ("became", ["Sin", "Cos"], ["Neg"])]


@pytest.mark.parametrize("kind", KINDS[::6])
def test_all_that_a_rewrite_adds_has_an_origin(kind):
    planted = build(np.random.default_rng(4), kind)
    plan = scission.plan(planted.model, provider="cpu", force=True)
    split = scission.apply(planted.model, plan)
    found, back = scission.diff(planted.model, split), scission.diff(split, planted.model)
    assert found.added and all(group.by == "provenance" and (group.before or group.of) for group in found.groups)
    assert sorted(map(str, found.added)) == sorted(map(str, back.removed))


def test_an_origin_that_is_still_there_is_named():
    model = oracles.graph(
        [("MatMul", ["x", "w"], ["y"], {"name": "product"})],
        {"x": ["n", 2]},
        {"y": ["n", 2]},
        {"w": np.eye(2, dtype="f")},
    )
    other = onnx.ModelProto()
    other.CopyFrom(model)
    new = other.graph.node.add(op_type="Relu", input=["y"], output=["z"], name="late")
    new.metadata_props.add(key="scission.origin", value="product")
    (group,) = scission.diff(model, other).groups
    assert (group.kind, group.of, group.by) == ("added", ("product",), "provenance")
