"""From the test of every linear of a model to what is annealed."""

import dataclasses
import json
import math

import numpy as np
import oracles
import pytest
import reference
import torch
from annealed_models import (
    EMPTY,
    NOTE,
    W,
    annealed,
    decided,
    decision,
    load_linears,
    masked,
    normal,
    product,
    uniform,
)
from digraphs import on_cuda
from scipy.stats import chi2

import scission
from scission import Plan
from scission.ir.io.load import load
from scission.ir.plan.annealing import pack_mask
from scission.ir.plan.decomposition import Block, Decomposition
from scission.ir.reason import Cause
from scission.models.planted.products import build, feeds
from scission.passes.anneal.edges.anneal import AnnealError
from scission.passes.anneal.model import anneal_model
from scission.passes.anneal.settings import METHODS, Anneal

# From the decision to the split model.


@pytest.mark.parametrize("kind", ["matmul-right-3", "gemm-transB", "chain", "shared", "if", "unnamed"])
@pytest.mark.parametrize("residual", [False, True], ids=["no residual entries", "residual"])
def test_a_plan_with_annealing_is_carried_out_after_it_was_written_and_read(kind, residual):
    planted = build(np.random.default_rng(1), kind, sizes=((8, 8), (8, 8)))
    plan_annealing, masks = [], []
    for way in load_linears(planted.model):
        K, N = way.shape
        parts = (Block(range(K // 2), range(N // 2)), Block(range(K // 2, K), range(N // 2, N)))
        few = ((0, N - 1), (K - 1, 0)) if residual else ()
        plan_annealing.append(decision(way, blocks=Decomposition((K, N), parts), residual=few))
        mask = plan_annealing[-1].kept()
        for k, n in few:
            mask[k, n] = True
        masks.append(decision(way, mask=pack_mask(mask)))
    left = annealed(planted.model, plan_annealing)
    plan = scission.plan(left, provider="cpu", threads=1, force=True)
    assert plan.rewrites
    whole = dataclasses.replace(plan, annealing=tuple(plan_annealing), effect="as planted")
    read = Plan.loads(whole.dumps())
    assert read == whole
    changed = scission.apply(planted.model, read)
    data = feeds(np.random.default_rng(0), planted)
    expected = oracles.run(masked(planted.model, masks), data)
    oracles.assert_close(expected, oracles.run(changed, data))
    assert json.loads({p.key: p.value for p in changed.metadata_props}[NOTE])["effect"] == "as planted"
    only = Plan(**EMPTY, annealing=tuple(plan_annealing))
    oracles.assert_close(expected, oracles.run(scission.apply(planted.model, only), data))


def deep(rng, d=24, channels=4, blocks=2, signal=8.0, sigma=0.05, gate=False):
    """d -> 4d -> d, whose hidden unit c d + n belongs to state n, with blocks of states buried in noise."""
    labels = rng.permutation(np.arange(d) % blocks)
    edges = labels[:, None] == labels[None, :]

    def weight(shape, inside):
        return (rng.normal(0, sigma, shape) * np.where(inside, signal, 1)).astype(np.float32)

    U = weight((d, channels * d), np.tile(edges, (1, channels)))
    V = weight((channels * d, d), np.tile(edges, (channels, 1)))
    constants = {"U": U, "V": V}
    nodes = [("MatMul", ["x", "U"], ["a"], {"name": "up"}), ("Relu", ["a"], ["b"], {"name": "act"})]
    hidden = "b"
    if gate:
        constants["G"] = weight((d, channels * d), np.tile(edges, (1, channels)))
        nodes += [("MatMul", ["x", "G"], ["g"], {"name": "gate"}), ("Mul", ["b", "g"], ["c"], {"name": "times"})]
        hidden = "c"
    nodes.append(("MatMul", [hidden, "V"], ["y"], {"name": "down"}))
    return oracles.graph(nodes, {"x": ["m", d]}, {"y": ["m", d]}, constants), edges


@pytest.mark.parametrize("gate", [False, True], ids=["plain", "gated"])
@pytest.mark.parametrize("fill", [True, False], ids=["fill", "literal"])
def test_a_feed_forward_network_is_decided_by_its_sequences(fill, gate):
    model, edges = deep(np.random.default_rng(0), gate=gate)
    found = decided(model, method="norm", null=normal(0.05), level=0.01, fill=fill)
    masks = {one.node: one.kept() for one in found.annealing}
    assert set(masks) == {"up", "down"} | ({"gate"} if gate else set())
    constants = reference.constants(model)
    d = 24
    Q = np.zeros((d, d))
    for c in range(4):
        part = slice(c * d, (c + 1) * d)
        for one in ("U", "G") if gate else ("U",):
            Q += (constants[one][:, part].astype(float) / 0.05) ** 2
        Q += (constants["V"][part].astype(float) / 0.05) ** 2
    expected = chi2.sf(Q, 12 if gate else 8) < 0.01 / d**2
    if fill:
        assert (expected <= edges).all()
        expected = edges
    assert (masks["up"] == np.tile(expected, (1, 4))).all() and (masks["down"] == np.tile(expected, (4, 1))).all()
    assert not gate or (masks["gate"] == masks["up"]).all()
    changed = annealed(model, found.annealing)
    x = np.random.default_rng(1).normal(size=(5, d)).astype(np.float32)
    oracles.assert_close(oracles.run(masked(model, found.annealing), {"x": x}), oracles.run(changed, {"x": x}))
    if fill:
        plan = scission.plan(changed, provider="cpu", threads=1, force=True)
        assert {step.components for step in plan.steps} == {2}


def test_the_paper_takes_sequences_where_there_are_some_and_edges_elsewhere():
    model, _ = deep(np.random.default_rng(0))
    found = decided(model, method="paper", null=normal(0.05)).found
    assert {one.evidence.test for one in found} == {"sequences"} and len(found) == 2
    single = decided(product("MatMul", ("m",)), method="paper", null=normal(0.05))
    assert single.found[0].evidence.test == "edges"
    none = decided(product("MatMul", ("m",)), method="norm", null=normal(0.05))
    assert "no feed-forward network" in none.found[0].reason.text and none.found[0].annealing is None


def test_auto_takes_the_test_that_suits_what_is_known():
    model, _ = deep(np.random.default_rng(0), d=48)
    constants = reference.constants(model)
    then = {"up": constants["U"].copy()}
    then["up"][:, 0] += 1
    mixed = decided(model, method="auto", initial=then, null=uniform(0.2))
    assert [one.evidence.test for one in mixed.found] == ["update", "support"]
    up = mixed.found[0].annealing.kept()
    assert up[:, 0].all() and not up[:, 1:].any()
    assert [one.evidence.test for one in decided(model, method="auto").found] == ["blocks", "blocks"]


def test_update_with_a_tolerance_of_the_types():
    model = product("MatMul", ("m",))
    then = {"linear": W + np.float32(0.01) * (np.arange(48).reshape(8, 6) == 7)}
    found = decided(model, method="update", initial=then, fill=False)
    assert np.flatnonzero(found.annealing[0].kept()).tolist() == [7]
    seen = []

    def tolerance(before, after):
        seen.append((before, after))
        return 0.0, 0.1

    assert not decided(model, method="update", initial=then, tolerance=tolerance).annealing
    assert seen == [(np.float32, np.float32)]
    other = decided(model, method="update", initial={"elsewhere": W})
    assert other.found[0].reason.text == "the initial checkpoint has no weight for it"


def test_one_weight_that_cannot_be_tested_does_not_stop_the_others():
    nodes = [("MatMul", ["x", "A"], ["h"], {"name": "dead"}), ("MatMul", ["h", "B"], ["y"], {"name": "alive"})]
    constants = {"A": np.zeros((8, 8), np.float32), "B": W}
    model = oracles.graph(nodes, {"x": ["m", 8]}, {"y": ["m", 6]}, constants)
    found = decided(model, method="neyman", level=0.5, correction="none", fill=False)
    assert [one.node for one in found.annealing] == ["alive"]
    (skip,) = found.skipped
    assert skip.node == "dead" and "no null can be estimated" in skip.reason.text
    shapes = decided(model, method="update", initial={"dead": W, "alive": W + 1})
    assert "the initial weight has shape" in shapes.skipped[0].reason.text
    with pytest.raises(AnnealError, match="bounded initialisation"):
        decided(model, method="support", null=normal())


def test_nothing_confirmed_is_no_annealing_and_neither_is_everything():
    model = product("MatMul", ("m",))
    nothing = decided(model, method="neyman", null=normal(100.0), accept_null=True).found[0]
    assert nothing.annealing is None and "confirms no weight at all" in nothing.reason.text
    assert nothing.reason.cause is Cause.NOTHING_CONFIRMED
    everything = decided(model, method="neyman", null=normal(1e-6)).found[0]
    assert everything.annealing is None and "all weights lie inside one component" in everything.reason.text
    assert everything.kept == nothing.kept == 1.0


def test_blocks_keep_their_residual_entries_or_drop_them():
    rng = np.random.default_rng(0)
    truth = np.kron(np.eye(2), np.ones((64, 64))) > 0
    weight = (rng.normal(0, 0.05, (128, 128)) * np.where(truth, 4, 1)).astype(np.float32)
    weight[3, 100] = weight[90, 5] = 1.0
    model = oracles.graph(
        [("MatMul", ["x", "W"], ["y"], {"name": "linear"})], {"x": ["m", 128]}, {"y": ["m", 128]}, {"W": weight}
    )
    (kept,) = decided(model, method="blocks", null=normal(0.05)).annealing
    (dropped,) = decided(model, method="blocks", null=normal(0.05), drop_residual=True).annealing
    assert (kept.kept() == truth).all() and (dropped.kept() == truth).all()
    assert sorted(kept.residual) == [(3, 100), (90, 5)] and dropped.residual == ()
    assert dropped.removed == (~truth).sum() == kept.removed + 2
    x = np.eye(128, dtype=np.float32)
    expected = np.where(truth, weight, 0)
    oracles.assert_close([expected], oracles.run(annealed(model, [dropped]), {"x": x}))
    expected[3, 100] = expected[90, 5] = 1
    oracles.assert_close([expected], oracles.run(annealed(model, [kept]), {"x": x}))
    again = decided(annealed(model, [dropped]), method="blocks", null=normal(0.05))
    assert not again.annealing


TESTS = [("neyman", normal(0.6)), ("edges", normal(0.6)), ("walk", None), ("support", uniform(1.2)), ("update", None)]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("method", "null"), TESTS)
def test_torch_decides_the_same(method, null, dtype):
    same_decisions(torch.device("cpu"), method, null, dtype)


@on_cuda
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize(("method", "null"), TESTS)
def test_cuda_decides_the_same(method, null, dtype):
    same_decisions(torch.device("cuda"), method, null, dtype)


def same_decisions(device, method, null, dtype):
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(40, 30)).astype(dtype)
    weight[:, 0] = np.asarray(1.2 * (1 + 2.0**-11), dtype)  # what a half type may have rounded up
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": "linear"})]
    model = oracles.graph(nodes, {"x": ["m", 40]}, {"y": ["m", 30]}, {"W": weight})
    then = np.where(rng.random(weight.shape) < 0.2, 0, weight.astype(np.float64))
    options = {"method": method, "null": null, "initial": {"linear": then}, "fill": False, "correction": "none"}
    here, there = (decided(model, device=where, **options) for where in (None, device))
    assert here.annealing and here.annealing[0].removed
    assert (here.annealing[0].kept() == there.annealing[0].kept()).all()
    assert here.annealing[0].removed == there.annealing[0].removed


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(AnnealError, match="unknown method 'magic'"):
        Anneal(method="magic")
    for level in (0, 1, -1, float("nan")):
        with pytest.raises(AnnealError, match="between 0 and 1"):
            Anneal(level=level)
    assert {"auto", "blocks", "paper"} <= set(METHODS)


def test_progress_is_told_for_every_linear():
    model, _ = deep(np.random.default_rng(0))
    told = []
    anneal_model(load(model), Anneal(method="neyman", null=normal(0.05)), lambda *where: told.append(where))
    assert told == [(0, 2, "up"), (1, 2, "down")]


# A null that does not fit.


def plain(weight):
    """A model of one product with a weight."""
    K, N = weight.shape
    nodes = [("MatMul", ["x", "W"], ["y"], {"name": "linear"})]
    return oracles.graph(nodes, {"x": ["m", K]}, {"y": ["m", N]}, {"W": np.ascontiguousarray(weight)})


def laplace(shape=(64, 64), seed=0):
    """A model of one product of Laplace noise of variance 1, and its weight."""
    weight = np.random.default_rng(seed).laplace(size=shape).astype(np.float32) / np.float32(math.sqrt(2))
    return plain(weight), weight


@pytest.mark.parametrize("method", ["neyman", "walk", "edges", "paper"])
@pytest.mark.parametrize("stated", [True, False])
@pytest.mark.parametrize("fill", [True, False])
def test_noise_of_another_law_is_not_annealed_unless_the_null_is_accepted(method, stated, fill):
    model, _ = laplace()
    options = {"method": method, "null": normal() if stated else None, "fill": fill}
    (found,) = decided(model, **options).found
    assert (found.annealing, found.reason.cause, found.kept) == (None, Cause.MISFIT, 1.0)
    assert found.evidence.misfit == "law" and "accept the null" in found.reason.text
    (taken,) = decided(model, **options, accept_null=True).found
    if taken.annealing is not None:
        assert any("was accepted all the same" in note for note in taken.annealing.evidence.notes)
    else:
        assert taken.reason.cause in (Cause.NOTHING_CONFIRMED, Cause.NOTHING_TO_REMOVE)
    assert taken.evidence.misfit == "law"


def test_with_the_null_accepted_noise_falls_to_pieces():
    (found,) = decided(laplace()[0], method="neyman", null=normal(), accept_null=True).found
    assert found.components.count > 1 and found.kept < 0.5


@pytest.mark.parametrize("axis", ["inputs", "outputs"])
def test_the_axis_of_equal_influence_is_that_of_the_transposed_weight(axis):
    rng = np.random.default_rng(1)
    weight = (rng.standard_normal((40, 50)) * rng.uniform(0.5, 2, (40, 1))).astype(np.float32)
    models = [plain(one) for one in (weight, weight.T)]
    other = {"inputs": "outputs", "outputs": "inputs"}[axis]
    one, two = (
        decided(model, method="walk", axis=way, fill=False, accept_null=True).found[0]
        for model, way in zip(models, (axis, other), strict=True)
    )
    assert one.evidence.classes == two.evidence.classes
    assert np.array_equal(one.annealing.kept(), two.annealing.kept().T)
    with pytest.raises(AnnealError, match="unknown axis"):
        Anneal(axis="rows")
