from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from oracles import covers, run
from reference import constants
from sklearn.ensemble import BaggingClassifier
from sklearn.tree import DecisionTreeClassifier

from scission.models.networks import subset_forest

SIZES = {"trees": 6, "leaves": 10, "features": 40}


@pytest.fixture(scope="module", params=[False, True], ids=["single features", "oblique"])
def trained(request):
    bag = subset_forest.train(np.random.default_rng(0), oblique=request.param, **SIZES)
    return SimpleNamespace(bag=bag, oblique=request.param)


@pytest.mark.parametrize("shuffle", [True, False])
def test_it_agrees_with_scikit_learn(trained, shuffle):
    planted = subset_forest.to_gemm(np.random.default_rng(1), trained.bag, shuffle)
    onnx.checker.check_model(planted.model, full_check=True)
    X, _ = subset_forest.samples(np.random.default_rng(0), 40)
    probabilities, label = run(planted.model, {"x": X})
    expected = trained.bag.predict_proba(X)
    far = np.abs(probabilities - expected).max(1) > 1e-6
    assert far.mean() <= (0.001 if trained.oblique else 0)  # a sum may be rounded to the other side of a threshold
    assert (label[~far] == trained.bag.predict(X)[~far]).mean() > 0.99  # but for ties


def test_the_first_layer_has_the_planted_blocks(trained):
    planted = subset_forest.to_gemm(np.random.default_rng(1), trained.bag)
    A, truth = constants(planted.model)["A"], planted.truth["select"]
    assert A.shape == truth.shape == (40, sum(e.outputs.size for e in truth.blocks)) and covers(A, truth)
    if trained.oblique:
        assert sorted(tuple(b.inputs) for b in truth.blocks) == sorted(
            tuple(np.sort(own)) for own in trained.bag.estimators_features_
        )
        assert all(A[np.ix_(b.inputs, b.outputs)].all() for b in truth.blocks) and truth.mac_share == 0.25
        route = {tuple(b.inputs) for b in planted.truth["route"].blocks}
        assert {tuple(b.outputs) for b in truth.blocks} == route  # tests of a tree
    else:
        assert (A.sum(0) == 1).all() and all(b.inputs.size == 1 for b in truth.blocks)


def test_each_tree_reads_its_share_of_the_features(trained):
    planted = subset_forest.to_gemm(np.random.default_rng(1), trained.bag, shuffle=False)
    A = constants(planted.model)["A"]
    for block, own in zip(planted.truth["route"].blocks, trained.bag.estimators_features_, strict=True):
        assert len(own) == 10 and set(np.flatnonzero(A[:, block.inputs].any(1))) <= set(own)


def test_features_may_be_drawn_with_replacement():
    X, y = subset_forest.samples(np.random.default_rng(0), 12)
    tree = DecisionTreeClassifier(max_leaf_nodes=8)
    bag = BaggingClassifier(tree, 4, max_features=1.0, bootstrap_features=True, random_state=0).fit(X, y)
    assert any(len(set(own)) < len(own) for own in bag.estimators_features_)
    planted = subset_forest.to_gemm(np.random.default_rng(1), bag)
    assert np.abs(run(planted.model, {"x": X})[0] - bag.predict_proba(X)).max() <= 1e-6


def test_a_tree_that_has_not_seen_every_class_is_refused():
    X, y = np.arange(8, dtype=np.float32)[:, None], np.arange(8)
    tree = DecisionTreeClassifier()
    bag = BaggingClassifier(tree, 2, random_state=0).fit(X, y)
    bag.estimators_[1] = DecisionTreeClassifier().fit(X[:3], y[:3])
    with pytest.raises(ValueError, match="not seen every class"):
        subset_forest.to_gemm(np.random.default_rng(0), bag)


def test_build_is_reproducible():
    first, second = (subset_forest.build(np.random.default_rng(5), 2, 4, 40).model for _ in range(2))
    assert first == second
