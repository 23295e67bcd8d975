"""What stages are predicted to take: less for fewer rows, more for what moves."""

import math
from dataclasses import replace

import numpy as np
from factored import fourier, hadamard

from scission.ir.graph.linear import Layout, axes
from scission.passes.factor.cost import factors_seconds, rows_first_seconds
from scission.passes.factor.factorise import factorise
from scission.passes.lowering.prices import prices_of

ROWS = Layout(kind="rows", rank=2)


def test_what_moves_and_what_is_scaled_takes_longer():
    _, factors = factorise(hadamard(256), lambda one: one.macs)
    prices = prices_of("cpu")
    plain = factors_seconds(factors, ROWS, 1000, prices)
    assert 0 < factors_seconds(factors, ROWS, 100, prices) < plain
    assert factors_seconds(factors, axes(2, 0, 0), 1000, prices) < plain  # features are first already
    assert factors_seconds(replace(factors, scale=np.ones(256)), ROWS, 1000, prices) > plain
    first = factors.stages[0]
    own = np.repeat(first.weight, 256 // first.radix, axis=1)
    apart = replace(factors, stages=(replace(first, weight=own), *factors.stages[1:]))
    assert factors_seconds(apart, ROWS, 1000, prices) > plain and apart.macs == factors.macs


def test_rows_first_takes_less_where_one_matrix_is_for_all():
    prices = prices_of("cpu")
    _, factors = factorise(hadamard(512), lambda one: rows_first_seconds(one, len(one.stages), 1000, prices))
    all_stages = len(factors.stages)
    times = [rows_first_seconds(factors, all_stages, rows, prices) for rows in (1, 100, 1000)]
    assert times == sorted(times) and times[-1] < factors_seconds(factors, ROWS, 1000, prices)
    reverse = replace(factors, order=factors.order[::-1])
    assert rows_first_seconds(reverse, all_stages, 1000, prices) > times[-1]
    _, transform = factorise(fourier(64), lambda one: one.macs)
    assert rows_first_seconds(transform, len(transform.stages), 100, prices) == math.inf


def test_rows_may_come_first_in_the_stages_before_those_of_groups():
    prices = prices_of("cpu")
    _, factors = factorise(fourier(64), lambda one: one.macs)
    times = [rows_first_seconds(factors, 1, rows, prices) for rows in (1, 100, 1000)]
    assert times == sorted(times) and times[-1] < math.inf
    picked = replace(factors, taken=np.arange(64))
    assert rows_first_seconds(picked, 1, 1000, prices) > times[-1]


def test_rows_that_lie_pages_apart_take_longer_to_turn():
    prices = prices_of("cpu")
    _, factors = factorise(hadamard(1024), lambda one: one.macs if len(one.stages) == 2 else math.inf)
    features_first = axes(2, 0, 0)
    turned = factors_seconds(factors, ROWS, 3000, prices) - factors_seconds(factors, features_first, 3000, prices)
    _, half = factorise(hadamard(512), lambda one: one.macs if len(one.stages) == 2 else math.inf)
    others = factors_seconds(half, ROWS, 3000, prices) - factors_seconds(half, features_first, 3000, prices)
    assert turned > 2.5 * others
