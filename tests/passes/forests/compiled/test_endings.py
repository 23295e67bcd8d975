"""What follows a compiled forest becomes part of the operator where that does the same, ties included."""

import unittest.mock

import numpy as np
import onnx
import onnxruntime
import pytest
from compiled_forests import flat_products, of_perfect_trees, of_products, random_rows, random_trees
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.graph.constants import Constants
from scission.ir.graph.sizes import Setting
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.passes.forests import find
from scission.passes.forests.compiled.recognise import compiled_forests
from scission.passes.lowering.target import Target
from scission.passes.rewrite.raise_forest import rewrite_forests

BUILDERS = {
    "flat": flat_products,
    "products": lambda rng, trees, targets: of_products(trees, targets),
    "perfect": lambda rng, trees, targets: of_perfect_trees(trees, targets),
}


def ending(model, nodes, constants, outputs):
    """The model with more nodes behind its sums "y"; outputs: names and types of what it gives."""
    graph = model.graph
    for op, inputs, result, attributes in nodes:
        graph.node.append(onnx.helper.make_node(op, inputs, [result], result, **attributes))
    graph.initializer.extend(onnx.numpy_helper.from_array(array, name) for name, array in constants.items())
    del graph.output[:]
    shapes = {7: ["n"], 1: ["n", "scores"]}
    graph.output.extend(onnx.helper.make_tensor_value_info(name, kind, shapes[kind]) for name, kind in outputs.items())
    return model


def run(model, batches):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return [output for x in batches for output in session.run(None, {"x": x})]


def raised(model):
    """The model with its forest as one operator, whatever that is predicted to take."""
    graph = load(model).graph
    with unittest.mock.patch.object(find, "MARGIN", 0):
        (found,) = find.find(graph, Target(), lambda: (Setting(1, {}),))
    return ir.to_proto(rewrite_forests(graph, [found])), found


def require_same(model, operators):
    changed, _ = raised(model)
    onnx.checker.check_model(changed)
    assert [node.op_type for node in changed.graph.node] == operators
    rng = np.random.default_rng(0)
    batches = [random_rows(rng, rows) for rows in (1, 60)]
    for old, new in zip(run(model, batches), run(changed, batches), strict=True):
        assert old.shape == new.shape and old.dtype == new.dtype and np.array_equal(old, new)
    for empty in run(changed, [random_rows(rng, 0)]):  # of which ONNX Runtime's ArgMax keeps all dimensions
        assert len(empty) == 0


