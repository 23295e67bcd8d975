"""Both stages as convolutions: held against the sums of numpy in double precision, wherever frames begin and end."""

import numpy as np
import oracles
from factored import fourier
from framed import conv_model, frame_steps, in_stages, stft_model
from hypothesis import given, settings
from hypothesis import strategies as st


def exactly(x, weight, hop, pads):
    """Outputs (b, outputs, F) of signals (b, n)."""
    whole = np.pad(x.astype(np.float64), ((0, 0), pads))
    frames = np.lib.stride_tricks.sliding_window_view(whole, len(weight), axis=1)[:, ::hop]
    return (frames @ weight.astype(np.float64)).swapaxes(1, 2)


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([48, 60, 64, 80, 96]),
    st.sampled_from([1, 2, 3, 4, 6]),
    st.tuples(st.integers(0, 250), st.integers(0, 250)),
    st.tuples(st.integers(0, 40), st.integers(0, 40)),
    st.integers(0, 2**32 - 1),
)
def test_frames_may_begin_and_end_in_pads_and_windows_in_zeros(length, share, pads, silent, seed):
    """Pads as long as several frames; a window that leaves out places at its sides, whole pieces of them too."""
    rng = np.random.default_rng(seed)
    window = rng.uniform(0.5, 1.5, length)
    window[: min(silent[0], length // 2)] = 0
    window[length - min(silent[1], length // 2 - 1) :] = 0
    weight, hop = fourier(length, window=window), max(length // share, 1)
    model = conv_model(weight, hop, pads=pads)
    changed, count = in_stages(model)
    if not count:  # frames that overlap by parts of pieces
        return
    x = rng.standard_normal((rng.integers(1, 4), max(length - sum(pads), 1) + rng.integers(300))).astype(np.float32)
    (got,) = oracles.run(changed, {"x": x[:, None]})
    exact = exactly(x, weight, hop, pads)
    assert got.shape == exact.shape
    np.testing.assert_allclose(got, exact, rtol=0, atol=3e-6 * max(abs(exact).max(), 1e-3))
    convolutions = [node for node in changed.graph.node if node.op_type == "Conv"]
    told = [list(one.ints) for node in convolutions for one in node.attribute if one.name == "pads"]
    assert len(told) == frame_steps(model)[0].places and all(min(one) >= 0 for one in told)


def test_signals_of_one_value_a_sample_are_turned():
    model = stft_model(np.hanning(64), 16, x=("b", "n", 1))
    changed, count = in_stages(model)
    x = np.random.default_rng(0).standard_normal((2, 300, 1)).astype(np.float32)
    assert count == 1
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


def test_without_signals_there_are_no_frames():
    model = conv_model(fourier(64), 16)
    changed, count = in_stages(model)
    (got,) = oracles.run(changed, {"x": np.empty((0, 1, 200), np.float32)})
    assert count == 1 and got.shape == (0, 66, 9)
