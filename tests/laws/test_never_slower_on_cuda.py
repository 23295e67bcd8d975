"""What is handed back for CUDA is never slower than the original as that runs there, as a CUDA graph where it can.

A simulated GPU says what each node takes; planning, rewriting, checks, races and falling back are the real ones.
"""

from __future__ import annotations

import dataclasses
import json
import re

import onnx
import pytest
from optimised import given, stacked
from reference import graphs_of
from simulated_cuda import PLAIN, RECORDED, SimulatedCuda, origin_of

import scission
from scission.runtime.measure.comparison import Speed
from scission.runtime.measure.race import NoGraphError
from scission.runtime.pipeline import planner

TRIALS = scission.Trials(provider="cuda", seconds=0.02)
DENSE = 40e-6  # seconds of a product that is not split
PRODUCTS = tuple(f"product{index}" for index in range(3))


def put_in(node):
    """Whether a node stands for another."""
    return origin_of(node) != node.name


def taking(**split):
    """Seconds of a node: those of a product, or what all that stands for it takes together."""

    def seconds(node):
        if not put_in(node):
            return DENSE if node.name in PRODUCTS else 0.0
        return split.get(origin_of(node), 10e-6) if node.op_type == "MatMul" else 0.0

    return seconds


@pytest.fixture
def optimized(monkeypatch, tmp_path):
    """(the result of `optimize` where every product is split alone, on a GPU as told; that GPU)"""
    source = given(stacked(), "path", tmp_path)
    plan = scission.plan(source, provider="cuda", force=True, regions=False, batch=[4])
    assert {step.node for step in plan.rewrites} == set(PRODUCTS)
    monkeypatch.setattr(planner, "make_plan", lambda *_, **__: plan)

    def start(trials=TRIALS, check=True, **gpu):
        simulated = SimulatedCuda(monkeypatch, **{"seconds": taking(), **gpu})
        result = scission.optimize(source, tmp_path / "out.onnx", trials=trials, batch=[4], check=check, overwrite=True)
        return result, simulated

    return start


def original(tmp_path):
    """Whether the original was handed back, byte for byte."""
    return (tmp_path / "out.onnx").read_bytes() == (tmp_path / "in.onnx").read_bytes()


def nodes_of(result):
    return [node for path in result.written for graph in graphs_of(onnx.load(path)) for node in graph.node]


def seconds_of(gpu, nodes, recorded):
    return sum(gpu.seconds(node) + (RECORDED if recorded else PLAIN) for node in nodes)


def require_as_told(result, gpu, *, recorded=True):
    """The speed-up is the one that the table gives for both models."""
    (bench,) = result.benches
    assert bench.cuda_graph is recorded and result.verdict.equal and result.verdict.provider == "cuda"
    before = [node for graph in graphs_of(stacked()) for node in graph.node]
    told = seconds_of(gpu, before, recorded) / seconds_of(gpu, nodes_of(result), recorded)
    assert bench.speedup == pytest.approx(told) and told >= 0.98
    json.dumps(result.to_dict(), allow_nan=False)


def test_all_that_is_faster_is_kept(optimized):
    result, gpu = optimized()
    assert result.outcome == "split" and not result.fallbacks and any(gpu.opened)
    require_as_told(result, gpu)


def test_a_slower_unit_is_left_away_and_the_others_stay(optimized):
    result, gpu = optimized(seconds=taking(product1=300e-6))
    assert result.outcome == "split" and [one.nodes for one in result.fallbacks] == [("product1",)]
    assert {origin_of(node) for node in nodes_of(result) if put_in(node)} == {"product0", "product2"}
    require_as_told(result, gpu)


