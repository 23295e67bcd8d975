"""What a measurement is kept under says what was measured, and no sentence: any of these may be worded anew."""

import dataclasses

import numpy as np
import pytest
from factored import hadamard, product_model
from hierarchical import HAAR, wavelet
from races import FakeRacer
from random_convolutions import Grown
from sentences import PROSE
from tune_examples import ROWS, TRIALS

from scission.ir.io.load import load
from scission.models.planted import ffn as planted_ffn
from scission.models.planted.products import build
from scission.models.planted.recurrent import Cell, build_cell
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.runtime.tune import tune as tuning
from scission.runtime.tune import unit_races
from scission.runtime.tune.preparations import tune_preparations

MODELS = {
    "factors": lambda: product_model(hadamard(256)),
    "hierarchical": lambda: product_model(wavelet(256, HAAR)),
    "transform": lambda: transformed(200),
    "region": lambda: planted_ffn.build(np.random.default_rng(0), d=32, hidden=64, blocks=4).model,
    "linear": lambda: build(np.random.default_rng(0), "matmul-right-2").model,
    "convolution": lambda: build(np.random.default_rng(0), "conv-2d").model,
    "cell": lambda: build_cell(np.random.default_rng(0), Cell(op="GRU", sizes=((8, 16),) * 4)).model,
}


def transformed(length):
    """A Fourier transform of signals of a known length."""
    made = Grown(0)
    made.opset, made.inputs["x"], made.feeds["x"] = 17, ["b", length, 1], np.zeros(1, np.float32)
    return made.model(made.op("DFT", "x", axis=1, onesided=1))


def texts(one):
    """Every text in data, at any depth."""
    if isinstance(one, str):
        yield one
    elif isinstance(one, dict):
        for name, value in one.items():
            yield from (name, *texts(value))
    elif isinstance(one, list | tuple):
        for each in one:
            yield from texts(each)


def reworded(plan):
    """The same plan, every reason in other words."""
    steps = tuple(
        dataclasses.replace(step, reason=step.reason.told("because of something else")) for step in plan.steps
    )
    regions = tuple(dataclasses.replace(region, reason="all in other words") for region in plan.regions)
    before = tuple(dataclasses.replace(one, reason=one.reason.told("for another reason")) for one in plan.preparations)
    return dataclasses.replace(plan, steps=steps, regions=regions, preparations=before)


def keys(model, plan, monkeypatch):
    """What the units of a plan, and its preparations, are kept under, before it is hashed."""
    found = []

    def key_of(what):
        found.append(what)
        return key(what)

    key = unit_races.key_of
    with monkeypatch.context() as patch:
        patch.setattr(unit_races, "key_of", key_of)
        options = {"racer": FakeRacer(lambda way, rows: 2.0), "cache": False}
        tune_preparations(model, lambda taken_back, measured: plan, TRIALS, ROWS, **options)
        tuning.tune(model, plan, TRIALS, ROWS, **options)
    return found


@pytest.mark.parametrize("name", MODELS)
def test_a_key_holds_no_sentence_and_depends_on_none(name, monkeypatch):
    model = load(MODELS[name]())
    plan = make_plan(model, PlanSettings(force=True, batch=ROWS))
    found = keys(model, plan, monkeypatch)
    assert found
    for what in found:
        told = {name: value for name, value in what.items() if name != "machine"}  # a processor has a name of its own
        assert [text for text in texts(told) if PROSE.match(text)] == []
    assert keys(model, reworded(plan), monkeypatch) == found
