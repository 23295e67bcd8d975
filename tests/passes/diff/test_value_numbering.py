import numpy as np
from mutations import random_model, shuffled
from onnx import helper

from scission.ir.io.load import load
from scission.passes.diff.tensor_identity import Contents
from scission.passes.diff.value_numbering import Numbers, anatomy, constant_of, operator


def both(one, other):
    numbers, contents = Numbers(), Contents()
    return [anatomy(load(model).graph, numbers, contents) for model in (one, other)]


def test_numbers_do_not_depend_on_names_or_order():
    rng = np.random.default_rng(0)
    model = random_model(rng, 20)
    one, other = both(model, shuffled(rng, model))
    for level in (0, 1):
        for what in ("label", "forward", "backward"):
            mine, theirs = (sorted(getattr(seen, what)[level].values()) for seen in (one, other))
            assert mine == theirs and len(mine) == 20


def test_level_1_does_not_know_what_constants_hold():
    model = random_model(np.random.default_rng(1), 20)
    changed = random_model(np.random.default_rng(1), 20)
    for tensor in changed.graph.initializer:
        tensor.raw_data = bytes(len(tensor.raw_data))
    one, other = both(model, changed)
    assert sorted(one.forward[1].values()) == sorted(other.forward[1].values())
    assert sorted(one.forward[0].values()) != sorted(other.forward[0].values())


def test_defaults_and_operands_left_out_say_nothing():
    x, y = (helper.make_tensor_value_info(name, 1, ["n"]) for name in "xy")
    nodes = [helper.make_node("Clip", ["x", "", ""], ["y"]), helper.make_node("Clip", ["x"], ["y"])]
    nodes += [helper.make_node("LeakyRelu", ["x"], ["y"], alpha=0.01), helper.make_node("LeakyRelu", ["x"], ["y"])]
    models = [helper.make_model(helper.make_graph([node], "g", [x], [y])) for node in nodes]
    for pair in (models[:2], models[2:]):
        one, other = both(*pair)
        assert list(one.forward[0].values()) == list(other.forward[0].values())


def test_constants_of_every_kind():
    options = ({"value_float": 1.0}, {"value_floats": [1.0, 2.0]}, {"value_int": 3}, {"value_ints": [3]})
    options += ({"value_string": "a"}, {"value_strings": ["a", "b"]})
    shapes = []
    for option in options:
        node = helper.make_node("Constant", [], ["y"], **option)
        end = helper.make_empty_tensor_value_info("y")
        graph = load(helper.make_model(helper.make_graph([node], "g", [], [end]))).graph
        shapes.append(tuple(constant_of(graph.graph.outputs[0]).shape.numpy()))
    assert shapes == [(), (2,), (), (1,), (), (2,)]


def test_operators_have_their_domain():
    node = load(random_model(np.random.default_rng(0), 1)).graph.graph[0]
    assert operator(node) == node.op_type
