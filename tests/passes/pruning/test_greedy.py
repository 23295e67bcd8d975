import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.passes.pruning.greedy import Reading, prune

DAMPING = 1e-6


def brute(reading, gone):
    """The damped loss of the best weights without these inputs, over what it is with all of them; and these weights."""
    gram, weight = reading.gram, reading.weight
    load = DAMPING * np.trace(gram) / len(gram)
    target = gram @ weight if reading.target is None else reading.target
    kept = np.setdiff1d(np.arange(len(gram)), gone)
    damped, right = gram + load * np.eye(len(gram)), target + load * weight

    def best(places):
        found = np.zeros_like(weight)
        found[places] = np.linalg.solve(damped[np.ix_(places, places)], right[places])
        return found, -np.einsum("kn,kn->", found, right)

    found, loss = best(kept)
    return found, loss - best(np.arange(len(gram)))[1]


def readings(rng, inputs, products, targets):
    for _ in range(products):
        x = rng.standard_normal((5 * inputs, inputs)) @ (np.eye(inputs) + 0.5 * rng.standard_normal((inputs, inputs)))
        weight = rng.standard_normal((inputs, 3))
        result = x @ weight + 0.3 * rng.standard_normal((len(x), 3))
        yield Reading(x.T @ x / len(x), weight, x.T @ result / len(x) if targets else None)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**20),
    count=st.integers(2, 6),
    each=st.integers(1, 3),
    products=st.integers(1, 2),
    bias=st.booleans(),
    targets=st.booleans(),
)
def test_losses_and_weights_are_those_of_a_new_fit_and_each_step_takes_the_cheapest(
    seed, count, each, products, bias, targets
):
    rng = np.random.default_rng(seed)
    units = rng.permutation(np.repeat(np.arange(count), each))
    units = np.append(units, -1) if bias else units
    read = list(readings(rng, units.size, products, targets))
    found = prune(read, units, step=1, damping=DAMPING)
    assert sorted(found.order.tolist()) == list(range(count)) and found.counts.tolist() == list(range(count + 1))
    losses = []
    for gone in range(count + 1):
        out = found.order[:gone]
        alone = prune(read, units, gone, step=1, damping=DAMPING)
        assert alone.order.tolist() == out.tolist()
        loss = 0.0
        for one, weight in zip(read, alone.weights, strict=True):
            best, lost = brute(one, np.flatnonzero(np.isin(units, out)))
            np.testing.assert_allclose(weight, best, rtol=1e-5, atol=1e-6)
            loss += lost
        losses.append(loss)
        if gone < count:
            others = [unit for unit in range(count) if unit not in out]
            costs = [
                sum(brute(one, np.flatnonzero(np.isin(units, [*out, unit])))[1] for one in read) for unit in others
            ]
            taken = costs[others.index(found.order[gone])]
            assert taken <= min(costs) + 1e-7 * max(1.0, abs(max(costs)))
    np.testing.assert_allclose(found.losses, losses, rtol=1e-5, atol=1e-6)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**20), size=st.integers(3, 12), twins=st.integers(1, 3))
def test_units_that_others_stand_in_for_go_first_and_cost_nothing(seed, size, twins):
    rng = np.random.default_rng(seed)
    twins = min(twins, size // 2)
    x = rng.standard_normal((8 * size, size))
    x = np.concatenate([x, 2 * x[:, :twins]], axis=1)
    weight = rng.standard_normal((size + twins, 2))
    found = prune([Reading(x.T @ x / len(x), weight)], np.arange(size + twins), twins, step=1, damping=1e-9)
    pairs = {place: place % size for place in [*range(twins), *range(size, size + twins)]}
    assert len({pairs[unit] for unit in found.order.tolist()}) == twins
    np.testing.assert_allclose(x @ found.weights[0], x @ weight, atol=1e-4 * np.abs(x @ weight).max())


def test_several_at_a_time_end_at_the_weights_of_a_new_fit():
    rng = np.random.default_rng(3)
    (one,) = readings(rng, 12, 1, False)
    found = prune([one], np.arange(12), 7, step=3, damping=DAMPING)
    assert found.counts.tolist() == [0, 3, 6, 7]
    best, lost = brute(one, found.order)
    np.testing.assert_allclose(found.weights[0], best, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.losses[-1], lost, rtol=1e-6)


def test_inputs_that_are_never_anything_cost_nothing():
    gram = np.diag([1.0, 0.0, 2.0])
    found = prune([Reading(gram, np.ones((3, 1)))], np.arange(3), 1, step=1, damping=DAMPING)
    assert found.order.tolist() == [1] and found.losses[-1] < 1e-3
    none = prune([Reading(np.zeros((2, 2)), np.ones((2, 1)))], np.arange(2))
    assert np.isfinite(none.losses).all() and not none.weights[0].any()


def test_without_units_what_is_read_is_fitted_to_its_target():
    rng = np.random.default_rng(5)
    (one,) = readings(rng, 6, 1, True)
    found = prune([one], np.full(6, -1), damping=DAMPING)
    assert found.order.size == 0 and found.losses.tolist() == [0.0]
    np.testing.assert_allclose(found.weights[0], brute(one, [])[0], rtol=1e-6, atol=1e-8)


def test_units_have_as_many_inputs_each():
    with pytest.raises(ValueError, match="different sizes"):
        prune([Reading(np.eye(3), np.ones((3, 1)))], np.array([0, 0, 1]))
