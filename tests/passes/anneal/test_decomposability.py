"""Why a model does not decompose: the examination, and what it says."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest
from examined import KNOWN, NORMAL, noise, only, planted
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import model, node, product

from scission.ir.findings.decomposability import STEPS, MatrixReport, ModelReport, Sensitivity, Worth
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.anneal.decomposability import FACTORS, at_half, examine
from scission.passes.anneal.edges.anneal import smallest_signal
from scission.passes.anneal.model import anneal_model
from scission.passes.anneal.settings import Anneal
from scission.passes.connectivity.bipartite import components
from scission.passes.connectivity.percolation import half_giant
from scission.passes.rewrite.remove_edges import remove_edges


def weights(graph):
    seen = view(graph).found
    return {linear.address: linear.canonical(seen.constants) for linear in seen.linears}


def matrix(**changes):
    """A report by hand."""
    rows = tuple(Sensitivity(factor=f, confirmed=0.4, components=1, giant=1, dormant=0, distance=9) for f in FACTORS)
    values = {"node": "n", "shape": (10, 20), "density": 1.0, "components": 1, "giant": 1.0, "dormant": 0}
    values |= {"distance": 14.0, "half": 2.0, "half_kept": 0.004, "half_giant": 0.4, "half_components": 3}
    values |= {"mass": 0.59, "mass_shuffled": 0.55, "null": NORMAL, "smallest_edge": 2.4, "smallest_block": 0.6}
    values |= {"sensitivity": rows, "power": (("walk", "none"),), "reason": "so", "step": "train", "suggestion": "t"}
    return MatrixReport(**values | changes)


def report(*matrices, **changes):
    return ModelReport(model="m", matrices=matrices, level=0.05, **changes)


@settings(max_examples=20)
@given(st.integers(4, 30), st.integers(4, 30), st.floats(0.05, 1), st.integers(0, 99))
def test_the_figures_are_those_of_the_parts(K, N, density, seed):
    rng = np.random.default_rng(seed)
    W = (rng.normal(size=(K, N)) * 3 * (rng.random((K, N)) < density)).astype(np.float32)
    found, graph, half = only(W), components(W), half_giant(W)
    assert (found.components, found.giant, found.dormant) == (graph.count, graph.giant, graph.dormant)
    assert found.density == pytest.approx(np.count_nonzero(W) / W.size)
    assert found.distance == pytest.approx(found.density * math.sqrt(K * N))
    assert (found.half, found.half_kept, found.half_giant) == (half.threshold, half.kept, half.giant)
    threshold = NORMAL.threshold(0.05 / W.size)
    assert found.smallest_edge == smallest_signal((K, N), NORMAL, threshold)
    assert [one.factor for one in found.sensitivity] == list(FACTORS)
    for one in found.sensitivity:
        kept = components((abs(W) > one.factor * threshold) * W)
        assert (one.confirmed * W.size, one.components) == (pytest.approx(kept.nonzeros), kept.count)
        assert (one.giant, one.dormant) == (kept.giant, kept.dormant)


def test_the_edge_test_is_that_of_annealing():
    W = planted(signal=3)
    found = only(W).confirmed
    (theirs,) = anneal_model(load(product(W)), dataclasses.replace(KNOWN, method="neyman", fill=False)).found
    assert found.confirmed == pytest.approx(theirs.evidence.confirmed)
    assert (found.components, found.giant) == (theirs.components.count, theirs.components.giant)


def test_the_power_of_every_test_is_told():
    power = dict(only(planted()).power)
    assert list(power) == ["neyman", "walk", "blocks"]
    assert "sigma" in power["neyman"] and "of normal ones" in power["walk"] and "2 equal blocks" in power["blocks"]
    assert "too small" in dict(only(noise(3, 3)).power)["blocks"]
    W = planted()
    start = W.copy()
    start[:64, :64] = 0
    power = dict(only(W, dataclasses.replace(KNOWN, initial={"linear": start})).power)
    assert "here 25.0% in 1 component" in power["update"]


def test_the_initial_weight_is_the_null():
    W, start = noise(40, 40, scale=2), noise(40, 40, scale=0.5)
    own = float(np.sqrt(np.mean(start.astype(np.float64) ** 2)))
    for null in (None, KNOWN.null):
        model = load(product(W))
        found = examine(model, Anneal(null=null, initial={"linear": start}))
        (one,) = found.matrices
        assert (one.null.family, one.null.source) == ("normal", "the initial checkpoint")
        assert one.null.scale == pytest.approx(own) and not one.null.estimated and not found.notes
        threshold = one.null.threshold(0.05 / W.size)
        assert one.confirmed.confirmed == pytest.approx((abs(W) > threshold).mean())


def test_an_initial_weight_without_spread_is_no_null():
    W = noise(40, 40)
    one = only(W, Anneal(initial={"linear": np.zeros_like(W)}))
    assert one.null is None and not one.sensitivity and one.smallest_edge is None
    assert only(W, dataclasses.replace(KNOWN, initial={"linear": np.zeros_like(W)})).null is NORMAL


def network():
    """x U, ReLU, V of 2 channels, then queries and keys that meet in a softmax, and a last product."""
    d = 12
    nodes = [
        node("MatMul", "x U", "a", "up"),
        node("Relu", "a", "b"),
        node("MatMul", "b V", "c", "down"),
        node("MatMul", "c Q", "q", "query"),
        node("MatMul", "c P", "p", "key"),
        node("Transpose", "p", "t", perm=[1, 0]),
        node("MatMul", "q t", "s", "scores"),
        node("Mul", "s half", "h"),
        node("Softmax", "h", "e", axis=-1),
        node("MatMul", "c L", "l", "value"),
        node("MatMul", "e l", "y", "mix"),
    ]
    shapes = {"U": (d, 2 * d), "V": (2 * d, d), "Q": (d, d), "P": (d, d), "L": (d, d)}
    constants = {name: noise(*shape, scale=20) for name, shape in shapes.items()} | {"half": np.float32(0.5)}
    return load(model(nodes, {"x": ["b", d]}, {"y": ["b", d]}, constants))


def test_feed_forward_networks_and_heads_are_known():
    found = {one.node: one for one in examine(network(), KNOWN).matrices}
    steps = {name: one.step for name, one in found.items()}
    assert steps == {"up": "channels", "down": "channels", "query": "heads", "key": "heads", "value": "train"}
    assert "its 4 weights exceeds" in dict(found["up"].power)["norm"]
    assert dict(found["up"].power)["consistency"] == dict(found["down"].power)["consistency"]
    assert "norm" not in dict(found["query"].power)


def test_at_half_leaves_what_the_report_says():
    given = network()
    found = examine(given, KNOWN)
    annealings = at_half(given, found)
    assert [one.node for one in annealings] == [one.node for one in found.matrices]
    before, after = weights(given.graph), weights(remove_edges(given.graph, annealings))
    for one, annealing in zip(found.matrices, annealings, strict=True):
        left = components(after[one.node])
        assert (left.giant, left.count) == (one.half_giant, one.half_components) and left.giant < 0.5
        kept = abs(before[one.node]) > one.half
        np.testing.assert_array_equal(after[one.node], np.where(kept, before[one.node], 0))
        assert annealing.removed == np.count_nonzero(before[one.node]) - left.nonzeros


def test_at_half_leaves_alone_what_has_no_giant_or_would_vanish():
    for W in (np.kron(np.eye(3, dtype=np.float32), noise(5, 5)), noise(1, 2)):
        given = load(product(W))
        assert at_half(given, examine(given, KNOWN)) == ()


def test_reasons_of_annealing_are_repeated_and_progress_is_told():
    given = load(product(noise(40, 40, scale=20)))
    tried, steps = anneal_model(given, KNOWN), []
    (found,) = examine(given, KNOWN, annealed=tried, progress=lambda *step: steps.append(step)).matrices
    assert found.reason.endswith(f"; annealing: {tried.found[0].reason}")
    assert steps == [(0, 1, "linear")]


def test_a_quantised_weight_is_listed_and_not_examined():
    nodes = [node("DequantizeLinear", "q scale", "W"), node("MatMul", "x W", "y", "linear")]
    constants = {"q": np.ones((4, 3), np.int8), "scale": np.float32(0.1)}
    found = examine(load(model(nodes, {"x": ["b", 4]}, {"y": ["b", 3]}, constants)), KNOWN)
    assert not found.matrices and "quantised" in found.sentence
    assert [(one.node, one.parameters) for one in found.skipped] == [("linear", 12)]


def test_the_sentence_says_all_of_it():
    said = report(matrix(), matrix(node="o", distance=252, half_kept=0.01), test="walk").sentence
    assert said == (
        "m does not decompose under the test walk: as trained, 2 of 2 weights are one component (giant 100%, 0 "
        "dormant), 14-252 times the density where random weights fall apart; breaking the giants takes 99-99.6% of "
        "entries; best two blocks: 59% of the squared weights (shuffled: 55%); next: train for blocks."
    )


def test_without_a_test_none_is_claimed():
    said = report(matrix()).sentence
    assert said.startswith("m does not decompose without annealing: 1 of 1 weight is one component (giant 100%")


@pytest.mark.parametrize("step", STEPS)
def test_the_sentence_is_short_whatever_the_next_step(step):
    worth = Worth(metric="python:some.module.sentence_cosine", value=0.123456, original=0.98765)
    rest = matrix(shape=(2, 2), step="train" if step != "train" else "rank")
    said = report(matrix(distance=252, step=step), rest, test="consistency", worth=worth).sentence
    assert len(said.split()) <= 62 and f"next: {STEPS[step].partition(':')[0]} (1 of 2)." in said
    assert "(sentence_cosine 0.123, original 0.988)" in said
    assert said.count(".") == len(re.findall(r"[.][0-9]", said)) + 1


def test_nearly_all_is_not_rounded_to_all():
    assert "takes 99.9% of entries" in report(matrix(half_kept=1e-6)).sentence
    assert "takes 100% of entries" in report(matrix(half_kept=0)).sentence


def test_what_the_outputs_are_worth_is_said_once_it_is_measured():
    found = report(matrix())
    assert "cosine" not in found.sentence
    worth = dataclasses.replace(found, worth=Worth(metric="cosine", value=0.2))
    assert "breaking the giant takes 99.6% of entries (cosine 0.2);" in worth.sentence
    worth = dataclasses.replace(found, worth=Worth(metric="argmax", value=0.25, original=0.91))
    assert "(argmax 0.25, original 0.91)" in worth.sentence


def test_a_model_that_decomposes_is_not_called_whole():
    loose = matrix(node="o", components=5, giant=0.2, step="split")
    said = report(loose).sentence
    assert said.startswith("m decomposes without annealing: in none of 1 weight does a component hold half")
    both = matrix(dormant=3, components=2, giant=0.9), loose
    part = "1 of 2 weights has a component with at least half of the features (giant 90%, 3 dormant)"
    assert report(*both).sentence.startswith(f"m decomposes only in part without annealing: {part}")
    assert report(*both, test="walk").sentence.startswith(
        f"m does not decompose under the test walk: as trained, {part}"
    )
    assert report().sentence == "m has no weight that can be examined."


def test_steps_are_ordered_by_what_they_concern():
    small = [matrix(node=str(place), step="rank") for place in range(3)]
    found = report(*small, matrix(shape=(100, 200), step="heads"))
    assert found.steps == (("heads", 1), ("rank", 3))
    assert found.sentence.endswith("next: lower the rank of queries and keys (1 of 4).")


def test_the_report_is_json_whatever_is_in_it():
    unknown = matrix(mass=None, mass_shuffled=None, null=None, smallest_edge=None, sensitivity=())
    endless = matrix(smallest_edge=math.inf, smallest_block=math.inf, half=math.inf)
    found = report(unknown, endless, worth=Worth(metric="mse", value=math.nan), notes=("a note",))
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["sentence"] == found.sentence and data["notes"] == ["a note"]
    assert data["test"] == "" and report(endless, test="walk").to_dict()["test"] == "walk"
    assert [one["smallest_block"] for one in data["matrices"]] == [0.6, None]
    assert data["matrices"][1]["null"] | {"sigma": 1.0} == data["matrices"][1]["null"]
    assert data["matrices"][0]["power"] == {"walk": "none"} and data["matrices"][0]["shape"] == [10, 20]
    real = examine(network(), Anneal())
    assert json.loads(json.dumps(real.to_dict(), allow_nan=False))["matrices"][0]["node"] == "up"
    assert "circular" in real.notes[0]


def test_weights_that_are_not_finite_are_examined_too():
    W = noise(20, 20, scale=20)
    W[0], W[1, 1] = np.nan, np.inf
    found = only(W)
    assert found.mass is None and found.whole
    json.dumps(found.to_dict(), allow_nan=False)
    assert "of the squared weights" not in examine(load(product(W)), KNOWN).sentence
