import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.pruning.shrinkage import SHRINKAGES, Moments, shrunken


def some(rng, rows, inputs, results, weight, noise):
    x = rng.standard_normal((rows, inputs)) @ (np.eye(inputs) + 0.5 * rng.standard_normal((inputs, inputs)))
    return x, x @ weight + noise * rng.standard_normal((rows, results))


def moments(x, y):
    return Moments(x.T @ x, x.T @ y, len(x))


def by_rows(weight, kept, x, y, shrinkages):
    """Both parts as ridge regressions over rows: a row more for each input that draws what it is to be to nothing."""
    unit = np.square(x).sum() / len(x) / x.shape[1]

    def ridge(wanted, shrinkage):
        more = np.sqrt(shrinkage * unit * len(x)) * np.eye(kept.sum())
        rows = np.concatenate([x[:, kept], more])
        return np.linalg.lstsq(rows, np.concatenate([wanted, np.zeros((kept.sum(), wanted.shape[1]))]))[0]

    found = np.zeros_like(weight)
    gone, missed = x[:, ~kept] @ weight[~kept], y - x @ weight
    found[kept] = weight[kept] + ridge(gone, shrinkages[0]) + ridge(missed, shrinkages[1])
    return found


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**20),
    inputs=st.integers(2, 9),
    results=st.integers(1, 4),
    noise=st.sampled_from([0.0, 0.3, 3.0]),
)
def test_it_is_the_pair_of_ridges_with_the_least_error_on_rows_that_are_held_out(seed, inputs, results, noise):
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((inputs, results))
    kept = rng.random(inputs) < 0.7
    kept[0] = True
    x, y = some(rng, 60, inputs, results, weight + 0.2 * noise, noise)
    cut, few = 45, (1e-4, 0.1, 10.0)
    found = shrunken(weight, kept, moments(x[:cut], y[:cut]), moments(x[cut:], y[cut:]), few)

    def error(pair):
        own = by_rows(weight, kept, x[:cut], y[:cut], pair)
        return np.square(x[cut:] @ own - y[cut:]).sum()

    pairs = [(one, other) for one in few for other in few]
    errors = np.array([error(pair) for pair in pairs])
    near = [pair for pair, one in zip(pairs, errors, strict=True) if one <= errors.min() * (1 + 1e-9) + 1e-9]
    assert any(np.allclose(found, by_rows(weight, kept, x, y, pair), rtol=1e-6, atol=1e-8) for pair in near)
    assert not found[~kept].any()


def test_few_noisy_rows_do_not_take_weights_far_from_those_that_there_were():
    """With nothing left out, and nothing but noise to fit, what is fitted is drawn back."""
    rng = np.random.default_rng(1)
    weight, everything = rng.standard_normal((30, 2)), np.ones(30, bool)
    x, y = some(rng, 50, 30, 2, weight, 5.0)
    halves = moments(x[:40], y[:40]), moments(x[40:], y[40:])
    ours, bare = shrunken(weight, everything, *halves), np.linalg.lstsq(x, y)[0]
    assert np.linalg.norm(ours - weight) < 0.3 * np.linalg.norm(bare - weight)


def test_a_part_that_can_be_made_up_for_is_whatever_noise_the_other_part_is_of():
    rng = np.random.default_rng(2)
    x = rng.standard_normal((60, 6))
    x[:, 3:] = x[:, :3]
    weight, kept = rng.standard_normal((6, 2)), np.arange(6) < 3
    y = x @ weight + 5 * rng.standard_normal((60, 2))
    found = shrunken(weight, kept, moments(x[:40], y[:40]), moments(x[40:], y[40:]))
    # Of three inputs that stand for as many others the exact weights are the sums; noise moves them a little.
    bare = np.linalg.lstsq(x[:, :3], y)[0]
    exact = weight[:3] + weight[3:]
    assert np.linalg.norm(found[:3] - exact) <= np.linalg.norm(bare - exact)


def test_with_nothing_held_out_both_are_drawn_by_what_is_usual():
    rng = np.random.default_rng(3)
    weight, kept = rng.standard_normal((5, 2)), np.arange(5) != 2
    x, y = some(rng, 30, 5, 2, weight, 1.0)
    found = shrunken(weight, kept, moments(x, y), Moments(np.zeros((5, 5)), np.zeros((5, 2)), 0))
    np.testing.assert_allclose(found, by_rows(weight, kept, x, y, (1e-2, 1e-2)), rtol=1e-8)


def test_inputs_that_are_always_equal_or_nothing_are_no_obstacle():
    x = np.ones((20, 3)) * [1.0, 1.0, 0.0]
    y = np.full((20, 1), 5.0)
    found = shrunken(np.ones((3, 1)), np.ones(3, bool), moments(x[:12], y[:12]), moments(x[12:], y[12:]), SHRINKAGES)
    assert np.isfinite(found).all() and abs((x @ found - y).max()) < 0.05
    none = shrunken(np.ones((2, 1)), np.array([True, False]), *[moments(np.zeros((4, 2)), np.zeros((4, 1)))] * 2)
    assert none.ravel().tolist() == [1.0, 0.0]
