"""Lowered operators compute what ONNX Runtime's kernel for trees does, on the CPU where both run."""

import numpy as np
import onnx
import onnxruntime
import pytest
from compiled_forests import COMPARE, Test, random_rows, random_trees
from ensembles import classifier, joined, regressor
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.ir.plan.rewritten_forest import ForestForm
from scission.ir.reason import Cause
from scission.passes.forests.lowered.finish import why_unfinished
from scission.passes.forests.lowered.from_ensemble import ensemble_of
from scission.passes.forests.lowered.lower import write_lowered
from scission.passes.forests.trees.writer import Writer
from scission.passes.lowering.nodes.emitter import Names

MODES = sorted(COMPARE)
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
FORMS = [ForestForm.BLOCKS, ForestForm.GATHERS]


def run(model, x):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def lowered(model, form):
    """The model with its only operator lowered, without a plan."""
    graph = load(model).graph
    (node,) = list(graph.graph)
    ensemble = ensemble_of(node, 6)
    why = why_unfinished(ensemble)
    if why is not None:
        return why
    writer = Writer(Names(graph), "trees", "trees", 17)
    results = write_lowered(writer, ensemble, form, node.inputs[0])
    for value in writer.constants:
        graph.graph.register_initializer(value)
    graph.graph.insert_before(node, writer.nodes)
    ir.convenience.replace_all_uses_with(list(node.outputs), results, replace_graph_outputs=True)
    for old, new in zip(list(node.outputs), results, strict=True):
        new.type, new.name, old.name = old.type, old.name, None
    graph.graph.remove(node, safe=True)
    return ir.to_proto(graph)


def require_same(model, x, tolerance=2e-6):
    before = run(model, x)
    for form in FORMS:
        found = lowered(model, form)
        assert isinstance(found, onnx.ModelProto), found
        assert not {node.domain for node in found.graph.node} - {""}
        for old, new in zip(before, run(found, x), strict=True):
            assert old.shape == new.shape and old.dtype == new.dtype
            if old.dtype.kind == "f":
                np.testing.assert_allclose(new, old, rtol=tolerance, atol=tolerance)
            else:
                assert np.array_equal(old, new)


def test_what_runtimes_read_differently_is_left_alone():
    from scission.passes.forests.lowered.from_ensemble import UnreadableEnsembleError

    ends = [np.full(1, number, np.float32) for number in range(3)]
    chain = Test(0, 1.0, ends[0], Test(0, 2.0, ends[1], ends[2], "BRANCH_EQ"), "BRANCH_EQ")
    several = Test(0, 1.0, ends[0], ends[1], "BRANCH_MEMBER")
    models = [
        joined([chain], 1, lambda leaf: 0),
        joined([several], 1, lambda leaf: 0, members=lambda test: [1, 2]),
        joined([chain.false], 1, lambda leaf: 0, post_transform=1),
        regressor([chain], 1),
    ]
    for model in models:
        with pytest.raises(UnreadableEnsembleError) as refused:
            lowered(model, ForestForm.GATHERS)
        assert refused.value.reason.cause is Cause.AMBIGUOUS


def loose(told):
    """The inverse error function magnifies how scores were rounded."""
    return 1e-4 if told.get("post_transform") in ("PROBIT", 4) else 2e-6


def readable(model):
    """Whether it has no tests for equality that runtimes may join."""
    from scission.passes.forests.lowered.from_ensemble import UnreadableEnsembleError

    try:
        return isinstance(lowered(model, ForestForm.GATHERS), onnx.ModelProto)
    except UnreadableEnsembleError:
        return False


def drawn(data, targets, **options):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    modes = data.draw(st.sampled_from([["BRANCH_LEQ"], ["BRANCH_GT"], ["BRANCH_EQ", "BRANCH_NEQ"], MODES]))
    missing = data.draw(st.booleans())
    trees = random_trees(
        rng, data.draw(st.integers(1, 4)), 3, targets, sure=True, modes=modes, missing=missing, **options
    )
    return rng, trees


