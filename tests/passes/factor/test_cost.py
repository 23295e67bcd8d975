"""What stages are predicted to take: less for fewer rows, more for what moves."""

from dataclasses import replace

import numpy as np
from factored import hadamard

from scission.ir.graph.linear import Layout, axes
from scission.passes.factor.cost import factors_seconds
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
