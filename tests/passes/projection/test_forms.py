import numpy as np
import pytest
from projectable import two_layers
from sampled_products import moments, samples

from scission.ir.graph.view import view
from scission.ir.io.load import load
from scission.ir.plan.decomposition import Block, Decomposition
from scission.passes.factor.nearest import MonarchSplit
from scission.passes.lowering.linear.lowerings import lowering_of
from scission.passes.lowering.prices import prices_of
from scission.passes.lowering.seconds import dense_seconds
from scission.passes.projection.forms import BlockLowRankForm, LowRankForm, MonarchForm, fitted

HALVES = Decomposition((64, 96), (Block(range(32), range(48)), Block(range(32, 64), range(48, 96))))
FORMS = [
    LowRankForm(rank=4),
    BlockLowRankForm(blocks=HALVES, rank=4, lowering=lowering_of("split")),
    BlockLowRankForm(blocks=HALVES, rank=0, lowering=lowering_of("split")),
    MonarchForm(split=MonarchSplit(8, 8, 8, 12, False), rank=2),
]
MACS = [4 * (64 + 96), 64 * 96 // 2 + 4 * (64 + 96), 64 * 96 // 2, 2 * 8 * (64 + 96)]


@pytest.mark.parametrize(("form", "macs"), list(zip(FORMS, MACS, strict=True)))
def test_multiply_adds_are_those_of_what_is_stored(form, macs):
    rng = np.random.default_rng(0)
    up, down = rng.standard_normal((64, 96)).astype(np.float32), np.ones((96, 64), np.float32)
    linear = view(load(two_layers(up, down)).graph).found.linears[0]
    assert form.macs(linear) == macs
    for rows in (1, 64):
        assert form.seconds(linear, rows, prices_of("cpu")) > 0
    found = moments(samples(rng, 64), up.astype(np.float64))
    made = fitted(form, found)
    assert made.product.shape == (64, 96) and found.loss(made.product) < found.energy
    assert found.loss(fitted(form, found, sweeps=1).product) >= found.loss(made.product) - 1e-9


def test_a_product_takes_what_its_factors_take_and_blocks_beside_it_what_both_do():
    linear = view(load(two_layers(np.ones((64, 96), np.float32), np.ones((96, 64), np.float32))).graph).found.linears[0]
    prices = prices_of("cpu")
    thin, beside, alone, _ = (form.seconds(linear, 32, prices) for form in FORMS)
    assert thin == dense_seconds((64, 4), 32, 4, prices) + dense_seconds((4, 96), 32, 4, prices)
    assert beside > thin + alone