@given(st.data())
@settings(max_examples=10, deadline=None)
def test_regressors(data):
    targets = data.draw(st.integers(1, 3))
    rng, trees = drawn(data, targets)
    told = {"post_transform": data.draw(st.sampled_from(TRANSFORMS))}
    if data.draw(st.booleans()):
        told["base_values"] = [0.25, -1.5, 3.0][:targets]
    told["aggregate_function"] = data.draw(st.sampled_from(["SUM", "AVERAGE"]))
    model = regressor(trees, targets, **told)
    assume(readable(model))
    require_same(model, random_rows(rng, data.draw(st.sampled_from([1, 40])), nan=True), loose(told))


@pytest.mark.parametrize("aggregate", ["MIN", "MAX"])
@pytest.mark.parametrize("targets", [1, 2])
def test_extremes_of_trees_are_gathers(aggregate, targets):
    rng = np.random.default_rng(targets)
    model = regressor(
        random_trees(rng, 4, 3, targets, sure=True, modes=MODES, missing=True),
        targets,
        aggregate_function=aggregate,
        base_values=[0.5] * targets,
    )
    x = random_rows(rng, 50, nan=True)
    assert np.array_equal(run(lowered(model, ForestForm.GATHERS), x)[0], run(model, x)[0])


@given(st.data())
@settings(max_examples=20, deadline=None)
def test_classifiers(data):
    classes = data.draw(st.integers(1, 4))
    rng, trees = drawn(data, classes)
    if data.draw(st.booleans()):  # no leaf adds less than nothing
        trees = [absolute(tree) for tree in trees]
    known = data.draw(st.sampled_from([None, [0], [classes - 1]])) if classes == 2 else None
    told = {"post_transform": data.draw(st.sampled_from(TRANSFORMS))}
    if data.draw(st.booleans()):
        told["base_values"] = [0.25, -1.5, 3.0, 0.125][
            : data.draw(st.sampled_from([1, 2] if classes == 2 else [classes]))
        ]
    labels = data.draw(st.sampled_from(["numbers", "texts"]))
    model = classifier(trees, classes, known=known, labels=labels, **told)
    assume(readable(model))
    require_same(model, random_rows(rng, data.draw(st.sampled_from([1, 40])), nan=True), loose(told))


def absolute(tree):
    if isinstance(tree, Test):
        return Test(tree.feature, tree.threshold, absolute(tree.true), absolute(tree.false), tree.mode, tree.missing)
    return np.abs(tree) / 64


def test_classes_that_not_every_leaf_knows_are_lowered_where_none_of_them_can_win():
    rng = np.random.default_rng(3)
    trees = [absolute(tree) for tree in random_trees(rng, 5, 3, 4, sure=True)]
    model = classifier(trees, 4, known=lambda weight: np.flatnonzero(weight > 0.3) if (weight > 0.3).any() else [0])
    found = lowered(model, ForestForm.GATHERS)
    if isinstance(found, onnx.ModelProto):
        require_same(model, random_rows(rng, 60))
    mixed = classifier(random_trees(rng, 5, 3, 4, sure=True), 4, known=lambda weight: [int(abs(weight[0]) * 16) % 4])
    assert "depends on the row" in str(lowered(mixed, ForestForm.GATHERS))


@given(st.data())
@settings(max_examples=10, deadline=None)
def test_joined_ensembles(data):
    targets = data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    modes = data.draw(st.sampled_from([["BRANCH_LEQ"], MODES, ["BRANCH_EQ", "BRANCH_GT"]]))
    trees = random_trees(rng, 3, 3, 1, sure=True, modes=modes, missing=data.draw(st.booleans()))
    trees = [tree if isinstance(tree, Test) else Test(0, 0.0, tree, tree) for tree in trees]
    told = {"post_transform": data.draw(st.sampled_from([0, 3, 4]))} if data.draw(st.booleans()) else {}
    model = joined(
        trees,
        targets,
        lambda leaf: int(abs(leaf[0]) * 16) % targets,
        **told,
    )
    assume(readable(model))
    require_same(model, random_rows(rng, 40, nan=True), loose(told))


