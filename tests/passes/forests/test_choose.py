"""Which form an ensemble gets on a device that has no operator for it; plans for CUDA need none."""

from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from compiled_forests import Test, random_rows, random_trees
from ensembles import classifier, regressor

from scission.ir.io.load import load
from scission.ir.plan.plan import PlanError
from scission.ir.plan.rewritten_forest import ForestForm, RewrittenForest
from scission.ir.reason import Cause, Reason
from scission.passes.forests.choose import Standing, lowered, standing
from scission.passes.lowering.target import Target
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.runtime.pipeline.apply import apply


def forest(trees, depth, targets=1, seed=0):
    return regressor(random_trees(np.random.default_rng(seed), trees, depth, targets, sure=True), targets)


def planned(model, rows, provider="cuda"):
    return make_plan(load(model), PlanSettings(provider=provider, batch=[rows]))


@pytest.mark.parametrize(
    ("model", "rows", "form"),
    [
        (forest(60, 3), 4096, ForestForm.BLOCKS),
        (forest(60, 6), 4096, ForestForm.GATHERS),
        (forest(60, 6), 1, None),  # the processor answers sooner
    ],
    ids=["shallow", "deep", "one row"],
)
def test_the_form_is_the_one_that_is_predicted_fastest(model, rows, form):
    plan = planned(model, rows)
    assert [one.form for one in plan.preparations] == ([] if form is None else [form])
    if form is None:
        return
    (one,) = plan.preparations
    assert one.gain > 1.1 and one.nodes == ("trees",) and plan.done == "1 forest lowered from TreeEnsemble"
    changed = apply(model, plan)
    assert not {node.domain for node in changed.graph.node} - {""}
    onnx.checker.check_model(changed)
    x = random_rows(np.random.default_rng(1), 50)
    before, after = (onnxruntime.InferenceSession(one.SerializeToString()) for one in (model, changed))
    assert np.array_equal(before.run(None, {"x": x})[0], after.run(None, {"x": x})[0])


def test_a_processor_keeps_its_operator():
    assert not planned(forest(60, 3), 4096, "cpu").preparations


def test_both_outputs_of_a_classifier_are_replaced_and_what_is_unused_is_left_out():
    trees = random_trees(np.random.default_rng(2), 60, 3, 3, sure=True)
    model = classifier(trees, 3, labels="texts")
    x = random_rows(np.random.default_rng(1), 40)
    for outputs in (["label", "y"], ["y"]):
        while len(model.graph.output) > len(outputs):
            model.graph.output.pop(0)
        changed = apply(model, planned(model, 4096))
        assert ("Gather" in [node.op_type for node in changed.graph.node[-3:]]) == (len(outputs) == 2)
        assert not {node.domain for node in changed.graph.node} - {""}
        before, after = (onnxruntime.InferenceSession(one.SerializeToString()) for one in (model, changed))
        for old, new in zip(before.run(None, {"x": x}), after.run(None, {"x": x}), strict=True):
            assert np.array_equal(old, new)


def test_a_plan_for_another_forest_or_with_an_impossible_form_is_refused():
    models = [forest(60, 3, seed=seed) for seed in range(2)]
    plan = planned(models[0], 4096)
    with pytest.raises(PlanError, match="not the forest of the plan"):
        apply(models[1], plan)


def reason(model, opset=17):
    graph = load(model).graph
    (node,) = list(graph.graph)
    found = standing(node, opset)
    return found.cause if isinstance(found, Reason) else found


def edited(**attributes):
    model = forest(3, 2)
    node = model.graph.node[0]
    for name, value in attributes.items():
        kept = [one for one in node.attribute if one.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])
    return model


def test_what_cannot_be_lowered_says_why():
    assert isinstance(reason(forest(3, 2)), Standing)
    assert reason(forest(3, 2), opset=11) is Cause.OPERATOR_SET
    doubles = forest(3, 2)
    doubles.graph.input[0].type.tensor_type.elem_type = 11
    assert reason(doubles) is Cause.DATA_TYPE
    unknown = forest(3, 2)
    unknown.graph.input[0].type.tensor_type.shape.dim[1].Clear()
    assert reason(unknown) is Cause.UNKNOWN_RANK
    nodes = len(next(one for one in edited().graph.node[0].attribute if one.name == "nodes_nodeids").ints)
    assert reason(edited(nodes_featureids=[9] * nodes)) is Cause.UNSUPPORTED
    assert reason(edited(nodes_modes=["BRANCH_ODD"] * nodes)) is Cause.UNSUPPORTED
    assert reason(edited(nodes_nodeids=[0] * nodes)) is Cause.UNSUPPORTED
    weights = next(one for one in edited().graph.node[0].attribute if one.name == "target_weights").floats
    assert reason(edited(target_weights=[np.inf] * len(weights))) is Cause.UNSUPPORTED
    assert reason(regressor([np.ones(1, np.float32)], 1)) is Cause.UNSUPPORTED  # tests nothing


def test_a_test_that_leads_back_to_itself_is_refused():
    tree = Test(0, 0.0, np.ones(1, np.float32), np.zeros(1, np.float32))
    model = regressor([tree], 1)
    for attribute in model.graph.node[0].attribute:
        if attribute.name == "nodes_truenodeids":
            attribute.ints[0] = 0
    assert reason(model) is Cause.UNSUPPORTED


def test_explain_says_why_a_forest_keeps_its_form():
    from scission.passes.explain.explain import explain_node

    kept = load(forest(1, 2))
    told = explain_node(kept, "trees", PlanSettings(provider="cuda", batch=[1]))
    assert told.skipped.reason.cause is Cause.NO_GAIN and "1 tree of depth 2" in str(told.skipped.reason)
    gone = explain_node(load(forest(60, 3)), "trees", PlanSettings(provider="cuda", batch=[4096]))
    assert gone.skipped.reason.cause is Cause.FOREST
    assert explain_node(kept, "trees", PlanSettings(provider="cpu")).skipped.reason.cause is Cause.NO_PRODUCT


def test_blocks_that_need_too_much_memory_are_walked_a_group_of_trees_after_another():
    """Also through the file of a plan; the sums of groups are exact here, as those of all trees."""
    model = forest(60, 3)
    few, many = (planned(model, rows).preparations[0] for rows in (4096, 4_000_000))
    assert few.form is many.form is ForestForm.BLOCKS and few.passes == 1 < many.passes
    assert RewrittenForest.from_dict(many.to_dict()) == many and "passes" not in few.to_dict()
    changed = apply(model, replace(planned(model, 4096), preparations=(many,)))
    assert [node.op_type for node in changed.graph.node].count("Equal") == many.passes
    x = random_rows(np.random.default_rng(1), 50)
    before, after = (onnxruntime.InferenceSession(one.SerializeToString()) for one in (model, changed))
    assert np.array_equal(before.run(None, {"x": x})[0], after.run(None, {"x": x})[0])


def test_a_forest_for_which_there_is_no_memory_stays():
    told = planned(forest(60, 6), 1 << 40)
    assert not told.preparations
    found = standing(next(iter(load(forest(60, 6)).graph.graph)), 17)
    why = lowered(found, {found.node: "trees"}, Target(provider="cuda"), [1 << 40])
    assert why.cause is Cause.NO_GAIN and "memory" in why.text
