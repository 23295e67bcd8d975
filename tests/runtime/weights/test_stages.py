"""Which matrices are products, whoever asks: what is found is the matrix, and of others nothing is."""

from __future__ import annotations

import numpy as np
import pytest
from factored import fourier, hadamard

from scission.runtime.weights.stages import as_product


@pytest.mark.parametrize("weight", [hadamard(64), fourier(64), hadamard(64).astype(np.float64)])
def test_transforms_are_products_of_fewer_multiply_adds(weight):
    found = as_product(weight)
    assert found.macs < weight.size and found.picked.size == weight.shape[1]
    assert found.diagonals[0].taken.size == weight.shape[0]


@pytest.mark.parametrize(
    "weight",
    [
        np.random.default_rng(0).standard_normal((64, 64)),
        np.full((64, 64), np.nan),
        np.kron(np.eye(8), hadamard(16)),
        hadamard(64).astype(np.int64),
        hadamard(64)[None],
        np.zeros((0, 4)),
    ],
)
def test_of_others_nothing_is_found(weight):
    assert as_product(weight) is None