@pytest.mark.parametrize("kind", BUILDERS)
@given(st.data())
@settings(max_examples=8, deadline=None)
def test_sums_with_a_base_and_a_label(kind, data):
    """Weights of few values, so that classes tie, many are zero, and no leaf knows some of them."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    targets = data.draw(st.sampled_from([1, 2, 3, 5]))
    trees = random_trees(rng, 12, 3, targets, sure=True, weights=data.draw(st.sampled_from([1, 2, 64])))
    for tree in trees[: data.draw(st.sampled_from([0, 12]))]:
        _without_negatives(tree)
    nodes, constants, scores = [], {}, "y"
    base = data.draw(st.sampled_from([None, (1,), (targets,), (1, targets), ()]))
    if base is not None:
        constants["base"] = np.asarray(rng.integers(-9, 10, base) / 16, np.float32)
        nodes.append(("Add", data.draw(st.permutations(["y", "base"])), "scores", {}))
        scores = "scores"
    nodes.append(("ArgMax", [scores], "place", {"axis": data.draw(st.sampled_from([1, -1])), "keepdims": 0}))
    label = "place"
    if data.draw(st.booleans()):
        constants["names"] = rng.integers(-100, 100, targets + 2)
        nodes.append(("Gather", ["names", "place"], "label", {}))
        label = "label"
    outputs = {scores: 1} if data.draw(st.booleans()) else {}
    model = ending(BUILDERS[kind](rng, trees, targets), nodes, constants, {**outputs, label: 7})
    left = ["TreeEnsembleRegressor", *(node[0] for node in nodes if node[0] != "Add")]
    require_same(model, ["TreeEnsembleClassifier"] if targets > 2 else left)


def _without_negatives(tree):
    for side in (tree.true, tree.false) if hasattr(tree, "true") else ():
        _without_negatives(side)
    if isinstance(tree, np.ndarray):
        np.abs(tree, out=tree)


FOUR = {"axis": 1, "keepdims": 0}


@pytest.mark.parametrize(
    ("nodes", "outputs", "left"),
    [
        ([("ArgMax", ["y"], "place", {"axis": 1, "keepdims": 1})], {"place": 7}, ["ArgMax"]),
        ([("ArgMax", ["y"], "place", {"axis": 0, "keepdims": 0})], {"place": 7}, ["ArgMax"]),
        ([("ArgMax", ["y"], "place", {**FOUR, "select_last_index": 1})], {"place": 7}, ["ArgMax"]),
        ([("ArgMin", ["y"], "place", FOUR)], {"place": 7}, ["ArgMin"]),
        ([("Add", ["y", "base"], "scores", {})], {"y": 1, "scores": 1}, ["Add"]),
        ([("Add", ["y", "y"], "scores", {})], {"scores": 1}, ["Add"]),
        ([("Add", ["y", "tall"], "scores", {})], {"scores": 1}, ["Add"]),
        ([("ArgMax", ["y"], "place", FOUR), ("Gather", ["y", "place"], "l", {"axis": 1})], {"l": 1}, ["Gather"]),
        ([("ArgMax", ["y"], "place", FOUR), ("Gather", ["floats", "place"], "l", {})], {"l": 1}, ["Gather"]),
        ([("ArgMax", ["y"], "place", FOUR), ("Gather", ["few", "place"], "l", {})], {"l": 7}, ["Gather"]),
        ([("ArgMax", ["y"], "p", FOUR), ("Gather", ["few", "p"], "l", {})], {"p": 7, "l": 7}, ["Gather"]),
        ([("Softmax", ["y"], "s", {"axis": 1}), ("ArgMax", ["y"], "p", FOUR)], {"s": 1, "p": 7}, ["Softmax"]),
    ],
)
def test_what_the_operator_does_otherwise_stays_behind_it(nodes, outputs, left):
    rng = np.random.default_rng(1)
    constants = {
        "base": np.ones(4, np.float32),
        "tall": np.ones((1, 1, 4), np.float32),
        "floats": np.arange(4, dtype=np.float32),
        "few": np.arange(2),
    }
    model = of_products(random_trees(rng, 12, 3, 4, sure=True, weights=2), 4)
    model = ending(model, nodes, constants, outputs)
    changed, _ = raised(model)
    assert [node.op_type for node in changed.graph.node][1:] == left
    if nodes[-1][1][0] != "few":  # classes without names are read outside of the table
        batches = [random_rows(rng, 4)]
        for old, new in zip(run(model, batches), run(changed, batches), strict=True):
            assert np.array_equal(old, new)


def test_sums_that_may_be_infinite_keep_their_argmax():
    model = of_products(
        random_trees(np.random.default_rng(1), 12, 3, 4, sure=True), 4, E=lambda E: E * np.float32(1e37)
    )
    model = ending(model, [("ArgMax", ["y"], "place", FOUR)], {}, {"place": 7})
    assert [node.op_type for node in raised(model)[0].graph.node][1:] == ["ArgMax"]


def test_operators_that_only_sum_have_no_ending():
    """Since version 5 of ai.onnx.ml there is one operator for all, which knows neither base values nor classes."""
    trees = random_trees(np.random.default_rng(1), 12, 3, 3, sure=True)
    model = ending(of_products(trees, 3), [("ArgMax", ["y"], "place", FOUR)], {}, {"place": 7})
    model.opset_import.append(onnx.helper.make_opsetid("ai.onnx.ml", 5))
    graph = load(model).graph
    (found,) = compiled_forests(graph, Constants(graph))
    assert found.ended.ending.is_nothing and found.ended.label is None


def test_what_is_done_with_the_sums_is_part_of_the_digest():
    trees = random_trees(np.random.default_rng(1), 12, 3, 3, sure=True)
    digests = set()
    for names in ([1, 2, 3], [1, 2, 4], None):
        nodes = [("ArgMax", ["y"], "place", FOUR), ("Gather", ["names", "place"], "label", {})][
            : 1 + (names is not None)
        ]
        outputs = {"place": 7} if names is None else {"label": 7}
        model = ending(of_products(trees, 3), nodes, {"names": np.array(names or [0])}, outputs)
        digests.add(raised(model)[1].sha256)
    assert len(digests) == 3