def test_values_that_are_not_numbers_and_signs_of_zero():
    special = np.array([-np.inf, -3.4e38, -1e-45, -0.0, 0.0, 1e-45, 1.5, 3.4e38, np.inf, np.nan], np.float32)
    x = np.zeros((special.size, 6), np.float32)
    x[:, 0] = special
    for mode in MODES:
        for missing in (False, True):
            trees = [
                Test(0, float(t), np.full(1, 2.0**at, np.float32), np.zeros(1, np.float32), mode, missing)
                for at, t in enumerate(special)
            ]
            require_same(regressor(trees, 1), x)


def test_what_a_tree_does_not_add_is_no_part_of_an_extreme():
    """Two trees of a target each, all leaves below zero: zeros in the places of the others would be the largest."""
    node = onnx.helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["y"],
        domain="ai.onnx.ml",
        n_targets=2,
        aggregate_function="MAX",
        nodes_treeids=[0] * 3 + [1] * 3,
        nodes_nodeids=[0, 1, 2] * 2,
        nodes_featureids=[0] * 6,
        nodes_values=[0.0] * 6,
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"] * 2,
        nodes_truenodeids=[1, 0, 0] * 2,
        nodes_falsenodeids=[2, 0, 0] * 2,
        target_treeids=[0, 0, 1, 1],
        target_nodeids=[1, 2, 1, 2],
        target_ids=[0, 0, 1, 1],
        target_weights=[-1.0, -2.0, -3.0, -4.0],
    )
    x, y = (onnx.helper.make_tensor_value_info(name, 1, ["n", 2]) for name in "xy")
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    graph = load(onnx.helper.make_model(onnx.helper.make_graph([node], "g", [x], [y]), opset_imports=opsets)).graph
    why = why_unfinished(ensemble_of(next(iter(graph.graph)), 2))
    assert why is not None and why.cause is Cause.UNSUPPORTED


# The types of the first operand for which ONNX Runtime has a CUDA kernel, of the operators that forms are written in
# (its table of kernels, release 1.23 and later). Strings have none, so that texts are named on the processor.
ON_CUDA = {
    **{key: {1, 11} for key in ("Abs", "ArgMax", "Exp", "Log", "Sqrt", "MatMul", "Neg")},
    **{key: {1, 6, 7, 11} for key in ("Add", "Sub", "Mul", "Div")},
    **{key: {1, 6, 7, 11} for key in ("Less", "LessOrEqual", "Greater")},
    "Equal": {1, 6, 7, 9, 11},
    **{key: {1, 6, 7, 11} for key in ("ReduceSum", "ReduceMin", "ReduceMax")},
    **{key: {1, 6, 7, 9, 11} for key in ("Gather", "GatherElements", "Concat", "Reshape", "Transpose", "Cast")},
    "Where": {9},
}
MOST_JOINED = 32  # inputs of a Concat that can be part of a recorded graph


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("transform", TRANSFORMS)
def test_every_operator_of_a_form_can_be_part_of_a_recorded_graph(transform, form):
    """A kernel for its types on the device, no size that depends on data, no Concat of many."""
    trees = random_trees(np.random.default_rng(0), 40, 3, 4, sure=True, modes=MODES, missing=True)
    models = [
        regressor(trees, 4, post_transform=transform, aggregate_function="AVERAGE", base_values=[0.5] * 4),
        classifier(trees, 4, post_transform=transform),
        classifier(trees, 2, known=[0], post_transform="NONE"),
    ]
    if form is ForestForm.GATHERS:
        models.append(regressor(trees, 4, post_transform=transform, aggregate_function="MAX"))
    for model in models:
        written = onnx.shape_inference.infer_shapes(lowered(model, form))
        values = [*written.graph.value_info, *written.graph.input, *written.graph.output]
        types = {value.name: value.type.tensor_type.elem_type for value in values}
        types |= {held.name: held.data_type for held in written.graph.initializer}
        for node in written.graph.node:
            assert types[node.input[0]] in ON_CUDA[node.op_type], node.op_type
            assert node.op_type != "Concat" or len(node.input) <= MOST_JOINED
