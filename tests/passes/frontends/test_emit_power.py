"""Powers as operators, wherever stages leave both parts of a frequency."""

import numpy as np
import oracles
import pytest
from factored import fourier
from framed import conv_model, in_stages, power_of
from hypothesis import given, settings
from hypothesis import strategies as st


def exactly(x, weight, hop, root):
    """(b, bins, F) of signals (b, n), in double precision."""
    frames = np.lib.stride_tricks.sliding_window_view(x.astype(np.float64), len(weight), axis=1)[:, ::hop]
    parts = (frames @ weight.astype(np.float64)).swapaxes(1, 2)
    power = parts[:, : parts.shape[1] // 2] ** 2 + parts[:, parts.shape[1] // 2 :] ** 2
    return np.sqrt(power) if root else power


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([48, 64, 80, 96]),
    st.integers(0, 60),
    st.sampled_from(["ReduceSumSquare", "ReduceL2"]),
    st.sampled_from([17, 18, 20]),
    st.integers(0, 2**32 - 1),
)
def test_powers_are_what_numpy_computes(length, turned, op, opset, seed):
    """Imaginary parts that belong to other real ones are in other groups: their sum is a power all the same."""
    rng = np.random.default_rng(seed)
    weight = fourier(length, window=rng.uniform(0.5, 1.5, length))
    bins = weight.shape[1] // 2
    weight[:, bins:] = np.roll(weight[:, bins:], turned if turned < bins else 0, axis=1)
    model = conv_model(weight, length // 4, then=power_of(bins, op=op, opset=opset), opset=opset)
    changed, count = in_stages(model)
    x = rng.standard_normal((2, length + rng.integers(400))).astype(np.float32)
    (got,) = oracles.run(changed, {"x": x[:, None]})
    exact = exactly(x, weight, length // 4, op == "ReduceL2")
    assert count == 1 and got.shape == exact.shape and op not in oracles.operators(changed)
    np.testing.assert_allclose(got, exact, rtol=0, atol=4e-6 * abs(exact).max())


@pytest.mark.parametrize(("turned", "picked"), [(0, 1), (1, 2)])
def test_rows_are_picked_once_where_both_parts_lie_beside_one_another(turned, picked):
    """After they are squared and summed, and not real and imaginary parts on their own before."""
    weight = fourier(64)
    weight[:, 33:] = np.roll(weight[:, 33:], turned, axis=1)
    changed, count = in_stages(conv_model(weight, 16, then=power_of(33)))
    assert count == 1 and oracles.operators(changed)["Gather"] == picked
