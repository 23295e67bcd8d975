"""Which weights of a model are worth writing as near and far outputs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from factored import fourier, product_model
from hierarchical import DAUBECHIES, planted, wavelet

import scission
from scission.ir.graph.sizes import Setting
from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.plan.factored_weight import HierarchicalWeight
from scission.passes.hierarchical.find import find, variants
from scission.passes.lowering.target import Target


def found(model, rows=3000, target=None, blocks=1.0):
    sized = (Setting(sizes={"n": rows}, batch=rows),)
    return find(load(model).graph, target or Target(), lambda: sized, lambda linear, rows: blocks)


@pytest.mark.parametrize("weight", [wavelet(1024), wavelet(512, DAUBECHIES)])
def test_wavelets_of_many_rows_pay(weight):
    (step,) = found(product_model(weight))
    assert isinstance(step, HierarchicalWeight) and step.nodes == ("MatMul0",)
    assert step.gain > 1.2 and step.macs < weight.size / 4 and step.bound <= 1
    assert step.reason.text.startswith("MatMul0: ") and f"blocks of {step.block} inputs" in step.reason.text


def test_they_have_to_gain_more_than_what_else_is_made_of_their_zeros():
    (step,) = found(product_model(wavelet(1024)))
    assert found(product_model(wavelet(1024)), blocks=step.gain) == ()
    assert found(product_model(wavelet(1024)), blocks=step.gain / 1.2) == (step,)


def test_what_is_too_small_dense_blocks_alone_and_cuda_are_left():
    rng = np.random.default_rng(0)
    assert found(product_model(wavelet(32))) == () and found(product_model(wavelet(64))) == ()
    blocks = np.kron(np.eye(16), rng.standard_normal((32, 32))).astype(np.float32)
    pruned = np.where(rng.random((512, 512)) < 0.02, rng.standard_normal((512, 512)), 0).astype(np.float32)
    for weight in (fourier(256), rng.standard_normal((256, 256)).astype(np.float32), blocks, pruned):
        assert found(product_model(weight)) == ()
    assert found(product_model(wavelet(1024)), target=Target(provider="cuda")) == ()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_left(value):
    weight = wavelet(1024)
    weight[3, 1000] = value
    assert found(product_model(weight)) == ()


def test_a_weight_that_cannot_be_read_is_left(tmp_path):
    path, sized = tmp_path / "m.onnx", (Setting(sizes={"n": 3000}, batch=3000),)
    onnx.save(product_model(wavelet(1024)), path, save_as_external_data=True, location="w", size_threshold=0)
    seen, other = load(path).graph, load(path).graph
    assert len(find(seen, Target(), lambda: sized, lambda linear, rows: 1.0)) == 1
    (tmp_path / "w").unlink()
    assert find(other, Target(), lambda: sized, lambda linear, rows: 1.0) == ()


def test_plans_have_them_unless_asked_otherwise():
    rng = np.random.default_rng(0)
    weight = planted(rng, 16, 32, 6, 26, 96, shared=True)
    model = product_model(weight)
    (step,) = scission.plan(model, batch=[2000]).preparations
    assert step.kind == "hierarchical" and step.block == 32
    assert scission.plan(model, batch=[2000], factors=False).preparations == ()
    assert scission.plan(model, batch=[2000], lowering="MatMul0=dense").preparations == ()


def test_variants_are_blocks_of_other_sizes():
    model = product_model(wavelet(512, DAUBECHIES))
    (step,) = found(model, 256)
    seen = view(load(model).graph)
    (linear,) = seen.found.linears
    others = variants(linear, step, seen.found.constants, (256,), Target())
    sizes = [one.block for one in others]
    assert len(set(sizes)) == len(sizes) > 1 and step.block not in sizes
    gains = [one.gain for one in others]
    assert gains == sorted(gains, reverse=True) and step.gain >= gains[0]
