"""Both parts of a frequency a fixed number of rows apart: held against powers that are picked one by one."""

import numpy as np
from factored import fourier
from framed import conv_model
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.io.load import load
from scission.passes.frontends.aligned import aligned
from scission.passes.frontends.find import seen
from scission.passes.frontends.staging import best_stages


def stages_of(weight):
    (front,) = seen(load(conv_model(weight, len(weight) // 4)).graph)[3]
    return best_stages(front.product, lambda stages: stages.macs)


def powers_of(found, begun):
    """(bins,): of what the first stage makes, (groups, inputs)."""
    groups, _, _, size = found.weight.shape
    parts = np.einsum("gi,gips->gps", begun, found.weight)
    rows = (parts**2).sum(axis=1).reshape(groups * size)
    return rows[found.places]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([48, 64, 72, 80, 96]), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_power_of_any_frequencies_is_that_of_both_parts(length, windowed, seed):
    rng = np.random.default_rng(seed)
    weight = fourier(length, window=rng.uniform(0.5, 1.5, length) if windowed else None)
    stages, bins = stages_of(weight), weight.shape[1] // 2
    wanted = np.sort(rng.choice(bins, rng.integers(1, bins + 1), replace=False))
    found = aligned(stages, bins, wanted)
    assert found is not None and len(np.unique(found.places)) == wanted.size
    last = stages.factors.stages[1].weight
    groups = stages.made // stages.factors.stages[0].ranks
    begun = rng.standard_normal((groups, last.shape[2]))
    whole = np.einsum("gi,gio->go", begun, np.broadcast_to(last[:, 0], (groups, *last.shape[2:]))).reshape(-1)
    made = whole[stages.factors.order]
    np.testing.assert_allclose(powers_of(found, begun), made[wanted] ** 2 + made[bins + wanted] ** 2, atol=1e-9)


def test_parts_of_different_groups_are_not_brought_together():
    weight = fourier(96)
    bins = weight.shape[1] // 2
    apart = np.concatenate([weight[:, :bins], np.roll(weight[:, bins:], 1, axis=1)], axis=1)
    assert aligned(stages_of(apart), bins, np.arange(bins)) is None
    assert aligned(stages_of(weight), bins, np.arange(bins)) is not None


def test_a_part_that_is_nothing_is_of_any_group():
    """Neither the lowest frequency nor the highest has an imaginary part, wherever stages put it."""
    weight = fourier(64)
    found = aligned(stages_of(weight), 33, np.int64([0, 32]))
    assert found is not None and abs(found.weight[:, :, 1]).max() < 1e-12 and found.weight[:, :, 0].any()
