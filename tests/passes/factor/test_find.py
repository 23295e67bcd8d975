"""Which weights of a model are worth writing as products, and which linears they may be of."""

from __future__ import annotations

import numpy as np
import pytest
from factored import cosine, fourier, hadamard, product_model

from scission.ir.graph.sizes import Setting
from scission.ir.io.load import load
from scission.passes.factor.find import find
from scission.passes.lowering.target import Target


def found(weight, rows=3000, target=None):
    return find(
        load(product_model(weight)).graph, target or Target(), lambda: (Setting(sizes={"n": rows}, batch=rows),)
    )


@pytest.mark.parametrize("weight", [fourier(400, window=np.hanning(400)), hadamard(512), cosine(512)])
def test_transforms_of_many_rows_pay(weight):
    (step,) = found(weight)
    assert step.gain > 1.2 and step.macs < weight.size and step.bound < 1
    assert step.reason.text.startswith("MatMul0: its weight is the product of ")


def test_small_products_do_not_pay():
    assert found(fourier(64)) == ()
    assert found(hadamard(32)) == ()


def test_what_is_mostly_zero_is_left_to_blocks():
    assert found(np.kron(np.eye(8), hadamard(64)).astype(np.float32)) == ()


def test_ordinary_weights_and_cuda_are_left():
    assert found(np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)) == ()
    assert found(hadamard(512), target=Target(provider="cuda")) == ()
