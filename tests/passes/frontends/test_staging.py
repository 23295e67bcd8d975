"""Stages of a product of frames: what they come to, and what has none."""

import numpy as np
import pytest
from factored import fourier
from framed import conv_model, emphasised_model, stft_model
from hypothesis import given, settings
from hypothesis import strategies as st

from scission.ir.io.load import load
from scission.passes.frontends.find import seen
from scission.passes.frontends.staging import best_stages, follow_stages, stages_seconds
from scission.passes.lowering.prices import prices_of


def only(model):
    (one,) = seen(load(model).graph)[3]
    return one.product


def stages_of(one):
    return best_stages(one, lambda stages: stages.macs)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([48, 64, 80, 96]), st.sampled_from([2, 4]), st.booleans())
def test_their_product_is_the_weight(length, share, windowed):
    window = np.hanning(length + 1)[:-1] if windowed else np.ones(length)
    one = only(stft_model(window, length // share))
    stages = stages_of(one)
    assert one.hop % stages.split.stride == 0 and stages.pieces * stages.split.stride == length
    assert stages.macs < one.weight.size
    np.testing.assert_allclose(stages.factors.product(), one.weight, atol=2e-6)
    again = follow_stages(one, stages.split.stride, stages.split.step)
    np.testing.assert_array_equal(again.factors.product(), stages.factors.product())


@pytest.mark.parametrize("hop", [1, 41, 97])
def test_frames_that_overlap_by_parts_of_pieces_have_none(hop):
    assert stages_of(only(stft_model(np.hanning(96), hop))) is None


def test_ordinary_weights_and_other_pieces_have_none():
    assert (
        stages_of(only(conv_model(np.random.default_rng(0).standard_normal((96, 98)).astype(np.float32), 16))) is None
    )
    one = only(conv_model(fourier(96), 16))
    assert [follow_stages(one, *split) for split in ((5, 1), (32, 3), (1, 1), (0, 1))] == [None] * 4


def test_more_frames_take_longer():
    one, prices = only(stft_model(np.hanning(400), 160)), prices_of("cpu")
    stages = stages_of(one)
    few, many = (stages_seconds(one, stages, 1, frames, prices) for frames in (100, 3000))
    assert 0 < few < many < stages_seconds(one, stages, 2, 3000, prices)


def test_of_pieces_of_one_size_the_fewest_classes_are_taken():
    """Zeros at both ends, as around the window of a longer transform, leave samples of a low rank at any step."""
    one = only(conv_model(fourier(512, window=np.pad(np.hanning(400), 56)), 160))
    stages = stages_of(one)
    assert (stages.pieces, stages.made) == (32, 32)


def test_loud_outputs_alone_are_in_stages():
    weight = fourier(96, window=np.hanning(97)[:-1])
    plain, emphasised = only(conv_model(weight, 16)), only(emphasised_model(weight, 16, 0.97))
    assert stages_of(plain).whole.size == 0
    stages, prices = stages_of(emphasised), prices_of("cpu")
    assert stages.whole.size and stages.macs == stages.factors.macs + 96 * stages.whole.size
    with_whole, without = (stages_seconds(emphasised, one, 1, 3000, prices) for one in (stages, stages_of(plain)))
    assert with_whole > without
