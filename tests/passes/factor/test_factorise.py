"""Weights taken apart: known transforms, planted products, and ordinary weights, of which nothing is found."""

from __future__ import annotations

import numpy as np
import pytest
from factored import cosine, fourier, hadamard, kronecker, planted
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.factor.certificate import certify
from scission.passes.factor.factorise import Recipe, factorise, follow
from scission.passes.factor.known_orders import RadixSplit

RNG = np.random.default_rng(0)


def apart(weight):
    """By multiply-adds, twice as many where places have matrices of their own, since more has to be moved then."""
    return factorise(weight, lambda factors: factors.macs * (1 + (factors.stages[0].weight.shape[1] > 1)))


@pytest.mark.parametrize(
    ("weight", "less", "stages", "scaled"),
    [
        (fourier(400), 5, 2, False),
        (fourier(400, window=np.hanning(401)[:400]), 5, 2, True),
        (fourier(512, places=400, window=np.hanning(402)[1:-1]), 6, 2, True),
        (fourier(256, halves=False), 5, 2, False),
        (fourier(128, bins=128), 5, 3, False),
        (fourier(256, bins=40), 3, 3, False),
        (cosine(256), 5, 3, False),
        (hadamard(256), 10, 3, False),
        (kronecker(*(RNG.standard_normal((8, 8)) for _ in "abc")), 20, 3, False),
        (kronecker(RNG.standard_normal((5, 3)), RNG.standard_normal((8, 6)), RNG.standard_normal((6, 9))), 9, 3, False),
    ],
)
def test_known_structures_are_taken_apart(weight, less, stages, scaled):
    path, factors = apart(weight)
    found = certify(weight, factors)
    assert found.holds and weight.size / factors.macs > less
    assert (len(factors.stages), path.scaled) == (stages, scaled)
    np.testing.assert_allclose(factors.product(), weight, atol=4e-7 * abs(weight).max())


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20), st.booleans())
def test_planted_products_are_found_with_all_their_groups(seed, strided):
    rng = np.random.default_rng(seed)
    radix, places, groups, outputs = (int(size) for size in rng.integers([4, 4, 2, 4], [9, 9, 5, 9]))
    weight = planted(rng, radix, places, groups, outputs, strided=strided)
    found = apart(weight)
    assert found is not None and certify(weight, found[1]).holds
    assert found[1].macs <= places * radix * groups + groups * places * outputs


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1 << 20))
def test_what_follows_from_a_path_is_what_was_found(seed):
    rng = np.random.default_rng(seed)
    weight = kronecker(*(rng.standard_normal(rng.integers(3, 6, 2)) for _ in "abc"))
    found = apart(weight)
    if found is not None:
        path, factors = found
        again = follow(weight, path)
        assert np.array_equal(again.product(), factors.product()) and np.array_equal(again.order, factors.order)


def test_a_path_of_another_weight_leads_nowhere_or_to_no_certificate():
    path, _ = apart(fourier(64))
    other = RNG.standard_normal((64, 66)).astype(np.float32)
    assert follow(other, path) is None
    assert follow(other, Recipe(splits=(RadixSplit(stride=7, step=1),))) is None
    assert follow(other, Recipe(splits=())) is None


def test_a_single_changed_entry_is_seen():
    weight = hadamard(64)
    path, factors = apart(weight)
    weight[3, 5] *= 1.001
    assert not certify(weight, factors).holds
    again = follow(weight, path)
    assert again is None or not certify(weight, again).holds


def test_ordinary_weights_are_left():
    for shape in [(64, 64), (128, 96)]:
        assert apart(RNG.standard_normal(shape).astype(np.float32)) is None
    assert apart(np.zeros((64, 64), np.float32)) is None
    assert apart(np.full((64, 64), np.nan, np.float32)) is None
    assert apart(RNG.standard_normal((8, 64)).astype(np.float32)) is None
