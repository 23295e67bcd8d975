from dataclasses import replace

import numpy as np
import oracles
import pytest
from annealable import network

import scission
from scission.runtime.ort.trials import Trials
from scission.runtime.render.html import page as html_page
from scission.runtime.render.html.report import report

TRIALS = Trials(provider="cpu", threads=1)


@pytest.fixture(scope="module")
def annealed():
    model, *_ = network(np.random.default_rng(0), (64, 96, 64), signal=8.0)
    plan = scission.plan(model, provider="cpu", anneal="blocks", force=True, batch=[4])
    assert plan.annealing
    return report(model, scission.apply(model, plan), plan=plan, bench=False, trials=TRIALS)


def test_evidence_is_told_and_a_lossy_difference_is_no_failure(annealed):
    text = annealed.html()
    one = annealed.plan.annealing[0]
    assert f"{one.removed:,} entries" in text and "blocks at level" in text and one.sha256 in text
    assert annealed.lossy and annealed.ok and not annealed.verdict.equal and "must not" not in text
    assert "lossy" in annealed.sentence and "verdict bad" not in text


def test_a_plan_with_fitted_entries_is_drawn_without_them(annealed):
    plan = annealed.plan
    fitted = replace(plan, annealing=tuple(replace(one, refitted=True) for one in plan.annealing))
    model, *_ = network(np.random.default_rng(0), (64, 96, 64), signal=8.0)
    portraits = report(model, plan=fitted, trials=TRIALS).portraits
    assert [one.arranged for one in portraits] == [one.arranged for one in annealed.portraits]


def test_numbers_that_are_not_known_are_no_failure(annealed):
    rows = tuple(replace(row, gain=None, covers=None) for row in annealed.found.rows)
    text = replace(annealed, found=replace(annealed.found, rows=rows), command="", files=(), portraits=()).html()
    assert ">None" not in text and ">nan" not in text and "None<" not in text


def test_long_lists_are_cut_and_counted(annealed, monkeypatch):
    monkeypatch.setattr(html_page, "MOST_LISTED", 1)
    assert "more</p>" in annealed.html()


def test_an_empty_model_has_a_page():
    found = report(
        oracles.graph([("Add", ["x", "b"], ["y"], {})], {"x": ["m"]}, {"y": ["m"]}, {"b": np.ones(1, np.float32)}),
        trials=TRIALS,
    )
    assert "no linear" in found.sentence and "There is no product with a constant weight" in found.html()
