import numpy as np
import pytest
from sparse_networks import ALWAYS, EXPERTS, D, planted, samples

from scission.ir.reason import Cause
from scission.passes.experts.choose import (
    ExpertSettings,
    NetworkSamples,
    choose_experts,
    fitted_down,
    why_not_sparse,
)


def of(seed, rows=500):
    up, bias, down, owner = planted(seed)
    x = samples(rows, seed)
    made = NetworkSamples(
        names=("u", "v"), sha256=("", ""), up=up, bias=bias, down=down, x=x, hidden=np.maximum(x @ up + bias, 0)
    )
    return made, owner


SETTINGS = ExpertSettings(count=EXPERTS, active=1, shared=ALWAYS / 27)


@pytest.mark.parametrize("seed", range(5))
def test_planted_experts_and_units_that_are_always_active_are_found(seed):
    made, owner = of(seed)
    found = choose_experts(made, SETTINGS, np.random.default_rng(0))
    assert set(found.shared.tolist()) == set(np.flatnonzero(owner < 0).tolist())
    assert sorted(owner[group].tolist() for group in found.groups) == [[e] * 4 for e in range(EXPERTS)]
    other = samples(200, seed + 100)
    hidden = np.maximum(other @ made.up + made.bias, 0)
    lost = np.linalg.norm(np.where(found.running(other), 0, hidden) @ made.down)
    assert lost < 0.02 * np.linalg.norm(hidden @ made.down)


def test_with_every_expert_running_nothing_is_to_be_fitted():
    made, _ = of(0)
    found = choose_experts(made, ExpertSettings(count=6, active=6), np.random.default_rng(0))
    target = made.hidden @ made.down
    assert found.running(made.x).all()
    np.testing.assert_allclose(fitted_down(found, made.x, made.hidden, made.down, target), made.down, atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_the_fitted_weight_is_that_of_least_squares_and_never_worse(seed):
    rng = np.random.default_rng(seed)
    up, bias = rng.standard_normal((D, 8)).astype(np.float32), rng.standard_normal(8).astype(np.float32)
    down, x = rng.standard_normal((8, 3)).astype(np.float32), rng.standard_normal((200, D)).astype(np.float32)
    hidden = np.maximum(x @ up + bias, 0)
    made = NetworkSamples(names=("u", "v"), sha256=("", ""), up=up, bias=bias, down=down, x=x, hidden=hidden)
    found = choose_experts(made, ExpertSettings(count=4, active=2, shared=0.0), rng)
    target = hidden @ down
    running = np.where(found.running(x), hidden, 0)
    fitted = fitted_down(found, x, hidden, down, target, ridge=1e-9)
    slow = np.linalg.lstsq(running.astype(np.float64), target, rcond=None)[0]
    np.testing.assert_allclose(fitted, slow, atol=1e-3)
    assert np.linalg.norm(target - running @ fitted) <= np.linalg.norm(target - running @ down)


def test_hidden_units_that_are_seldom_zero_are_no_experts():
    found = why_not_sparse(np.random.default_rng(0).standard_normal((10, 10)))
    assert found is not None and found.cause is Cause.NOT_SPARSE
    assert why_not_sparse(of(0)[0].hidden[:, :0]) is None
