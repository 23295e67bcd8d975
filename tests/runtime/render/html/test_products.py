"""What a page shows of weights that are written as products."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from factored import fourier, hadamard, product_model
from hierarchical import DAUBECHIES, wavelet
from hypothesis import given
from hypothesis import strategies as st
from random_convolutions import Grown

import scission
from scission.ir.errors import ScissionError
from scission.ir.io.load import load
from scission.passes.planning.make_plan import make_plan
from scission.passes.planning.settings import PlanSettings
from scission.runtime.render.html.products import SIDE, FactorShape, WrittenWeights, products, written_weights


def rows_of(model, rows=2000):
    plan = make_plan(load(model), PlanSettings(batch=[rows]))
    return plan, products(load(model), plan)


@pytest.mark.parametrize(
    ("weight", "kind"),
    [
        (hadamard(512), "factors"),
        (fourier(400, window=np.hanning(400)), "factors"),
        (wavelet(1024), "hierarchical"),
        (wavelet(512, DAUBECHIES), "hierarchical"),
    ],
)
def test_factors_take_the_multiply_adds_of_the_plan(weight, kind):
    plan, (row,) = rows_of(product_model(weight))
    (step,) = plan.preparations
    assert (row.node, row.kind, row.gain, row.bound) == (step.nodes[0], kind, step.gain, step.bound)
    assert (row.inputs, row.outputs) == weight.shape and row.share == step.macs / weight.size
    assert sum(one.count * one.rows * one.columns for one in row.factors) == row.macs == step.macs
    assert row.factors[0].count * row.factors[0].rows == len(weight)


@given(st.integers(1, 5000), st.integers(1, 300), st.integers(1, 300))
def test_boxes_fill_a_drawing_along_its_diagonal(count, rows, columns):
    one = FactorShape(count=count, rows=rows, columns=columns)
    boxes = one.boxes()
    assert max(one.size) == pytest.approx(SIDE) and len(boxes) == min(count, 64)
    assert boxes[0][:2] == (0, 0)
    for axis in (0, 1):
        ends = [box[axis] + box[axis + 2] for box in boxes]
        assert ends[-1] == pytest.approx(one.size[axis])
        assert np.allclose([box[axis] for box in boxes[1:]], ends[:-1])


def test_ordinary_models_have_none_and_other_models_are_refused():
    model = product_model(np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))
    assert rows_of(model)[1] == ()
    plan, _ = rows_of(product_model(hadamard(512)))
    with pytest.raises(ScissionError, match="another weight"):
        products(load(product_model(-hadamard(512))), plan)
    elsewhere = replace(plan, preparations=(replace(plan.preparations[0], nodes=("nowhere",)),))
    with pytest.raises(ScissionError, match="nowhere"):
        products(load(product_model(hadamard(512))), elsewhere)


def test_both_kinds_of_one_model_are_drawn_on_its_page():
    made = Grown(0)
    made.inputs["x"], made.feeds["x"] = ["n", 512], np.zeros(1, np.float32)
    first = made.op("Tanh", made.op("MatMul", "x", made.constant(hadamard(512))))
    model = made.model(made.op("MatMul", first, made.constant(wavelet(512, DAUBECHIES))))
    plan, rows = rows_of(model)
    assert sorted(row.kind for row in rows) == ["factors", "hierarchical"]
    report = scission.report(model, plan=plan)
    assert report.products == rows
    html, told = report.html(), report.to_dict()["products"]
    drawn = re.search(r'id="products".*?</section>', html, re.S)[0]
    assert drawn.count("<figure>") == sum(len(row.factors) for row in rows) == sum(len(one["factors"]) for one in told)
    macs, dense = sum(row.macs for row in rows), sum(row.inputs * row.outputs for row in rows)
    assert report.mac_share == macs / dense < 0.2 and report.byte_share < report.mac_share
    assert f"which leaves {macs / dense:.1%} of the multiply-adds" in report.sentence
    assert "near: " in drawn and "joint: " in drawn and 'href="#products"' in html
    assert 'id="products"' not in scission.report(product_model(np.eye(8, dtype=np.float32) + 1)).html()


def test_what_is_left_counts_products_and_what_stays_beside_them():
    """Two weights of one size: one is a product, the other stays whole."""
    made = Grown(0)
    made.inputs["x"], made.feeds["x"] = ["n", 512], np.zeros(1, np.float32)
    first = made.op("Tanh", made.op("MatMul", "x", made.constant(hadamard(512))))
    model = made.model(made.op("MatMul", first, made.constant(made.normal(512, 512))))
    plan, (row,) = rows_of(model)
    written = written_weights(load(model), plan)
    assert (written.dense, written.macs) == (512 * 512, row.macs) and 0 < written.entries < 5000
    assert written.operators and all(one.startswith("MatMul0") for one in written.operators)
    report = scission.report(model, plan=plan)
    assert report.mac_share == pytest.approx((row.macs + 512**2) / (2 * 512**2))
    assert report.byte_share == pytest.approx((written.entries + 512**2) / (2 * 512**2))
    assert written_weights(load(model), replace(plan, preparations=())) == WrittenWeights()
