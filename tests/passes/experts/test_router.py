import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sparse_networks import EXPERTS, planted, samples

from scission.passes.experts.expert_split import largest
from scission.passes.experts.router import analytic_router, captured, contributions, fitted_router


def planted_groups(owner):
    return np.array([np.flatnonzero(owner == expert) for expert in range(EXPERTS)])


@given(st.integers(0, 100))
def test_contributions_are_norms_of_what_experts_add(seed):
    rng = np.random.default_rng(seed)
    hidden, down, groups = rng.random((3, 6)), rng.standard_normal((6, 2)), rng.permutation(6).reshape(2, 3)
    found = contributions(hidden, down, groups)
    for row in range(3):
        for expert in range(2):
            added = sum(hidden[row, unit] * down[unit] for unit in groups[expert])
            assert found[row, expert] == pytest.approx(np.sqrt((added**2).sum()))


@given(st.integers(0, 100))
def test_a_fitted_router_is_that_of_least_squares(seed):
    rng = np.random.default_rng(seed)
    x, wanted = rng.standard_normal((40, 4)), rng.random((40, 3))
    weight, offset = fitted_router(x, wanted, ridge=0)
    slow = np.linalg.lstsq(np.c_[x, np.ones(40)], wanted, rcond=None)[0]
    np.testing.assert_allclose(np.r_[weight, offset[None]], slow, atol=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_both_routers_find_the_experts_that_are_planted(seed):
    up, bias, down, owner = planted(seed)
    x = samples(400, seed)
    hidden = np.maximum(x @ up + bias, 0)
    groups = planted_groups(owner)
    contribution = contributions(hidden, down, groups)
    for weight, offset in (fitted_router(x, contribution), analytic_router(hidden, up, bias, groups)):
        assert captured(contribution, largest(x @ weight + offset, 1)) > 0.99


def test_what_is_captured_is_a_share_of_squares():
    assert captured(np.array([[3.0, 4.0]]), np.array([[True, False]])) == 9 / 25
    assert captured(np.zeros((1, 2)), np.array([[True, False]])) == 1.0
