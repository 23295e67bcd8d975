"""What near and far outputs are predicted to take: less for fewer rows, more for what moves and for more blocks."""

from __future__ import annotations

from hierarchical import wavelet

from scission.ir.graph.linear import Layout, axes
from scission.passes.hierarchical.cost import near_far_seconds
from scission.passes.hierarchical.near_far import near_far
from scission.passes.lowering.prices import FLOAT_BYTES, prices_of
from scission.passes.lowering.seconds import dense_seconds

ROWS = Layout(kind="rows", rank=2)
PRICES = prices_of("cpu")


def test_they_take_less_than_the_dense_product_of_many_rows_and_more_of_few():
    found = near_far(wavelet(1024), 64)
    for layout in (ROWS, axes(2, 0, 0), axes(3, 1, 1)):
        times = [near_far_seconds(found, layout, rows, PRICES) for rows in (1, 10, 100, 3000)]
        assert times == sorted(times) and times[0] > 0
        assert times[-1] < dense_seconds((1024, 1024), 3000, FLOAT_BYTES, PRICES)
    assert near_far_seconds(near_far(wavelet(64), 8), ROWS, 1, PRICES) > dense_seconds((64, 64), 1, FLOAT_BYTES, PRICES)


def test_what_is_turned_takes_longer():
    found = near_far(wavelet(1024), 64)
    first, turned = axes(2, 0, 0), axes(3, 1, 1)
    assert turned.boundary_transposes > first.boundary_transposes
    times = [near_far_seconds(found, one, 1000, PRICES) for one in (first, turned)]
    assert times[0] < times[1]
