"""Stages as operators: held against the sums of numpy in double precision."""

import numpy as np
import oracles
import pytest
from factored import fourier
from framed import conv_model, frame_steps, in_stages, stft_model


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
    """Every convolution of the first stage reads the signal where it lies, and no operator before it makes anything."""
    model = conv_model(fourier(64), 16)
    (step,) = frame_steps(model)
    changed, _ = in_stages(model)
    made = oracles.operators(changed)
    assert made["Conv"] == step.places + 1 and made["Gather"] == made["Concat"] == 1
    assert not made.keys() & {"MatMul", "Slice", "Transpose"}
    (image,) = (node for node in changed.graph.node if "x" in node.input)
    assert image.op_type == "Unsqueeze"
    readers = [node for node in changed.graph.node if image.output[0] in node.input]
    assert [node.op_type for node in readers] == ["Conv"] * step.places
