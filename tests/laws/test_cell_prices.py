"""Prices of recurrent operators follow from seconds: those that were made with known prices give these back."""

import itertools
import json
from dataclasses import replace

import pytest
from bench import cell_prices

from scission.passes.lowering.prices import Prices, prices_of

START = prices_of("cpu").cells
SIZES = [(8, 8, 2, True), (64, 64, 4, False), (256, 256, 4, False)]
RUNS = [(1, 1), (64, 1), (16, 16)]


def records(prices):
    """What would be measured where these are the prices."""
    names = ("op", "features", "hidden", "blocks", "contiguous", "positions", "batch")
    cases = itertools.product(("RNN", "LSTM"), SIZES, RUNS)
    made = [dict(zip(names, (op, *size, *run), strict=True)) for op, size, run in cases]
    spent = cell_prices.predicted(made, prices)
    return [one | {"whole": whole, "split": split} for one, (whole, split) in zip(made, spent, strict=True)]


def test_prices_that_seconds_were_made_with_are_found():
    """From prices that are off by factors of two, either way."""
    seen = records(START)
    factors = dict(zip(cell_prices.FITTED, (2.0, 0.5, 2.0, 0.5, 2.0, 0.5), strict=True))
    other = replace(START, **{name: getattr(START, name) * factor for name, factor in factors.items()})
    assert min(cell_prices.off_by(seen, other)) > 1.1
    found = cell_prices.fit(seen, other, [START.cache_bytes])
    assert max(cell_prices.off_by(seen, found)) < 1.02
    assert found.GRU == START.GRU, "no record is of it"


def test_what_is_written_is_read_again():
    rounded = cell_prices.rounded(START)
    assert rounded == START, "the file has three digits"
    whole = Prices.from_dict(json.loads(prices_of("cpu").dumps()))
    assert whole == prices_of("cpu") and whole.cells == rounded


@pytest.mark.parametrize("op", ["RNN", "GRU", "LSTM"])
def test_blocks_are_those_that_are_measured(op):
    found = cell_prices.blocks_of(op, 64, 32, 4, False)
    assert found.shape == (96, 32) and [block.outputs.size for block in found.blocks] == [8] * 4
