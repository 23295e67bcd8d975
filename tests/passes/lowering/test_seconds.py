import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from linears import linear_of

from scission.ir.plan.plan import Decomposition
from scission.models.matrix import weight
from scission.passes.lowering.linear.lowerings import LOWERINGS, lowering_of
from scission.passes.lowering.prices import prices_of
from scission.passes.lowering.seconds import dense_seconds

CPU = prices_of("cpu")
TURNED = ("first", "first in", "rows")  # none, one and both ends


def planted(sizes, dormant=(0, 0), contiguous=False, seed=0):
    return weight(np.random.default_rng(seed), sizes, dormant, contiguous=contiguous)[1]


def seconds(name, found, rows=256, prices=CPU, **options):
    return lowering_of(name).seconds(linear_of(found.shape, **options), found, rows, prices)


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([1, 16, 256]), st.sampled_from([2, 4, 8]))
def test_more_work_never_takes_less_time(K, N, rows, itemsize):
    least = dense_seconds((K, N), rows, itemsize, CPU)
    assert least > 0
    for more in (((K + 1, N), rows), ((K, N + 1), rows), ((K, N), rows + 1)):
        assert dense_seconds(*more, itemsize, CPU) >= least


def test_index_work_costs():
    scattered, following = planted([(8, 8)] * 4), planted([(8, 8)] * 4, contiguous=True)
    turned = [seconds("scatter", scattered, 16, layout=layout) for layout in TURNED]
    assert seconds("split", following, 16) < turned[0] < turned[1] < turned[2]
    single = [seconds("scatter", scattered, 1, layout=layout) for layout in ("first", "rows")]
    assert single[0] == single[1]  # a single row needs no transposing


def test_one_end_that_is_in_order_is_not_moved():
    scattered = planted([(8, 8)] * 4)
    inputs = np.split(np.arange(32), 4)
    one_end = Decomposition(
        (32, 32), tuple(b.__class__(i, b.outputs) for i, b in zip(inputs, scattered.blocks, strict=True))
    )
    for name in ("permute", "batched", "grouped"):
        assert seconds(name, one_end) < seconds(name, scattered)


def test_padding_costs():
    equal, unequal = planted([(8, 8)] * 4), planted([(8, 8)] * 3 + [(2, 2)], dormant=(6, 6))
    for name in ("batched", "grouped"):
        both = [
            seconds(name, found, prices=dataclasses.replace(CPU, half_tile=tile), dtype=np.float16)
            for found in (equal, unequal)
            for tile in (1, 16)
        ]
        assert both[0] < both[1] and both[0] <= both[2] < both[3]


def test_a_large_selection_is_faster_than_any_product():
    large = planted([(1, 1)] * 2048)
    others = [one.name for one in LOWERINGS if one.multiplies and one.name != "split"]
    assert seconds("select", large) < min(seconds(name, large) for name in others)


@pytest.mark.parametrize("lowering", LOWERINGS, ids=lambda one: one.name)
def test_more_rows_take_longer_in_every_lowering(lowering):
    found = planted([(8, 8)] * 4, contiguous=True)
    spent = [lowering.seconds(linear_of(found.shape), found, rows, CPU) for rows in (2, 64, 4096)]
    assert 0 < spent[0] < spent[1] < spent[2]
