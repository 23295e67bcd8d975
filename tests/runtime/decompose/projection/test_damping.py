import numpy as np
import pytest

from scission.passes.projection.moments import moments_of
from scission.runtime.decompose.projection.damping import DAMPINGS, chosen_damping
from scission.runtime.decompose.removal.sampled import Sampled


def drawn(feeds, rows, noise, change, seed=0):
    """What samples show of a weight, whose results are those of another one and noise."""
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((16, 8))
    wanted = weight + change * rng.standard_normal(weight.shape)
    x = [rng.standard_normal((rows, 16)) for _ in range(feeds)]
    results = [one @ wanted + noise * rng.standard_normal((rows, 8)) for one in x]
    return Sampled([np.concatenate([one, np.ones((rows, 1))], axis=1) for one in x], [0.0] * feeds), results, weight


@pytest.mark.parametrize("feeds", [3, 10])
def test_many_samples_of_another_weight_take_little_and_noise_takes_much(feeds):
    clear = chosen_damping(*drawn(feeds, 400, noise=0.01, change=1.0))
    unclear = chosen_damping(*drawn(feeds, 12, noise=1.0, change=0.01))
    assert clear == DAMPINGS[0] and unclear == DAMPINGS[-1]


def test_what_is_chosen_is_nearest_on_samples_that_nothing_saw():
    """On average: those that are held back are few."""
    away = dict.fromkeys((*DAMPINGS, None), 0.0)
    for seed in range(12):
        shown, results, weight = drawn(10, 6, noise=1.0, change=0.3, seed=seed)
        chosen = chosen_damping(shown, results, weight)
        rng = np.random.default_rng(seed)
        rng.standard_normal(weight.shape)
        truth = weight + 0.3 * rng.standard_normal(weight.shape)
        for damping in away:
            made = moments_of(shown.gram, weight, shown.target(results), chosen if damping is None else damping)
            away[damping] += np.square(made.best - truth).sum()
    ours = away.pop(None)
    assert ours < 1.15 * min(away.values()) and ours < 0.9 * away[DAMPINGS[0]]


def test_what_is_added_further_on_is_taken_away():
    shown, results, weight = drawn(10, 50, noise=0.5, change=0.5)
    beside = [np.full((50, 8), 3.0) for _ in results]
    moved = chosen_damping(Sampled(shown.rows, beside), [one + 3.0 for one in results], weight)
    assert moved == chosen_damping(shown, results, weight)
