"""Compiled forests are read back tree by tree, or left alone; the oracle walks each tree in Python."""

import numpy as np
import onnx
import onnxruntime
import pytest
from compiled_forests import (
    OPERATORS,
    Test,
    flat_products,
    of_perfect_trees,
    of_products,
    of_traversal,
    random_rows,
    random_trees,
    walked,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.graph.constants import Constants
from scission.ir.io.load import load
from scission.ir.reason import Cause
from scission.passes.forests.compiled.recognise import Compiled, NoForest, compiled_forests, may_hold_forests
from scission.passes.forests.trees.forest import LEAF
from scission.passes.planning.make_plan import make_plan
from scission.passes.rewrite.rewrite import rewrite
from scission.runtime.pipeline.apply import apply

KINDS = {
    "flat": lambda rng, trees, targets, op: flat_products(rng, trees, targets, op),
    "products": lambda rng, trees, targets, op: of_products(trees, targets, op),
    "perfect": lambda rng, trees, targets, op: of_perfect_trees(trees, targets, op),
    "traversal": lambda rng, trees, targets, op: of_traversal(trees, targets, op),
}


def found(model):
    graph = load(model).graph
    return compiled_forests(graph, Constants(graph))


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def followed(forest, x):
    """(rows, targets): a forest walked node by node."""
    compare = [np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal]
    sums = np.zeros((len(x), forest.targets), np.float32)
    for at, row in enumerate(x):
        for node in forest.roots:
            while forest.feature[node] != LEAF:
                holds = compare[forest.mode[node]](row[forest.feature[node]], forest.threshold[node])
                node = (forest.true if holds else forest.false)[node]
            own = forest.leaf == node
            np.add.at(sums[at], forest.target[own], forest.weight[own])
    return sums


@pytest.mark.parametrize("kind", KINDS)
@given(st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_read_back_is_what_was_compiled(kind, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    targets, mode = data.draw(st.integers(1, 3)), data.draw(st.sampled_from(sorted(OPERATORS)))
    trees = random_trees(
        rng, data.draw(st.integers(1, 5)), data.draw(st.integers(1, 4)), targets, sure=True, modes=[mode]
    )
    model = KINDS[kind](rng, trees, targets, OPERATORS[mode])
    x = random_rows(rng, 24)
    expected = walked(trees, x)
    assert np.array_equal(run(model, x), expected)  # the model is what it is meant to be
    (one,) = found(model)
    assert isinstance(one, Compiled) and one.gathers == (kind in ("perfect", "traversal"))
    assert np.array_equal(followed(one.forest, x), expected)
    assert {node.op_type for node in one.nodes} == {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("kind", KINDS)
def test_raised_models_compute_the_same_also_of_no_rows_and_of_missing_values(kind):
    rng = np.random.default_rng(5)
    trees = random_trees(rng, 40, 5, 3, sure=True)
    model = KINDS[kind](rng, trees, 3, "LessOrEqual")
    plan = make_plan(load(model))
    assert plan.done == "1 forest raised to TreeEnsemble" and plan.preparations[0].gain > 1.1
    changed = apply(model, plan)
    assert [node.op_type for node in changed.graph.node] == ["TreeEnsembleRegressor"]
    onnx.checker.check_model(changed)
    gathers = kind in ("perfect", "traversal")
    for x in (random_rows(rng, 1), random_rows(rng, 70, nan=gathers), random_rows(rng, 0)):
        assert np.array_equal(run(changed, x), run(model, x)) and len(run(changed, x)) == len(x)
    assert not make_plan(load(changed)).preparations


def one_tree():
    return [Test(0, 0.5, np.ones(1, np.float32), np.zeros(1, np.float32))]


def test_a_path_that_no_row_takes_and_padding_change_nothing():
    trees = [*one_tree(), np.full(1, 2, np.float32)]
    x = random_rows(np.random.default_rng(0), 9)
    (one,) = found(
        of_products(trees, 1, D=lambda D: np.where(np.arange(D.size)[:, None] == 0, 5, D).astype(np.float32))
    )
    assert not followed(one.forest, x)[:, 0].tolist().count(3)
    (whole,) = found(of_products(trees, 1))
    assert np.array_equal(followed(whole.forest, x), walked(trees, x))


def changed(name, place, number):
    def edit(array):
        array = array.copy()
        array[place] = number
        return array

    return {name: edit}


@pytest.mark.parametrize(
    "edits",
    [
        changed("A", (0, 1), 1),  # a test reads the sum of two features
        changed("A", (0, 0), 2),  # or a multiple
        changed("C", (0, 0, 0), 2),  # a test counts twice
        changed("C", (0, 0, 0), 0.5),
        changed("D", (0, 0), 0),  # an equation that holds in two ways
        changed("E", (0, 0, 0), np.inf),  # a product with 0 that is no 0
    ],
    ids=["two features", "a multiple", "twice", "half", "two ways", "infinite"],
)
def test_what_is_exactly_no_forest_is_left_alone(edits):
    trees = [Test(0, 0.5, np.ones(1, np.float32), Test(1, 0.5, np.zeros(1, np.float32), np.ones(1, np.float32)))]
    assert isinstance(found(of_products(trees, 1))[0], Compiled)
    assert not any(isinstance(one, Compiled) for one in found(of_products(trees, 1, **edits)))


def test_leaves_that_no_tree_has_are_left_alone_with_a_reason():
    trees = random_trees(np.random.default_rng(1), 1, 3, 1, sure=True)

    def twice(C):
        C = C.copy()
        C[0, 1] = C[0, 0]  # two leaves at the same place
        return C

    model = of_products(trees, 1, C=twice, D=lambda D: np.r_[D[:1], D[:1], D[2:]])
    (one,) = found(model)
    assert isinstance(one, NoForest) and one.reason.cause is Cause.CONNECTED
    assert not make_plan(load(model)).preparations


def test_values_inside_that_are_read_elsewhere_keep_the_forest():
    model = of_products(one_tree(), 1)
    model.graph.output.append(onnx.helper.make_tensor_value_info("counts", 1, None))
    (one,) = found(model)
    assert isinstance(one, NoForest) and one.reason.cause is Cause.OUT_OF_REACH and "counts" in str(one.reason)


@pytest.mark.parametrize("shape", [["n", "m"], ["b", "n", 6], None])
def test_rows_of_an_unknown_number_of_features_are_left_alone(shape):
    model = of_products(one_tree(), 1)
    kind = onnx.helper.make_tensor_value_info("x", 1, shape)
    model.graph.input[0].CopyFrom(kind)
    assert found(model) == []


def test_doubles_are_left_alone():
    model = of_perfect_trees(one_tree(), 1)
    model.graph.input[0].type.tensor_type.elem_type = 11
    assert found(model) == []


def test_models_without_comparisons_are_not_looked_at():
    nodes = [onnx.helper.make_node("Relu", ["x"], ["y"])]
    values = [onnx.helper.make_tensor_value_info(name, 1, ["n", 3]) for name in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", values[:1], values[1:]))
    assert not may_hold_forests(load(model).graph) and may_hold_forests(load(of_products(one_tree(), 1)).graph)


def test_a_plan_for_other_trees_is_refused():
    from scission.ir.plan.plan import PlanError

    rng = np.random.default_rng(2)
    models = [of_products(random_trees(rng, 30, 4, 1, sure=True), 1) for _ in range(2)]
    plan = make_plan(load(models[0]))
    with pytest.raises(PlanError, match="not the forest of the plan"):
        rewrite(load(models[1]).graph, plan)
