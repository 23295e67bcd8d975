"""Sums over branches that end in products of their own, as one product."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from scission.ir.io.load import load
from scission.ir.onnx_ir import onnx_ir as ir
from scission.models.networks.atoms import atoms
from scission.models.sketch import Sketch
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.passes.rewrite.rewrite import rewrite


def merged(model):
    """The model with its branches merged, or None where none pays."""
    plan = make_plan(load(model), PlanSettings(batch=[1, 4]))
    return ir.to_proto(rewrite(load(model).graph, plan)) if plan.preparations else None


def assert_same(model, changed, width):
    feeds = {"x": np.random.default_rng(1).standard_normal((3, width)).astype(np.float32)}
    oracles.assert_close(oracles.run(model, feeds), oracles.run(changed, feeds))


@settings(deadline=None, max_examples=8)
@given(members=st.integers(2, 5), kinds=st.integers(2, 5), last=st.integers(1, 3), seed=st.integers(0, 9))
def test_ensembles_compute_what_they_did(members, kinds, last, seed):
    model = atoms(np.random.default_rng(seed), members, kinds, (8, 8, last))
    changed = merged(model)
    assert changed is not None
    assert_same(model, changed, 8 * kinds)


@pytest.mark.parametrize(("members", "rounds"), [(4, False), (3, True)])
def test_the_last_products_are_one_where_a_mean_rounds_no_weight(members, rounds):
    changed = merged(atoms(np.random.default_rng(0), members, 4, (8, 8, 1)))
    assert ("ReduceMean" in oracles.operators(changed)) == rounds
    assert ("ReduceSum" in oracles.operators(changed)) == rounds


def test_what_is_read_of_single_branches_is_there_as_well():
    model = atoms(np.random.default_rng(0), 4, 4, (8, 8, 1))
    total = next(node for node in model.graph.node if node.op_type == "Add").output[0]
    model.graph.output.append(helper.make_tensor_value_info(total, 1, ["n", 1]))
    changed = merged(model)
    assert changed is not None
    assert_same(model, changed, 32)


def test_a_product_of_branches_is_no_sum():
    sketch = Sketch(np.random.default_rng(0))
    x = sketch.input("x", ["n", 8])
    value = None
    for lane in range(6):
        one = sketch.op("Relu", sketch.op("Gemm", x, sketch.normal((8, 8)), sketch.normal((8,)), name=f"a{lane}"))
        one = sketch.op("Gemm", one, sketch.normal((8, 1)), sketch.normal((1,)), name=f"b{lane}")
        value = one if value is None else sketch.op("Mul", value, one)
    sketch.output(value, name="y")
    model = sketch.model()
    changed = merged(model)
    assert changed is None or "ReduceProd" in oracles.operators(changed)
    if changed is not None:
        assert_same(model, changed, 8)