def test_the_original_comes_back_where_all_is_slower(optimized, tmp_path):
    result, _ = optimized(seconds=taking(**dict.fromkeys(PRODUCTS, 60e-6)))
    assert result.outcome == "slower" and result.benches[0].cuda_graph and original(tmp_path)


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_what_cannot_be_recorded_is_left_away_where_the_original_can(choice, optimized):
    """Without graphs it would be faster than the original without."""
    result, gpu = optimized(
        trials=dataclasses.replace(TRIALS, cuda_graph=choice),
        seconds=lambda node: 0.0 if put_in(node) else 8e-6 * (node.name in PRODUCTS),
        unrecordable=lambda node: put_in(node) and origin_of(node) == "product1",
    )
    assert result.outcome == "split" and [one.nodes for one in result.fallbacks] == [("product1",)]
    assert result.fallbacks[0].slower
    require_as_told(result, gpu)


@pytest.mark.parametrize("choice", ["auto", "on"])
def test_the_original_comes_back_where_nothing_can_be_recorded(choice, optimized, tmp_path):
    result, _ = optimized(trials=dataclasses.replace(TRIALS, cuda_graph=choice), unrecordable=put_in)
    assert result.outcome == "slower" and original(tmp_path)
    told = result.reason if choice == "on" else result.benches[0].cuda_graph_reason
    assert re.search("cannot be recorded as a CUDA graph", told)


def test_without_graphs_both_run_without(optimized):
    softmax = lambda node: node.op_type == "Softmax"  # noqa: E731
    result, gpu = optimized(unrecordable=softmax)
    assert result.outcome == "split" and not result.fallbacks
    require_as_told(result, gpu, recorded=False)
    with pytest.raises(NoGraphError, match=r"no CUDA graphs: .*in\.onnx"):
        optimized(unrecordable=softmax, trials=dataclasses.replace(TRIALS, cuda_graph="on"))


def test_who_runs_without_graphs_is_told_of_runs_without(optimized):
    result, gpu = optimized(trials=dataclasses.replace(TRIALS, cuda_graph="off"))
    assert not any(gpu.opened) and result.benches[0].cuda_graph_reason == "switched off"
    require_as_told(result, gpu, recorded=False)


@pytest.mark.parametrize(
    ("more", "why"), [({}, "refuses inputs that the original runs"), ({"check": False}, "fails to run the rewritten")]
)
def test_what_breaks_there_is_no_success(more, why, optimized, tmp_path):
    result, _ = optimized(breaks=put_in, **more)
    assert result.outcome == "failed" and why in result.reason
    assert not result.ok and not (tmp_path / "out.onnx").exists()


def test_what_breaks_the_original_too_is_an_error(optimized, tmp_path):
    with pytest.raises(scission.SessionError, match="while running Softmax"):
        optimized(breaks=lambda node: node.op_type == "Softmax")
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(("ratio", "gone"), [(0.975, 1), (0.985, 0)])
def test_two_percent_are_too_much_where_they_are_sure(ratio, gone, optimized):
    """With one unit less it is 0.983."""
    each = (DENSE + 2 * RECORDED) / ratio - 2 * RECORDED  # with a Softmax each
    dense = taking()

    def seconds(node):
        if not put_in(node):
            return dense(node)
        return each if node.op_type == "MatMul" else -RECORDED

    result, gpu = optimized(seconds=seconds)
    assert result.outcome == "split" and len(result.fallbacks) == gone
    assert result.benches[0].speed is Speed.EQUAL
    require_as_told(result, gpu)


@pytest.mark.parametrize("choice", ["auto", "on", "off"])
def test_predictions_are_for_launches_as_they_will_be(choice, monkeypatch):
    """Also where nothing is timed."""
    asked = []

    def planned(loaded, settings, **_):
        asked.append(settings.cuda_graph)
        raise scission.PlanError("seen")

    monkeypatch.setattr(planner, "make_plan", planned)
    trials = dataclasses.replace(TRIALS, cuda_graph=choice)
    SimulatedCuda(monkeypatch)
    for call in (
        lambda: scission.optimize(stacked(1), trials=trials),
        lambda: scission.optimize(stacked(1), trials=trials, bench=False),
        lambda: scission.plan(stacked(1), provider="cuda", tune=True, trials=trials),
    ):
        with pytest.raises(scission.PlanError, match="seen"):
            call()
    assert asked == [choice != "off"] * 3
