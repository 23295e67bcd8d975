"""Products whose inputs and outputs lie in no order: found, put in order, and nothing found of ordinary weights."""

from __future__ import annotations

import numpy as np
import pytest
from factored import butterfly, planted, random_hidden
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.factor.certificate import certify
from scission.passes.factor.factorise import factorise, follow
from scission.passes.factor.hidden_orders import hidden_order, may_be_hidden


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1 << 20))
def test_stages_are_found_in_any_order_and_follow_again(seed):
    weight, stages = random_hidden(np.random.default_rng(seed), 4, 4)
    path, factors = factorise(weight, lambda one: one.macs)
    assert certify(weight, factors).holds and path.hidden and len(factors.stages) == stages
    assert np.array_equal(follow(weight, path).product(), factors.product())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1 << 20))
def test_the_order_is_one_in_which_every_block_is_a_line(seed):
    """By the singular values of all blocks of inputs of one place and outputs of one group."""
    rng = np.random.default_rng(seed)
    radix, places, groups, outputs = rng.integers([3, 4, 3, 3], [6, 7, 6, 6])
    weight = planted(rng, radix, places, groups, outputs)
    weight = weight[rng.permutation(len(weight))][:, rng.permutation(weight.shape[1])]
    found = hidden_order(weight)
    assert sorted(found.rows) == list(range(len(weight))) and sorted(found.columns) == list(range(weight.shape[1]))
    assert [one.stride for one in found.splits] == [places]
    blocks = weight[found.rows][:, found.columns].reshape(radix, places, groups, outputs).transpose(1, 2, 0, 3)
    values = np.linalg.svd(blocks.astype(np.float64), compute_uv=False)
    assert (values[:, :, 1] < 1e-6 * abs(weight).max()).all()


def test_one_changed_entry_is_seen():
    weight, _ = random_hidden(np.random.default_rng(3), 4, 5)
    path, factors = factorise(weight, lambda one: one.macs)
    weight[7, 11] *= 1.001
    assert not certify(weight, factors).holds
    again = follow(weight, path)
    assert again is None or not certify(weight, again).holds


@pytest.mark.parametrize("values", ["normal", "bytes", "nibbles", "half", "signs", "line", "constant", "empty"])
def test_nothing_is_found_of_ordinary_weights(values):
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((96, 160))
    made = {
        "normal": normal,
        "bytes": np.round(30 * normal) / 8,
        "nibbles": rng.integers(1, 8, normal.shape),
        "half": normal.astype(np.float16),
        "signs": np.sign(normal),
        "line": normal[:, :1] @ normal[:1],
        "constant": np.ones_like(normal),
        "empty": np.zeros_like(normal),
    }
    weight = made[values].astype(np.float32)
    found = hidden_order(weight)
    assert found is None or factorise(weight, lambda one: one.macs) is None
    assert values != "normal" or not may_be_hidden(weight)


def test_groups_of_their_own_go_on_in_stages():
    factors = butterfly(np.random.default_rng(0), (4, 4, 4), (4, 5, 4))
    weight = factors.product().astype(np.float32)
    mixed = np.random.default_rng(1).permutation(64)
    for one, hidden in ((weight, False), (weight[mixed], True)):
        path, found = factorise(one, lambda one: one.macs)
        assert len(found.stages) == 3 and found.macs == factors.macs and path.hidden == hidden
