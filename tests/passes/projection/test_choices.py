import itertools

import numpy as np
import pytest
from projectable import in_blocks, low_rank, two_layers
from sampled_products import moments, samples

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.passes.factor.nearest import MonarchSplit
from scission.passes.lowering.prices import MARGIN
from scission.passes.lowering.seconds import dense_seconds
from scission.passes.lowering.target import Target
from scission.passes.projection.choices import choices
from scission.passes.projection.forms import fitted

TARGET = Target(provider="cpu")
ROWS = 256


def chosen(weight, target=TARGET, rows=ROWS):
    weight = weight.astype(np.float32)
    linear = view(load(two_layers(weight, weight.T.copy())).graph).found.linears[0]
    rng = np.random.default_rng(5)
    found = moments(samples(rng, len(weight)), weight.astype(np.float64), damping=1e-4)
    return linear, found, choices(linear, found, rows, target)


@pytest.fixture(scope="module")
def ordinary():
    return chosen(np.random.default_rng(0).standard_normal((384, 384)) / 20)


def test_all_are_predicted_to_be_faster_and_none_is_better_in_both(ordinary):
    linear, found, made = ordinary
    prices = TARGET.prices[-1]
    dense = dense_seconds(linear.shape, ROWS, 4, prices)
    for one in made:
        seconds = one.form.seconds(linear, ROWS, prices)
        assert seconds * MARGIN < dense and one.saved == pytest.approx(dense - seconds)
    for one, other in itertools.pairwise(made):
        assert one.saved <= other.saved and one.loss < other.loss
    assert made[0].loss > 0 and made[-1].loss < found.energy


def test_what_is_told_to_be_lost_is_what_the_weight_loses(ordinary):
    _, found, made = ordinary
    for one in made[:: max(1, len(made) // 5)]:
        assert found.loss(fitted(one.form, found).product) <= one.loss * (1 + 1e-6)


@pytest.mark.parametrize("rank", [8, 24])
def test_a_planted_rank_is_where_nothing_is_lost(rank):
    rng = np.random.default_rng(0)
    _, found, made = chosen(low_rank(rng, 256, 384, rank))
    ranks = [one.form.rank for one in made if one.loss < 1e-6 * found.energy]
    assert min(ranks) == rank
    assert all(one.loss > 1e-3 * found.energy for one in made if one.form.rank < rank)


def test_planted_blocks_and_the_rank_beside_them():
    rng = np.random.default_rng(0)
    _, found, made = chosen(in_blocks(rng, 512, 512, 8) + low_rank(rng, 512, 512, 16) / 2)
    fastest = max((one for one in made if one.loss < 1e-2 * found.energy), key=lambda one: one.saved)
    assert fastest.form.name == "block_low_rank"
    assert (fastest.form.rank, len(fastest.form.blocks.blocks)) == (16, 8)


def test_a_planted_monarch_weight_is_found_where_it_is_faster():
    rng = np.random.default_rng(0)
    split = MonarchSplit(24, 24, 24, 24, True)
    first, last = rng.standard_normal((24, 24, 24, 1)), rng.standard_normal((24, 24, 1, 24))
    weight = np.zeros((576, 576))
    for place, group in itertools.product(range(24), range(24)):
        weight[np.ix_(split.inputs[place], split.outputs[group])] = first[place, group] @ last[place, group]
    _, found, made = chosen(weight / 24)
    exact = max((one for one in made if one.loss < 1e-6 * found.energy), key=lambda one: one.saved)
    assert exact.form.name == "monarch" and exact.form.rank == 1
    assert exact.form.split == split


def test_a_small_weight_has_no_faster_form():
    assert chosen(np.random.default_rng(0).standard_normal((48, 48)), rows=1)[2] == ()


def test_on_a_gpu_stages_have_no_price():
    _, _, made = chosen(np.random.default_rng(0).standard_normal((256, 256)), Target(provider="cuda"), rows=1 << 14)
    assert all(one.form.name != "monarch" for one in made)
