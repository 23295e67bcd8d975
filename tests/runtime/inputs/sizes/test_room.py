"""Settings that costs are predicted for are those that a model is run in."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scission
from scission.ir.io.load import load
from scission.models.planted.products import build
from scission.runtime.inputs.sizes.room import Room, settings_within
from scission.runtime.inputs.sizes.settings import settings_of
from scission.runtime.inputs.spec import spec_of
from scission.runtime.notes import LoweredWarning
from scission.runtime.ort.trials import Trials


def model() -> onnx.ModelProto:
    return build(np.random.default_rng(0), "gemm", sizes=((16, 16),) * 4).model


@settings(max_examples=25, deadline=None)
@given(batch=st.lists(st.integers(1, 5000), min_size=1, max_size=3), memory=st.integers(2_000_000, 10**8))
def test_what_fits_stays_and_the_others_are_the_largest_that_do(batch: list[int], memory: int) -> None:
    loaded, trials = load(model()), Trials(memory=memory)
    asked = settings_of(loaded, batch)()
    found, _ = settings_within(loaded, batch, trials)
    room = Room(loaded, spec_of(loaded, given=True), trials, asked=True)
    expected = [one.sizes if room.fits(one.sizes) else dict(room.lowered(one.sizes)) for one in asked]
    assert [dict(one.sizes) for one in found()] == [
        dict(one) for place, one in enumerate(expected) if one not in expected[:place]
    ]
    assert all(room.fits(one.sizes) or max(one.sizes.values()) == 1 for one in found())


def test_a_plan_is_made_for_the_sizes_that_are_measured() -> None:
    trials = Trials(memory=8_000_000, seconds=0.01)
    with pytest.warns(LoweredWarning, match="instead of 4096"):
        result = scission.optimize(model(), batch=[4096], force=True, trials=trials)
    (step,) = result.plan.rewrites
    ran = {bench.rows for bench in result.benches}
    assert len(ran) == 1 and ran.isdisjoint({4096}) and {extents[0] for extents in step.extents} == ran


def test_nothing_is_said_where_nothing_was_lowered() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", LoweredWarning)
        found, tell = settings_within(load(model()), [16], Trials())
        tell()
    assert found() == settings_of(load(model()), [16])()


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.integers(1, 3000), min_size=2, max_size=8), memory=st.integers(2_000_000, 10**8))
def test_a_room_that_remembers_answers_as_a_new_one(batches: list[int], memory: int) -> None:
    loaded, trials = load(model()), Trials(memory=memory)
    spec = spec_of(loaded, given=True)
    room = Room(loaded, spec, trials, asked=True)
    (name,) = {dim for one in spec for dim in one.shape if isinstance(dim, str)}
    for batch in batches:
        new = Room(loaded, spec, trials, asked=True)
        assert room.fits({name: batch}) == new.fits({name: batch})
        assert room.need({name: batch}) == new.need({name: batch})
