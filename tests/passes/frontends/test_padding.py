"""Zeros around a signal that become pads of a convolution, and what is padded otherwise."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
from factored import fourier
from framed import in_stages, signal_model
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from scission.ir.io.load import load
from scission.passes.frontends.find import seen

LENGTH, HOP = 64, 16
WINDOW = np.hanning(LENGTH + 1)[:-1].astype(np.float32)
WEIGHT = fourier(LENGTH, window=WINDOW)


def padded(pads, *, filled=None, mode="constant", stft=False, unsqueezed=True, opset=17, axes=None, kept=False):
    """Frames of a padded signal (b, n), or (b, 1, n) where it has a channel from the beginning."""
    pad = ["x", "pads", *([] if filled is None and axes is None else ["filled"]), *([] if axes is None else ["axes"])]
    nodes = [helper.make_node("Pad", pad, ["padded"], "pad", mode=mode)]
    constants: dict = {"pads": np.int64(pads), "filled": np.float32(filled or 0)}
    constants |= {} if axes is None else {"axes": np.int64(axes)}
    if stft:
        nodes.append(helper.make_node("STFT", ["padded", "hop", "window"], ["y"], "stft"))
        constants |= {"hop": np.int64(HOP), "window": WINDOW}
    else:
        signal = "channel" if unsqueezed else "padded"
        nodes += [helper.make_node("Unsqueeze", ["padded", "1"], ["channel"])] if unsqueezed else []
        nodes.append(helper.make_node("Conv", [signal, "W"], ["y"], "conv", strides=[HOP]))
        constants |= {"1": np.int64([1]), "W": np.ascontiguousarray(WEIGHT.T)[:, None]}
    shape = ("b", "n") if stft or unsqueezed else ("b", 1, "n")
    model = signal_model(nodes, constants, x=shape, opset=opset)
    if kept:
        model.graph.output.append(helper.make_tensor_value_info("padded", 1, None))
    return model


def absorbed(model):
    (front,) = seen(load(model).graph)[3]
    return [node.op_type for node in front.product.before], front.product.pads


def exactly(x, pads, filled, mode):
    """Frames of (b, n) in double precision, (b, F, 2 · bins)."""
    more = {"constant_values": filled} if mode == "constant" else {}
    whole = np.pad(x.astype(np.float64), ((0, 0), pads), mode, **more)
    return np.lib.stride_tricks.sliding_window_view(whole, LENGTH, axis=1)[:, ::HOP] @ WEIGHT.astype(np.float64)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(0, LENGTH), st.integers(0, LENGTH)),
    st.sampled_from([("constant", 0.0), ("constant", None), ("constant", 1.5), ("reflect", None), ("edge", None)]),
    st.sampled_from(["stft", "unsqueezed", "channel"]),
    st.sampled_from([17, 18, 20]),
    st.integers(0, 2**32 - 1),
)
def test_frames_of_padded_signals_are_what_numpy_computes(pads, how, form, opset, seed):
    mode, filled = how
    before, behind = pads
    told = [0, 0, before, 0, 0, behind] if form == "channel" else [0, before, 0, behind]
    model = padded(told, mode=mode, filled=filled, stft=form == "stft", unsqueezed=form == "unsqueezed", opset=opset)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rng.integers(1, 4), rng.integers(LENGTH + 1, 400))).astype(np.float32)
    changed, count = in_stages(model)
    (got,) = oracles.run(changed, {"x": x[:, None] if form == "channel" else x})
    exact = exactly(x, pads, filled or 0, mode)
    bins = exact.shape[2] // 2
    got = np.concatenate([got[..., 0], got[..., 1]], axis=2) if form == "stft" else got.swapaxes(1, 2)
    assert count == 1 and got.shape == exact.shape and bins == LENGTH // 2 + 1
    np.testing.assert_allclose(got, exact, atol=3e-6 * abs(exact).max())
    zeros = mode == "constant" and not filled and max(pads) <= LENGTH // 2
    assert ("Pad" in oracles.operators(changed)) != zeros
    assert absorbed(model)[1] == (pads if zeros else (0, 0))


def test_what_moves_a_signal_behind_its_zeros_goes_with_them():
    assert absorbed(padded([0, 3, 0, 5])) == (["Pad", "Unsqueeze"], (3, 5))
    assert absorbed(padded([0, 0, 3, 0, 0, 5], unsqueezed=False)) == (["Pad"], (3, 5))


@pytest.mark.parametrize(
    "model",
    [
        padded([0, 3, 0, 5], kept=True),
        padded([0, -3, 0, 5]),
        padded([1, 3, 0, 5]),
        padded([3, 5], axes=[1], opset=18),
        padded([0, 33, 0, 0]),
    ],
    ids=["an output", "fewer samples", "more signals", "axes of their own", "more than half a frame"],
)
def test_other_pads_stay(model):
    assert absorbed(model) == ([], (0, 0))
    x = np.random.default_rng(0).standard_normal((2, 200)).astype(np.float32)
    changed, count = in_stages(model)
    assert count == 1 and oracles.operators(changed)["Pad"] == 1
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


def test_pads_that_are_read_twice_stay():
    model = padded([0, 3, 0, 5])
    model.graph.node.append(helper.make_node("Neg", ["padded"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", 1, None))
    assert absorbed(model) == ([], (0, 0))
