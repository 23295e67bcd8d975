"""Stages: what they compute, against sums over all paths."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.factor.stages import Factors, Stage


@st.composite
def random_factors(draw):
    """Two or three stages of small random matrices, some of which are one for all groups or places."""
    rng = np.random.default_rng(draw(st.integers(0, 1 << 20)))
    radices = draw(st.lists(st.integers(2, 3), min_size=2, max_size=3))
    stages, groups, ranks, places = [], 1, 1, int(np.prod(radices))
    for index, radix in enumerate(radices):
        places //= radix
        after = 1 if index == len(radices) - 1 else draw(st.integers(1, 2))
        made = after * draw(st.integers(1, 2))
        own = draw(st.sampled_from([1, groups])), draw(st.sampled_from([1, places]))
        stages.append(Stage(weight=rng.standard_normal((*own, ranks * radix, made)), radix=radix, ranks=after))
        groups, ranks = groups * made // after, after
    scale = rng.standard_normal(int(np.prod(radices))) if draw(st.booleans()) else None
    return Factors(stages=tuple(stages), order=rng.permutation(groups), scale=scale)


def entry(factors, k, n, absolute=False):
    """One entry of the product: the sum over all groups and ranks that a path from an input to an output can take."""
    radices = [stage.radix for stage in factors.stages]
    digits = np.unravel_index(k, radices)
    total = 0.0
    choices = [range(stage.weight.shape[3]) for stage in factors.stages]
    for path in itertools.product(*choices):
        group, rank, value, left = 0, 0, 1.0 if factors.scale is None else factors.scale[k], int(np.prod(radices))
        at = list(digits)
        for stage, made, digit in zip(factors.stages, path, digits, strict=True):
            left //= stage.radix
            at = at[1:]
            place = int(np.ravel_multi_index(at, radices[len(radices) - len(at) :])) if at else 0
            own = stage.weight[min(group, stage.weight.shape[0] - 1), min(place, stage.weight.shape[1] - 1)]
            value *= own[rank * stage.radix + digit, made]
            width = stage.weight.shape[3] // stage.ranks
            group, rank = group * width + made // stage.ranks, made % stage.ranks
        if group == factors.order[n]:
            total += abs(value) if absolute else value
    return total


@settings(max_examples=5, deadline=None)
@given(random_factors())
def test_a_product_is_the_sum_over_all_paths(factors):
    K, N = factors.inputs, factors.order.size
    slow = np.array([[entry(factors, k, n) for n in range(N)] for k in range(K)])
    np.testing.assert_allclose(factors.product(), slow, atol=1e-12)
    paths = np.array([[entry(factors, k, n, absolute=True) for n in range(N)] for k in range(K)])
    np.testing.assert_allclose(factors.magnitude(), paths.sum(axis=0), atol=1e-12)


def test_multiply_adds_are_those_of_all_matrices():
    first = Stage(weight=np.ones((1, 1, 4, 3)), radix=4, ranks=1)
    last = Stage(weight=np.ones((3, 1, 5, 7)), radix=5, ranks=1)
    factors = Factors(stages=(first, last), order=np.arange(21), scale=np.ones(20))
    assert factors.macs == 5 * 4 * 3 + 3 * 5 * 7 and factors.depth == 4 + 5 + 1
