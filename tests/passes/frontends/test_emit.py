"""Stages as operators: held against the sums of numpy in double precision."""

import numpy as np
import oracles
import pytest
from factored import fourier
from framed import conv_model, in_stages, stft_model


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("onesided", [0, 1])
def test_a_transform_is_what_numpy_computes(batch, onesided):
    window = np.hanning(81)[:-1].astype(np.float32)
    changed, count = in_stages(stft_model(window, 32, onesided=onesided))
    x = np.random.default_rng(0).standard_normal((batch, 777)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), 80, axis=1)[:, ::32] * window
    exact = np.fft.rfft(frames) if onesided else np.fft.fft(frames)
    (got,) = oracles.run(changed, {"x": x})
    assert count == 1 and got.shape == (*exact.shape, 2)
    np.testing.assert_allclose(got[..., 0] + 1j * got[..., 1], exact, atol=2e-6 * abs(exact).max())


def test_no_frame_is_copied():
    changed, _ = in_stages(conv_model(fourier(64), 16))
    made = oracles.operators(changed)
    assert made["Conv"] == 3 and made["Transpose"] == made["Gather"] == 1 and not made["MatMul"] and not made["Slice"]
