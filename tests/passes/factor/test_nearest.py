"""How near weights are to products of stages: what is planted is exact, what is not is told by all singular values."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from factored import butterfly, planted
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.factor import nearest
from scission.passes.factor.factorise import Recipe, follow
from scission.passes.factor.known_orders import RadixSplit
from scission.passes.factor.nearest import near_products


def slices_of(weight, one):
    """(places, groups, radix, outputs), one by one."""
    at = {"c": lambda c, e: c * one.outputs + e, "s": lambda c, e: e * one.groups + c}["s" if one.strided else "c"]
    whole = np.zeros((one.places, one.groups, one.radix, one.outputs))
    for i, j, c, e in itertools.product(*map(range, (one.radix, one.places, one.groups, one.outputs))):
        whole[j, c, i, e] = weight[i * one.places + j, at(c, e)]
    return whole


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1 << 20))
def test_the_error_is_that_of_the_nearest_product_of_the_rank(seed):
    """By the whole singular value decomposition of each slice, put together again."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal(rng.choice([12, 16, 20, 24], 2)).astype(np.float32)
    found = near_products(weight)
    for one in found.products:
        if one.how == "monarch":
            left, values, right = np.linalg.svd(slices_of(weight, one), full_matrices=False)
            values[..., one.rank :] = 0
            away = slices_of(weight, one) - (left * values[..., None, :]) @ right
            assert one.error == pytest.approx(np.linalg.norm(away) / np.linalg.norm(weight), abs=1e-5)
        else:
            blocks = weight.reshape(one.radix, one.places, one.groups, one.outputs).swapaxes(1, 2)
            values = np.linalg.svd(blocks.reshape(one.radix * one.groups, -1), compute_uv=False)
            least = np.sqrt((values[1:] ** 2).sum() / (values**2).sum())
            assert least - 1e-5 <= one.error <= 1
    for one in found.slices:
        ranks = [np.linalg.matrix_rank(each) for row in slices_of(weight, one) for each in row]
        assert (one.least, one.most, one.looked_at) == (min(ranks), max(ranks), len(ranks))


@pytest.mark.parametrize("strided", [False, True])
def test_a_planted_product_is_nearest_and_what_it_takes_is_what_its_factors_take(strided):
    weight = planted(np.random.default_rng(0), 7, 11, 5, 13, strided=strided)  # primes: there are few other ways
    found = near_products(weight)
    first, *_ = found.products
    assert (first.how, first.rank, first.strided) == ("monarch", 1, strided) and first.error < 1e-6
    assert found.slices[0].most == 1 and found.slices[0].full == 7
    factors = follow(weight, Recipe(splits=(RadixSplit(rank=1, stride=11, step=5 if strided else 1),)))
    assert first.macs == factors.macs


def test_more_rank_loses_less_and_stages_have_the_extents_of_the_weight():
    weight = np.random.default_rng(0).standard_normal((96, 160)).astype(np.float32)
    asked = []
    found = near_products(weight, lambda factors: asked.append(factors) or 2.0)
    errors = [one.error for one in found.products if one.how == "monarch"]
    assert errors == sorted(errors, reverse=True) and all(one.gain == 2.0 for one in found.products)
    for one, factors in zip(found.products, asked, strict=True):
        assert (factors.inputs, factors.order.size) == weight.shape and factors.macs == one.macs < weight.size
        assert sorted(factors.order) == list(range(160))
    assert found.to_dict()["exact"] is False and len(found.to_dict()["products"]) == len(found.products)


def test_of_large_weights_a_sample_of_slices_is_looked_at(monkeypatch):
    weight = butterfly(np.random.default_rng(0), (16, 16), (16, 16)).product().astype(np.float32)
    weight += np.float32(0.1) * np.random.default_rng(1).standard_normal(weight.shape).astype(np.float32)
    whole = near_products(weight)
    monkeypatch.setattr(nearest, "WORK", 1 << 20)
    some = near_products(weight)
    assert nearest.FEWEST <= some.slices[0].looked_at < whole.slices[0].looked_at
    assert some.products[0].error == pytest.approx(whole.products[0].error, rel=0.3)
    assert near_products(weight).to_dict() == some.to_dict()  # the same ones each time


@pytest.mark.parametrize("weight", [np.ones((7, 64)), np.ones((64, 13)), np.zeros((64, 64)), np.full((64, 64), np.nan)])
def test_of_what_has_no_such_products_nothing_is_told(weight):
    assert near_products(weight.astype(np.float32)) is None
