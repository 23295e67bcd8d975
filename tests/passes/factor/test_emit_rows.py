"""Stages written rows first, against what they compute as values."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from factored import fourier, hadamard, kronecker, product_model, written
from hypothesis import given
from hypothesis import strategies as st

from scission.passes.factor.emit_rows import suits_rows, turned
from scission.passes.factor.factorise import factorise
from scission.passes.factor.stages import Factors, Stage

RNG = np.random.default_rng(0)


@given(st.integers(1, 6), st.integers(2, 6))
def test_runs_taken_in_turns_are_an_order(runs, length):
    whole = np.arange(runs * length)
    order = whole.reshape(runs, length).T.ravel()
    found = turned(order, order.size)
    assert found is not None and np.array_equal(order, whole.reshape(found, -1).T.ravel())


def test_other_orders_are_no_turns():
    assert turned(np.array([0, 2, 1, 3]), 6) is None
    assert turned(np.array([0, 3, 2, 1]), 4) is None
    assert turned(np.array([1, 0, 3, 2]), 4) is None
    assert turned(np.array([0, 4, 1, 2, 3]), 5) is None


def test_matrices_of_all_places_and_groups_suit():
    one = Stage(weight=np.ones((1, 1, 2, 3)), radix=2, ranks=1)
    grouped = Stage(weight=np.ones((3, 1, 2, 2)), radix=2, ranks=1)
    placed = Stage(weight=np.ones((1, 2, 2, 3)), radix=2, ranks=1)
    order = np.arange(12)
    assert suits_rows(Factors(stages=(one, one), order=order), 2)
    assert suits_rows(Factors(stages=(one, grouped, one), order=order), 3)
    last_grouped = Factors(stages=(one, grouped), order=order)
    assert [suits_rows(last_grouped, count) for count in range(4)] == [True, True, False, False]
    assert not suits_rows(Factors(stages=(placed, one), order=order), 1)


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize(
    "weight", [hadamard(64), kronecker(*(RNG.standard_normal(shape) for shape in [(3, 5), (4, 2), (5, 4)]))]
)
def test_products_need_no_more_than_convolutions(weight, rows):
    model = product_model(weight)
    changed, count = written(model, rows_first=9)
    _, factors = factorise(weight, lambda one: one.macs)
    assert count == 1 and suits_rows(factors, len(factors.stages))
    operators = {node.op_type for node in changed.graph.node}
    assert operators == {"Reshape", "Conv", "MatMul"}
    feeds = {"x": RNG.standard_normal((rows, weight.shape[0])).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("optimised", [False, True])
def test_stages_of_groups_follow_features_first_where_rows_are_read_as_they_lie(rows, rank, optimised):
    model = product_model(fourier(64), rows=["n", 3][: rank - 1])
    changed, count = written(model, rows_first=9)
    names = [node.op_type for node in changed.graph.node]
    assert count == 1 and names.count("Conv") == 1 and names.count("Transpose") == 3
    assert names[names.index("MatMul") - 1] == "Transpose"  # which ONNX Runtime merges
    feeds = {"x": RNG.standard_normal((*[rows, 3][: rank - 1], 64)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds, optimised), oracles.run(changed, feeds, optimised))
