"""Forests as plans for CUDA write them compute what ONNX Runtime's operator for trees does, ties and all.

Needs no GPU: what is written for it runs on the CPU as well.
"""

import itertools

import numpy as np
import oracles
import pytest
from compiled_forests import COMPARE, FEATURES, GRID, Test, flat_products, random_rows, random_trees
from ensembles import classifier, regressor

import scission
from scission.ir.plan.rewritten_forest import RewrittenForest

MODES = sorted(COMPARE)
TRANSFORMS = ["NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT"]
LOOSE = {"PROBIT": 1e-4}  # the inverse error function magnifies how scores were rounded
FEW = 1  # sixteenths that leaves add at most, so that many scores are the same


def require_same(before, after, x, tolerance):
    for old, new in zip(oracles.run(before, {"x": x}), oracles.run(after, {"x": x}), strict=True):
        assert old.shape == new.shape and old.dtype == new.dtype
        if old.dtype.kind == "f":
            np.testing.assert_allclose(new, old, rtol=tolerance, atol=tolerance)
        else:
            assert np.array_equal(old, new)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize(("depth", "modes"), [(3, MODES), (6, ["BRANCH_LEQ", "BRANCH_GT"])])
def test_operators_that_plans_lower(depth, modes, transform):
    rng = np.random.default_rng([depth, TRANSFORMS.index(transform)])
    classes = 3
    trees = random_trees(rng, 40, depth, classes, sure=True, modes=modes, missing=True, weights=FEW)
    x = random_rows(rng, 60, nan=True)
    models = [
        classifier(trees, classes, post_transform=transform, labels="texts"),
        classifier(trees, 2, post_transform=transform),
        regressor(trees, classes, post_transform=transform, aggregate_function="AVERAGE", base_values=[0.5] * classes),
    ]
    for model in models:
        plan = scission.plan(model, provider="cuda", batch=[4096])
        assert [type(one) for one in plan.preparations] == [RewrittenForest]
        changed = scission.apply(model, plan)
        assert not {node.domain for node in changed.graph.node} - {""}
        for rows in (x, x[:1], x[:0]):
            require_same(model, changed, rows, LOOSE.get(transform, 2e-6))
    if transform == "NONE":
        scores = np.sort(oracles.run(models[0], {"x": x})[1], axis=1)
        assert (scores[:, -1] == scores[:, -2]).any()  # there are ties


def full(rng, depth, targets, mode):
    """A tree of 2 ** depth leaves that tests every feature, and adds something at each."""
    features = itertools.cycle(rng.permutation(FEATURES).tolist())

    def below(levels):
        if not levels:
            return (rng.choice([-FEW, FEW], targets) / 16).astype(np.float32)
        return Test(next(features), float(rng.choice(GRID)), below(levels - 1), below(levels - 1), mode)

    return below(depth)


@pytest.mark.parametrize("depths", [[4] * 8, [4] * 5 + [3] * 4])
@pytest.mark.parametrize(("op", "mode"), [("LessOrEqual", "BRANCH_LEQ"), ("Less", "BRANCH_LT")])
def test_compiled_ones_that_plans_stack(op, mode, depths):
    """Tests and leaves of all trees mixed: products that fall apart, of which one is made for each size of a tree."""
    rng = np.random.default_rng(len(depths))
    targets = 2
    trees = [full(rng, depth, targets, mode) for depth in depths]
    compiled, walked = flat_products(rng, trees, targets, op), regressor(trees, targets)
    plan = scission.plan(compiled, provider="cuda", batch=[4096], forests=False, force=True)
    assert [region.layout for region in plan.regions] == ["stacked"]
    changed = scission.apply(compiled, plan)
    x = random_rows(rng, 60)
    for rows in (x, x[:1], x[:0]):
        (told,), (found,) = (oracles.run(one, {"x": rows}) for one in (walked, changed))
        assert np.array_equal(found, told)
