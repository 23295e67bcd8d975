"""Near and far outputs as operators, against the product that they stand for."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from factored import product_model
from hierarchical import hierarchically_written, planted, wavelet
from random_convolutions import Grown

RNG = np.random.default_rng(0)
OWN = planted(RNG, 9, 16, 2, 7, 9, shared=False)
SHARED = planted(RNG, 9, 16, 2, 7, 9, shared=True)


@pytest.mark.parametrize("lead", [[], [0], [1], [6], [2, 3], [2, 0, 3], [2, 1, 3]])
@pytest.mark.parametrize("weight", [wavelet(64), OWN, SHARED], ids=["wavelet", "own", "shared"])
@pytest.mark.parametrize("named", [False, True])
def test_batches_of_any_extents(weight, lead, named):
    rows = [f"d{at}" for at, _ in enumerate(lead)] if named else lead
    made = Grown(0)
    made.opset = 17
    made.inputs["x"], made.feeds["x"] = [*rows, len(weight)], RNG.standard_normal((*lead, len(weight)), np.float32)
    model = made.model(made.op("MatMul", "x", made.constant(weight)))
    changed, count = hierarchically_written(model)
    assert count == 1 and oracles.interface(changed) == oracles.interface(model)
    oracles.assert_close(oracles.run(model, made.feeds), oracles.run(changed, made.feeds))


def test_rows_come_first_where_one_matrix_is_for_all_blocks():
    written = [hierarchically_written(product_model(weight))[0] for weight in (SHARED, OWN)]
    operators = [[node.op_type for node in model.graph.node] for model in written]
    assert "Transpose" not in operators[0] and operators[0].count("MatMul") == 3
    assert operators[1].count("Transpose") == 2 and operators[1].count("MatMul") == 3
    left = Grown(0)
    left.inputs["x"], left.feeds["x"] = [len(SHARED), 6], left.normal(len(SHARED), 6)
    model = left.model(left.op("MatMul", left.constant(np.ascontiguousarray(SHARED.T)), "x"))
    changed, count = hierarchically_written(model)
    assert count == 1 and "Transpose" not in {node.op_type for node in changed.graph.node}
    oracles.assert_close(oracles.run(model, left.feeds), oracles.run(changed, left.feeds))
