import dataclasses
import json
import math

import pytest

from scission.passes.lowering.prices import CellPrices, OperatorPrices, Prices, prices_of
from scission.passes.lowering.target import Target


def numbers(prices):
    for field in dataclasses.fields(prices):
        value = getattr(prices, field.name)
        if isinstance(value, CellPrices | OperatorPrices):
            yield from numbers(value)
        elif not isinstance(value, str):
            yield field.name, value


@pytest.mark.parametrize("target", [Target(), Target(threads=4), Target(provider="cuda")])
def test_prices_are_finite_and_no_less_than_nothing(target):
    for prices in target.prices:
        assert all(0 <= value < math.inf for _, value in numbers(prices))
        assert prices.machine


@pytest.mark.parametrize("provider", ["cpu", "cuda"])
def test_the_file_of_a_machine_is_what_would_be_written(provider):
    prices = prices_of(provider)
    assert Prices.from_dict(json.loads(prices.dumps())) == prices
    with pytest.raises(TypeError):
        Prices.from_dict(json.loads(prices.dumps()) | {"unknown_s": 1.0})


def test_threads_speed_up_products_but_not_index_work():
    one = prices_of("cpu")
    several = one.threaded(4)
    assert (several.mac_s, several.dram_byte_s) == (one.mac_s / 4, one.dram_byte_s / 2)
    assert dataclasses.replace(several, mac_s=one.mac_s, dram_byte_s=one.dram_byte_s, cells=one.cells) == one
    assert (several.cells.mac_s, several.cells.dram_byte_s) == (one.cells.mac_s / 4, one.cells.dram_byte_s / 2)
    assert several.cells.gather_s == one.cells.gather_s
    assert one.threaded(1) == one


def test_several_threads_are_predicted_for_beside_one():
    assert [len(target.prices) for target in (Target(), Target(threads=4), Target(provider="cuda", threads=4))] == [
        1,
        2,
        1,
    ]
    assert Target(threads=4).prices == (prices_of("cpu"), prices_of("cpu").threaded(4))


def test_without_a_cuda_graph_every_launch_costs_more():
    (recorded,), (plain,) = (Target(provider="cuda", cuda_graph=one).prices for one in (True, False))
    assert plain.node_s > 3 * recorded.node_s and plain.gemm_launch_s > 3 * recorded.gemm_launch_s
    assert plain.plain() == plain and plain.stack_launch_s == plain.gemm_launch_s
    assert Target(cuda_graph=False).prices == Target().prices
