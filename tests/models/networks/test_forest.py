import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier

from scission.models.networks import forest

TREES = 12


def run(planted, x):
    session = onnxruntime.InferenceSession(planted.model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(["probabilities", "label"], {"x": x})


def weight(planted, name):
    return next(numpy_helper.to_array(t).copy() for t in planted.model.graph.initializer if t.name == name)


@pytest.fixture(scope="module")
def trained():
    return forest.train(np.random.default_rng(0), trees=TREES, leaves=30)


@pytest.fixture(scope="module", params=[True, False])
def planted(request, trained):
    return forest.to_gemm(np.random.default_rng(1), trained, shuffle=request.param)


def test_it_agrees_with_scikit_learn(planted, trained):
    x = load_digits().data.astype(np.float32)
    probabilities, label = run(planted, x)
    expected = trained.predict_proba(x)
    assert np.abs(probabilities - expected).max() <= 1e-6
    clear = np.diff(np.sort(expected, axis=1)[:, -2:], axis=1)[:, 0] > 1e-6
    assert np.array_equal(label[clear], trained.predict(x)[clear])


def test_it_agrees_on_either_side_of_every_threshold(planted, trained):
    trees = [tree.tree_ for tree in trained.estimators_]
    feature, threshold = (np.concatenate([getattr(tree, name) for tree in trees]) for name in ("feature", "threshold"))
    feature, threshold = feature[feature >= 0], threshold[feature >= 0].astype(np.float32)
    nearest = [threshold, np.nextafter(threshold, np.float32(99)), np.nextafter(threshold, np.float32(-99))]
    x = np.repeat(load_digits().data[:1].astype(np.float32), 3 * feature.size, axis=0)
    x[np.arange(len(x)), np.tile(feature, 3)] = np.concatenate(nearest)
    assert np.abs(run(planted, x)[0] - trained.predict_proba(x)).max() <= 1e-6


def test_thresholds_that_float32_cannot_hold_are_rounded_down():
    rng = np.random.default_rng(0)
    x = (16 + rng.integers(0, 40, (400, 3)) * 2.0**-19).astype(np.float32)  # neighbours: midpoints need one bit more
    y = (x[:, 0] > x[:, 1]).astype(int) + (x[:, 2] > x[:, 1])
    trained = RandomForestClassifier(5, random_state=0).fit(x, y)
    tree = trained.estimators_[0].tree_
    assert (tree.threshold.astype(np.float32).astype(np.float64) > tree.threshold)[tree.feature >= 0].any()
    assert np.abs(run(forest.to_gemm(rng, trained), x)[0] - trained.predict_proba(x)).max() <= 1e-6


def test_route_has_one_dense_root_per_tree_and_nothing_outside_the_blocks(planted, trained):
    C, truth = weight(planted, "C"), planted.truth["route"]
    assert C.shape == truth.shape and len(truth.blocks) == TREES
    assert sorted(b.shape[1] for b in truth.blocks) == sorted(t.tree_.n_leaves for t in trained.estimators_)
    for block in truth.blocks:
        part = C[np.ix_(block.inputs, block.outputs)]
        assert (part != 0).all(1).any()  # the root sees every leaf: the block is connected
        C[np.ix_(block.inputs, block.outputs)] = 0
        assert set(np.unique(part)) == {-1, 0, 1}
    assert not C.any()


def test_select_has_one_block_per_feature_in_use(planted):
    A, truth = weight(planted, "A"), planted.truth["select"]
    assert (A.sum(0) == 1).all() and set(np.unique(A)) == {0, 1}
    expected = {(f, *np.flatnonzero(A[f]).tolist()) for f in range(64) if A[f].any()}
    assert {(*b.inputs.tolist(), *b.outputs.tolist()) for b in truth.blocks} == expected


def test_shuffle_hides_the_blocks(trained):
    hidden, plain = (
        forest.to_gemm(np.random.default_rng(1), trained, shuffle).truth["route"] for shuffle in (True, False)
    )
    assert all(np.ptp(b.outputs) == b.outputs.size - 1 for b in plain.blocks)
    assert not any(np.ptp(b.outputs) == b.outputs.size - 1 for b in hidden.blocks)


def test_a_tree_of_one_leaf_leaves_a_dormant_output():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((9, 4)).astype(np.float32), np.array([0] * 8 + [1])
    trained = RandomForestClassifier(20, random_state=0).fit(x, y)
    stumps = sum(estimator.tree_.node_count == 1 for estimator in trained.estimators_)
    planted = forest.to_gemm(rng, trained)
    truth = planted.truth["route"]
    assert stumps and truth.dormant_outputs.size == stumps and len(truth.blocks) == 20 - stumps
    assert np.abs(run(planted, x)[0] - trained.predict_proba(x)).max() <= 1e-6


def test_build_is_one_valid_model_of_plain_matmuls():
    planted = forest.build(np.random.default_rng(0), trees=3, leaves=8)
    onnx.checker.check_model(planted.model, full_check=True)
    weights = {tensor.name for tensor in planted.model.graph.initializer}
    products = [node for node in planted.model.graph.node if node.op_type == "MatMul"]
    assert [node.name for node in products] == ["select", "route", "vote"]
    assert all(node.input[1] in weights for node in products)
