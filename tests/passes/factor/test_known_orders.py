"""Where factors are looked for: what is found of known structures, and that nothing is found of ordinary weights."""

from __future__ import annotations

import numpy as np
import pytest
from factored import cosine, fourier, hadamard, planted

from scission.passes.factor.known_orders import splits


@pytest.mark.parametrize(
    ("weight", "split"),
    [
        (fourier(400), (20, 20)),
        (fourier(512, places=400, window=np.hanning(402)[1:-1]), (16, 32)),
        (fourier(256, halves=False), (16, 32)),
        (cosine(256), (16, 32)),
        (hadamard(64), (8, 1)),
        (planted(np.random.default_rng(0), 6, 5, 7, 8), (5, 7)),
        (planted(np.random.default_rng(0), 6, 5, 7, 8, strided=False), (5, 1)),
    ],
)
def test_splits_of_known_structures_are_found(weight, split):
    found = [(one.stride, one.step) for one in splits(weight)]
    assert split in found and len(found) == len(set(found))


def test_of_ordinary_weights_nothing_is_found():
    rng = np.random.default_rng(0)
    for shape in [(64, 64), (384, 1536), (768, 768), (100, 640)]:
        assert splits(rng.standard_normal(shape).astype(np.float32)) == []
        assert splits(rng.integers(-8, 8, shape).astype(np.float32)) == []
    assert splits(np.zeros((64, 64), np.float32)) == []


def test_few_entries_of_an_ordinary_weight_are_read():
    class Counted(np.ndarray):
        read = 0

        def __getitem__(self, key):
            found = np.asarray(super().__getitem__(key))
            if isinstance(key, tuple) and any(isinstance(one, np.ndarray) for one in key):
                Counted.read += found.size
            return found if isinstance(key, tuple) else found.view(Counted)

    weight = np.random.default_rng(0).standard_normal((768, 3072)).astype(np.float32).view(Counted)
    assert splits(weight) == [] and 0 < Counted.read < weight.size / 50
