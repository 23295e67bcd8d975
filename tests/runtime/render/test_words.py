import dataclasses
from types import SimpleNamespace

import numpy as np
import oracles
import pytest

import scission
from scission.ir.plural import counted
from scission.models.matrix import weight
from scission.passes.lowering.prices import prices_of
from scission.runtime.measure.comparison import Comparison
from scission.runtime.render.words import left_out, megabytes, priced_elsewhere, speeds, why_nothing

BLOCKS, _ = weight(np.random.default_rng(0), [(12, 12)] * 4)
DENSE = np.random.default_rng(0).standard_normal((48, 48)).astype(np.float32)


def plan_of(*weights):
    ends = ["x", *(f"h{index}" for index in range(len(weights) - 1)), "y"]
    nodes = [("MatMul", [ends[i], f"w{i}"], [ends[i + 1]]) for i in range(len(weights))]
    constants = {f"w{index}": array for index, array in enumerate(weights)} or {"k": np.ones(48, np.float32)}
    return scission.plan(
        oracles.graph(nodes or [("Add", ["x", "k"], ["y"])], {"x": ["m", 48]}, {"y": ["m", 48]}, constants)
    )


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ((), "the model has no linear with a constant weight that could be split"),
        ((DENSE,), "nothing splits: none of 1 operator comes apart"),
        ((DENSE, DENSE.T), "nothing splits: none of 2 operators comes apart"),
        ((BLOCKS,), "1 of 1 operator comes apart into independent blocks, but it is not predicted to gain"),
        (
            (BLOCKS, DENSE, BLOCKS),
            "2 of 3 operators come apart into independent blocks, but none of them is predicted to gain",
        ),
    ],
)
def test_why_nothing_is_split_is_said_alike_everywhere(weights, said, tmp_path):
    """By the plan, the result and the report of one model."""
    plan = plan_of(*weights)
    assert not plan.rewrites and why_nothing(plan) == said
    model = plan_model(weights)
    assert scission.optimize(model, check=False, bench=False).reason == said
    assert scission.report(model).sentence == f"{said[0].upper()}{said[1:]}."


def plan_model(weights):
    ends = ["x", *(f"h{index}" for index in range(len(weights) - 1)), "y"]
    nodes = [("MatMul", [ends[i], f"w{i}"], [ends[i + 1]]) for i in range(len(weights))]
    constants = {f"w{index}": array for index, array in enumerate(weights)} or {"k": np.ones(48, np.float32)}
    return oracles.graph(nodes or [("Add", ["x", "k"], ["y"])], {"x": ["m", 48]}, {"y": ["m", 48]}, constants)


def test_numbers_and_rests():
    assert counted(0, "node") == "0 nodes" and left_out(3, "regions") == "… and 3 regions more (--all shows them)"
    plan = plan_of(BLOCKS)
    assert dataclasses.replace(plan, steps=()).steps == ()


@pytest.mark.parametrize(
    ("measured", "said"),
    [
        ([(1, 2.0, 1.9, 2.1)], "measured 2.00x the speed of the original at batch 1"),
        (
            [(1, 1.0, 0.2, 9.0), (16, 2.0, 1.9, 2.1), (256, 3.0, 2.9, 3.1)],
            "measured unclear at batch 1, 2.00x the speed of the original at batch 16, 3.00x at batch 256",
        ),
        ([(1, 1.0, 0.2, 9.0), (16, 1.0, 0.2, 9.0)], "measured, but its speed beside that of the original is unclear"),
    ],
)
def test_a_speed_that_is_unclear_is_not_a_number_of_times(measured, said):
    benches = [
        SimpleNamespace(rows=rows, comparison=Comparison(ratio=ratio, low=low, high=high, pairs=20))
        for rows, ratio, low, high in measured
    ]
    assert speeds(benches) == said


def test_sizes():
    assert [megabytes(number) for number in (7, 7000, 7 * 10**6, 7 * 10**9)] == [
        "7 B",
        "7.0 kB",
        "7.0 MB",
        "7.0 GB",
    ]


@pytest.mark.parametrize(("provider", "card"), [("cpu", "NVIDIA A100"), ("cuda", None), ("cuda", "")])
def test_without_another_card_nothing_is_said_of_prices(provider, card):
    assert priced_elsewhere(provider, card) == ""
    assert priced_elsewhere("cuda", prices_of("cuda").card) == ""


def test_another_card_is_named_beside_the_one_that_was_measured():
    said = priced_elsewhere("cuda", "NVIDIA A100-SXM4-80GB")
    assert prices_of("cuda").card in said and "NVIDIA A100-SXM4-80GB" in said


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_optimize_says_on_which_card_prices_were_measured(provider, monkeypatch):
    from scission.runtime.ort import environment
    from scission.runtime.pipeline import optimize as pipeline

    monkeypatch.setattr(environment, "gpu_name", lambda: "NVIDIA A100")
    plan = scission.plan(plan_model((BLOCKS,)), provider=provider)
    assert ("this is NVIDIA A100" in pipeline._elsewhere(plan)) is (provider == "cuda")
