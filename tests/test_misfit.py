import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scission.ir.evidence import Evidence
from scission.ir.null import Null
from scission.passes.anneal import confirm
from scission.passes.anneal_sequences import confirm_sequences
from scission.passes.misfit import ESTIMATED, STATED, misfit_of, told
from scission.passes.null_fit import null_fit
from scission.passes.schemes import estimate

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
    """Every entry that is finite and not zero is looked at."""
    sizes = np.sort(np.abs(weight[np.isfinite(weight) & (weight != 0)]).astype(float).ravel())
    law = stats.halfnorm(scale=null.scale) if null.family == "normal" else stats.uniform(0, null.scale)
    ranks = np.arange(1, sizes.size + 1) / sizes.size
    return float((ranks - law.cdf(sizes)).max(initial=0.0))


@given(st.integers(0, 2**32 - 1), st.sampled_from([NORMAL, UNIFORM]), st.sampled_from(sorted(OTHER)))
def test_the_surplus_is_the_one_sided_distance_of_what_is_not_zero(seed, null, name):
    rng = np.random.default_rng(seed)
    weight = OTHER[name](rng, (30, 40)) * rng.choice([0.3, 1, 3])
    weight[rng.random(weight.shape) < 0.2] = 0
    weight[0, :2] = np.nan, np.inf
    fit = null_fit(weight, null)
    assert fit.entries == (np.isfinite(weight) & (weight != 0)).sum()
    assert fit.surplus == pytest.approx(slow_surplus(weight, null), abs=0.005)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("signal", [0.0, 0.5, 2.0, 8.0])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_learning_on_top_of_the_null_is_no_misfit(name, signal, share):
    """Anderson's theorem: what is added makes no magnitude smaller."""
    null, draw = LAWS[name]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        weight = draw(rng, SIZE) + (rng.random(SIZE) < share) * signal * rng.standard_normal(SIZE)
        assert confirm(weight, "neyman", null=null).evidence.misfit is None


@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("name", LAWS)
def test_small_weights_from_the_null_are_no_misfit(size, name):
    null, draw = LAWS[name]
    found = [misfit_of(null_fit(draw(np.random.default_rng(seed), (size, size)), null), null) for seed in range(200)]
    assert sum(one is not None for one in found) <= 2


def test_what_rounding_cutting_off_and_pruning_do_to_the_null_is_no_misfit():
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(SIZE)
    cut = stats.truncnorm.rvs(-2, 2, size=SIZE, random_state=rng)
    step = np.abs(weight).max() / 127
    for kept in (cut, cut / CUT, np.float16(weight), np.round(weight / step) * step, weight * (rng.random(SIZE) < 0.1)):
        assert misfit_of(null_fit(kept, NORMAL), NORMAL) is None


@pytest.mark.parametrize("name", OTHER)
@pytest.mark.parametrize("size", [24, 64, 200])
@pytest.mark.parametrize("test", ["neyman", "walk", "edges"])
def test_noise_of_another_law_is_a_misfit_for_every_test_of_single_edges(name, size, test):
    weight = OTHER[name](np.random.default_rng(size), (size, size))
    evidence = confirm(weight, test, null=NORMAL).evidence
    assert evidence.misfit == "smaller"
    assert f"{evidence.fit.surplus:.1%}" in told(evidence) and f"{evidence.fit.ks:.3f}" in told(evidence)


@pytest.mark.parametrize("test", ["norm", "consistency", "sequences"])
def test_one_channel_of_another_law_is_a_misfit_for_every_test_of_sequences(test):
    rng = np.random.default_rng(1)
    theta = [rng.standard_normal((60, 60)) for _ in range(8)]
    nulls = [NORMAL] * 8
    assert confirm_sequences(theta, test, nulls=nulls).evidence.misfit != "smaller"
    theta[5] = OTHER["Laplace"](rng, (60, 60))
    evidence = confirm_sequences(theta, test, nulls=nulls).evidence
    assert evidence.misfit == "smaller" and evidence.fit == null_fit(theta[5], NORMAL)


def test_weights_within_a_bound_that_is_too_wide_are_a_misfit_of_support():
    weight = np.random.default_rng(2).uniform(-1, 1, SIZE)
    assert confirm(weight, "support", null=UNIFORM).evidence.misfit == "smaller"
    assert confirm(weight * UNIFORM.scale, "support", null=UNIFORM).evidence.misfit is None
    assert confirm(3 * weight, "support", null=UNIFORM).evidence.misfit is None


def test_an_estimate_is_held_to_the_shape_of_the_bulk():
    laplace = OTHER["Laplace"](np.random.default_rng(3), SIZE)
    found = estimate(laplace)
    fit = null_fit(laplace, found)
    assert ESTIMATED < fit.surplus < STATED
    assert misfit_of(fit, found) == "smaller"
    assert misfit_of(fit, dataclasses.replace(found, estimated=False)) is None


def test_equal_influence_that_never_held_is_a_misfit_of_its_own():
    evidence = confirm(np.ones((60, 60)), "walk").evidence
    assert evidence.misfit == "unequal" and "nowhere equal" in told(evidence)
    few = confirm(np.random.default_rng(0).normal(size=(5, 8)), "walk").evidence
    assert few.misfit is None and told(few) == ""
    assert Evidence.from_dict(evidence.to_dict()) == evidence
