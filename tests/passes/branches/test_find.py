"""Branches found and merged: what they compute is what they computed apart, run by ONNX Runtime."""

import functools
from collections import Counter

import numpy as np
import oracles
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from random_branches import random_branches

from scission.ir.graph.sizes import input_dims, settings_at
from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.models.planted.branches import ENDS, SOURCES, Repeated, repeated
from scission.passes.branches import find
from scission.passes.branches.find import find_branches
from scission.passes.lowering.target import Target
from scission.passes.rewrite.merge_branches import merge_branches


def found_in(model, batch=(1, 4)):
    graph = load(model).graph
    sized = functools.partial(settings_at, input_dims(graph), list(batch))
    return graph, find_branches(graph, Target(), sized)


def merged(model):
    graph, found = found_in(model)
    return found, merge_branches(graph, found) if found else graph


def feeds_of(model, batch, rng):
    shapes = {one.name: [d.dim_value or batch for d in one.type.tensor_type.shape.dim] for one in model.graph.input}
    return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def assert_same(model, changed, batches=(1, 3)):
    rng = np.random.default_rng(0)
    after = ir.to_proto(changed)
    assert oracles.interface(after) == oracles.interface(model)
    for batch in batches:
        feeds = feeds_of(model, batch, rng)
        oracles.assert_close(oracles.run(model, feeds), oracles.run(after, feeds))


def operators(model):
    return Counter(node.op_type for node in model.graph)


@pytest.fixture
def whatever_it_costs(monkeypatch):
    monkeypatch.setattr(find, "MARGIN", 0.0)


@st.composite
def planted(draw):
    end = draw(st.sampled_from(ENDS))
    return Repeated(
        lanes=draw(st.integers(2, 5)),
        inputs=draw(st.integers(1, 4)),
        widths=tuple(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))),
        equal=draw(st.booleans()),
        source=draw(st.sampled_from(SOURCES)),
        end=end,
        gemm=draw(st.booleans()),
        activation=draw(st.sampled_from(["Relu", "Tanh", "Elu"])),
        axis=draw(st.integers(0, 1 if end == "concat" else 2)),
        watched=draw(st.booleans()),
        shuffled=draw(st.booleans()),
        opset=draw(st.sampled_from([11, 13, 17, 18])),
    )


@settings(max_examples=40)
@given(planted(), st.integers(0, 99))
@example(Repeated(lanes=2, widths=(1,), inputs=1, equal=True, source="places", end="stack", axis=2), 0)
def test_planted_branches_become_one_and_compute_the_same(what, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        made = repeated(np.random.default_rng(seed), what)
        found, changed = merged(made.model)
    if what.equal and what.source == "shared":
        assert not found  # the same several times over, which is none of this
        return
    assert len(found) == 1 and len(found[0].branches[0]) == what.lanes
    products = {place for place in found[0].branches if set(place) & {one[0] for one in made.products}}
    assert {frozenset(place) for place in products} == {frozenset(one[0] for one in made.products)}
    assert not {name for one in made.products for name in one} & {node.name for node in changed.graph}
    assert_same(made.model, changed)


@settings(max_examples=60)
@given(st.integers(0, 1 << 20))
def test_random_branches_compute_the_same_as_one(seed):
    model, *_ = random_branches(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(find, "MARGIN", 0.0)
        _, changed = merged(model)
    assert_same(model, changed)
