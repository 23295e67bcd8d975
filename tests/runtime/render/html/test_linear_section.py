import numpy as np
import oracles
import pytest

from scission.ir.io.load import load
from scission.passes.planning.analysis import analyse
from scission.passes.planning.inspect import inspect_model
from scission.passes.planning.settings import PlanSettings
from scission.runtime.render.html import linear_section as portrait
from scission.runtime.render.html.linear_section import finest, portraits, worth_showing

RNG = np.random.default_rng(0)
CYCLES = np.kron(np.eye(2), np.roll(np.eye(4), 1, axis=1)).astype(np.float32)


def model_of(**weights):
    """A chain of products of square weights, by name."""
    names = list(weights)
    values = ["x", *(f"h{at}" for at in range(len(names) - 1)), "y"]
    nodes = [("MatMul", [a, w], [b], {"name": w}) for a, w, b in zip(values, names, values[1:], strict=False)]
    width = len(weights[names[0]])
    return load(oracles.graph(nodes, {"x": ["m", width]}, {"y": ["m", width]}, weights))


def components_of(W):
    return finest(analyse(W))


def found(model):
    return inspect_model(model, PlanSettings(provider="cpu", threads=1, batch=[4]))


DENSE = RNG.standard_normal((8, 8)).astype(np.float32)


def test_structure_comes_first_and_then_the_largest():
    model = model_of(dense=DENSE, cycles=CYCLES)
    assert worth_showing(found(model).plan) == ("cycles", "dense")


def test_a_dense_weight_is_shown_by_its_magnitudes_and_one_with_structure_twice():
    first, second = portraits(model := model_of(dense=DENSE, cycles=CYCLES), found(model))
    assert (
        first.stored.shown.startswith("edges")
        and first.arranged is not None
        and first.groups[-1].last + 1 == first.of_groups == 8
    )
    assert second.stored.shown.startswith("mean") and second.arranged is None and not second.groups
    assert first.states.structure.sccs == 2 and second.states is None


def test_groups_of_one_size_are_told_once():
    W = np.kron(np.eye(3), np.ones((4, 4))).astype(np.float32)
    W[4:, 4:] = np.kron(np.eye(4), np.ones((2, 2)))
    model = model_of(W=W)
    (one,) = portraits(model, found(model), {"W": components_of(W)})
    assert [(row.first, row.last, row.inputs, row.outputs) for row in one.groups] == [(0, 0, 4, 4), (1, 4, 2, 2)]
    assert sum((row.last - row.first + 1) * row.mac_share for row in one.groups) == pytest.approx(32 / 144)


def test_what_would_make_the_page_too_large_is_not_drawn_and_said(monkeypatch):
    monkeypatch.setattr(portrait, "MOST_BYTES", 1)
    first, second = portraits(model := model_of(dense=DENSE, cycles=CYCLES), found(model))
    assert first.stored is not None and not first.note
    assert second.stored is None and "not drawn" in second.note


def test_few_of_the_others_are_read(monkeypatch):
    monkeypatch.setattr(portrait, "MOST_READ", 2 * 64)
    plan = found(model_of(**{f"w{at}": RNG.standard_normal((8, 8)).astype(np.float32) for at in range(4)})).plan
    assert worth_showing(plan) == ("w0", "w1")
    monkeypatch.setattr(portrait, "MOST_READ", 1)
    assert worth_showing(plan) == ("w0",)  # the largest, however large it is


def test_groups_that_share_inputs_are_shown_where_nothing_falls_apart():
    W = np.tril(np.ones((64, 64), np.float32))
    form = components_of(W)
    assert 2 < len(form.blocks) < 10 and form.mac_share < 0.7 and not (np.tril(np.ones((64, 64))) > form.inside()).any()
    assert components_of(DENSE) is None
    model = model_of(W=W)
    (one,) = portraits(model, found(model), {"W": form})
    assert one.of_groups == len(form.blocks) and one.arranged.frames
