import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scission.ir.evidence.evidence import Evidence
from scission.ir.evidence.null import Null
from scission.passes.anneal.edges.anneal import confirm
from scission.passes.anneal.edges.anneal_sequences import confirm_sequences
from scission.passes.anneal.edges.misfit import misfit_of, told
from scission.passes.anneal.edges.null_fit import null_fit
from scission.passes.anneal.edges.schemes import estimate

NORMAL = Null(family="normal", scale=1, source="test")
UNIFORM = Null(family="uniform", scale=math.sqrt(3), source="test")
SIZE = (200, 200)
CUT = 0.8796256610342398  # deviation of a standard normal law that is cut off at two

OTHER = {  # all of variance 1
    "Laplace": lambda rng, shape: rng.laplace(size=shape) / math.sqrt(2),
    "Student t": lambda rng, shape: rng.standard_t(4, shape) / math.sqrt(2),
    "two scales": lambda rng, shape: rng.standard_normal(shape) * np.where(rng.random(shape) < 0.1, 2.9, 0.42),
}
LAWS = {
    "normal": (NORMAL, lambda rng, shape: rng.standard_normal(shape)),
    "uniform": (UNIFORM, lambda rng, shape: rng.uniform(-UNIFORM.scale, UNIFORM.scale, shape)),
}


def slow_surplus(weight, null):
    """The largest distance of the distribution, in units of the null, below a chord of which it should lie."""
    sizes = np.sort(np.abs(weight[np.isfinite(weight) & (weight != 0)]).astype(float).ravel())
    ranks = np.concatenate([[0], np.arange(1, sizes.size + 1) / sizes.size, [1]])
    if null.family == "uniform":
        u = np.concatenate([[0], sizes / null.scale])
        rise = (ranks[:-1] - u)[u < 1]
        return max(float(rise[b] - rise[: b + 1].min()) for b in range(rise.size))
    cut = stats.truncnorm(-2, 2)
    found = []
    for law in (stats.norm().cdf, cut.cdf, lambda x: cut.cdf(x * CUT)):
        u = np.concatenate([[0], 2 * law(sizes / null.scale) - 1, [1]])
        some = np.unique(np.linspace(0, u.size - 1, 120).astype(int))
        some = some[(u[some] < 1) | (some == u.size - 1)]
        u, g = u[some], ranks[some]
        chords = [
            g[a] + (g[b] - g[a]) * (u[m] - u[a]) / (u[b] - u[a]) - g[m]
            for a, b in itertools.combinations(range(u.size), 2)
            for m in range(a + 1, b)
            if u[b] > u[a]
        ]
        found.append(-min(chords, default=0.0))
    return max(min(found), 0.0)


@settings(max_examples=5)
@given(st.integers(0, 2**32 - 1), st.sampled_from([NORMAL, UNIFORM]), st.sampled_from(sorted(OTHER)))
def test_the_surplus_is_the_distance_from_all_that_learning_could_have_made(seed, null, name):
    rng = np.random.default_rng(seed)
    weight = OTHER[name](rng, (60, 80)) * rng.choice([0.5, 1, 2])
    weight[rng.random(weight.shape) < 0.2] = 0
    weight[0, :2] = np.nan, np.inf
    fit = null_fit(weight, null)
    assert fit.entries == (np.isfinite(weight) & (weight != 0)).sum()
    assert fit.surplus == pytest.approx(slow_surplus(weight, null), abs=0.012)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("signal", [0.0, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_learning_on_top_of_the_null_is_no_misfit(name, signal, share):
    """The larger a magnitude, the likelier it becomes."""
    null, draw = LAWS[name]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        weight = draw(rng, SIZE) + (rng.random(SIZE) < share) * signal * rng.standard_normal(SIZE)
        assert confirm(weight, "neyman", null=null).evidence.misfit is None


@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("name", LAWS)
def test_small_weights_from_the_null_are_no_misfit(size, name):
    null, draw = LAWS[name]
    found = [misfit_of(null_fit(draw(np.random.default_rng(seed), (size, size)), null)) for seed in range(200)]
    assert sum(one is not None for one in found) <= 2


def test_what_rounding_cutting_off_and_pruning_do_to_the_null_is_no_misfit():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(SIZE)
    cut = stats.truncnorm.rvs(-2, 2, size=SIZE, random_state=rng)
    step = np.abs(weight).max() / 127
    for kept in (cut, cut / CUT, np.float16(weight), np.round(weight / step) * step, weight * (rng.random(SIZE) < 0.1)):
        assert misfit_of(null_fit(kept, NORMAL)) is None


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("size", [24, 64, 200])
@pytest.mark.parametrize("test", ["neyman", "walk", "edges"])
def test_noise_of_another_law_is_a_misfit_for_every_test_of_single_edges(name, size, test):
    weight = OTHER[name](np.random.default_rng(size), (size, size))
    evidence = confirm(weight, test, null=NORMAL).evidence
    assert evidence.misfit == "law"
    assert f"{evidence.fit.surplus:.1%}" in told(evidence) and f"{evidence.fit.ks:.3f}" in told(evidence)


@pytest.mark.parametrize("test", ["norm", "consistency", "sequences"])
def test_one_channel_of_another_law_is_a_misfit_for_every_test_of_sequences(test):
    rng = np.random.default_rng(1)
    theta = [rng.standard_normal((60, 60)) for _ in range(8)]
    nulls = [NORMAL] * 8
    assert confirm_sequences(theta, test, nulls=nulls).evidence.misfit != "law"
    theta[5] = OTHER["Laplace"](rng, (60, 60))
    evidence = confirm_sequences(theta, test, nulls=nulls).evidence
    assert evidence.misfit == "law" and evidence.fit == null_fit(theta[5], NORMAL)


def test_weights_within_a_bound_that_is_too_wide_are_a_misfit_of_support():
    weight = np.random.default_rng(2).uniform(-1, 1, SIZE)
    assert confirm(weight, "support", null=UNIFORM).evidence.misfit == "law"
    assert confirm(weight * UNIFORM.scale, "support", null=UNIFORM).evidence.misfit is None
    assert confirm(3 * weight, "support", null=UNIFORM).evidence.misfit is None


@pytest.mark.parametrize("factor", [0.7, 1.0, 1.4])
def test_the_shape_counts_whatever_the_scale_that_was_stated_or_estimated(factor):
    """Laplace noise whose median, or whose scale, is that of the null has hardly more small entries than it."""
    laplace = factor * OTHER["Laplace"](np.random.default_rng(3), SIZE)
    assert misfit_of(null_fit(laplace, NORMAL)) == "law"
    assert misfit_of(null_fit(laplace, estimate(laplace))) == "law"


def test_equal_influence_that_never_held_is_a_misfit_of_its_own():
    evidence = confirm(np.ones((60, 60)), "walk").evidence
    assert evidence.misfit == "unequal" and "nowhere equal" in told(evidence)
    few = confirm(np.random.default_rng(0).normal(size=(5, 8)), "walk").evidence
    assert few.misfit is None and told(few) == ""
    assert Evidence.from_dict(evidence.to_dict()) == evidence
