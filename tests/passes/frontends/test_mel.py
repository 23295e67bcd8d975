"""Products behind the power of frames: held against the sums of numpy in double precision, in bands of any sizes."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np
import oracles
import pytest
from factored import fourier
from framed import (
    bank,
    conv_model,
    drawn_bands,
    emphasised_model,
    frame_steps,
    in_stages,
    mel_of,
    power_of,
    reduced,
    stft_model,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from scission.ir.io.load import load
from scission.passes.frontends.find import seen
from scission.passes.frontends.mel import bands_seconds, best_bands
from scission.passes.lowering.prices import prices_of

FAR = 1 << 40  # behind the last frame


def held(name, array):
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(array)))


def only(model):
    (front,) = seen(load(model).graph)[3]
    return front


def behind_convolution(weight, *, frames_first=True, op="ReduceSumSquare", opset=17):
    """Everything behind the outputs f of a convolution."""
    return [*power_of(len(weight), "p", op=op, opset=opset), *mel_of(weight, frames_first=frames_first)]


def behind_transform(weight, *, op="ReduceSumSquare", opset=17, cut=None):
    """Everything behind a transform f; cut: up to which frame."""
    nodes = [*reduced(op, "f", "p", 3, opset), held("mel", weight)]
    if cut is not None:
        bounds = [held(name, np.int64([one])) for name, one in (("from", 0), ("to", cut), ("axis", 1))]
        nodes += [*bounds, helper.make_node("Slice", ["p", "from", "to", "axis"], ["q"], "cut")]
    return [*nodes, helper.make_node("MatMul", ["p" if cut is None else "q", "mel"], ["y"], "mels")]


def exactly(x, weight, hop, pads, mel, root):
    """Mels (b, F, outputs) of signals (b, n), in double precision."""
    whole = np.pad(x.astype(np.float64), ((0, 0), pads))
    parts = np.lib.stride_tricks.sliding_window_view(whole, len(weight), axis=1)[:, ::hop] @ weight.astype(np.float64)
    bins = parts.shape[2] // 2
    power = parts[..., :bins] ** 2 + parts[..., bins:] ** 2
    return (np.sqrt(power) if root else power) @ mel.astype(np.float64)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_mels_are_what_numpy_computes(seed):
    rng, draw = np.random.default_rng(seed), Random(seed)
    length = draw.choice([48, 60, 64, 80, 96, 128])
    hop = draw.choice([length // 4, length // 2, 3 * length // 4])
    window = draw.choice([np.ones(length), np.hanning(length + 1)[:-1], rng.uniform(0.5, 1.5, length)])
    window = window.astype(np.float32)
    mel = bank(length // 2 + 1, draw.choice([1, 3, 12, 40]), rng)
    if not mel.any():
        mel[draw.randrange(len(mel)), 0] = 1
    op, opset = draw.choice(["ReduceSumSquare", "ReduceL2"]), draw.choice([17, 18, 20])
    frames_first = draw.random() < 0.5
    weight, pads = fourier(length, window=window), (0, 0)
    if draw.random() < 0.5:
        model = stft_model(window, hop, then=behind_transform(mel, op=op, opset=opset), opset=opset)
        turned = False
    else:
        pads = draw.randrange(length), draw.randrange(length)
        then = behind_convolution(mel, frames_first=frames_first, op=op, opset=opset)
        model, turned = conv_model(weight, hop, then=then, pads=pads, opset=opset), not frames_first
    x = rng.standard_normal((draw.choice([1, 2, 3]), length + draw.randrange(500))).astype(np.float32)
    changed, count = in_stages(model, seed)
    (got,) = oracles.run(changed, fed(model, x))
    exact = exactly(x, weight, hop, pads, mel, op == "ReduceL2")
    exact = exact.swapaxes(1, 2) if turned else exact
    assert count == 1 and got.shape == exact.shape and only(model).mel is not None
    assert not oracles.operators(changed).keys() & {op, "STFT"}
    assert oracles.interface(changed) == oracles.interface(model)
    np.testing.assert_allclose(got, exact, rtol=0, atol=5e-6 * abs(exact).max())


def fed(model, x):
    """Signals (b, n) with a channel where the model has one."""
    (one,) = model.graph.input
    return {"x": x if len(one.type.tensor_type.shape.dim) == 2 else x[:, None]}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_what_is_computed_whole_and_what_in_stages_come_together(seed, biased, frames_first):
    rng = np.random.default_rng(seed)
    weight, mel = fourier(128, window=np.hanning(129)[:-1]), bank(65, 20, rng)
    mel[:4, 0] = 1  # frequencies that a filter leaves nothing of
    bias = rng.standard_normal(weight.shape[1]) if biased else None
    then = behind_convolution(mel, frames_first=frames_first)
    model = emphasised_model(weight, 32, 0.97, bias=bias, then=then)
    changed, count = in_stages(model, seed)
    x = rng.standard_normal((2, 1500)).astype(np.float32)
    assert count == 1 and only(model).mel is not None
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}), 4e-6)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([-1, 0, 1, 3, FAR]))
def test_frames_that_are_left_out_are_left_out_behind_the_product(seed, cut):
    mel = bank(33, 9, np.random.default_rng(seed))
    mel[5, 3] = 1
    model = stft_model(np.hanning(64), 16, then=behind_transform(mel, cut=cut))
    changed, count = in_stages(model, seed)
    x = np.random.default_rng(seed).standard_normal((2, 300)).astype(np.float32)
    assert count == 1 and "cut" in [node.name for node in only(model).nodes]
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


@pytest.mark.parametrize("frames_first", [True, False])
def test_no_signals_have_no_mels(frames_first):
    mel = bank(33, 9, np.random.default_rng(0))
    model = conv_model(fourier(64), 16, then=behind_convolution(mel, frames_first=frames_first))
    changed, count = in_stages(model)
    for frames in (1, 8):
        (got,) = oracles.run(changed, {"x": np.zeros((0, 1, 48 + 16 * frames), np.float32)})
        assert count == 1 and got.shape == ((0, frames, 9) if frames_first else (0, 9, frames))


@pytest.mark.parametrize("kept", ["f", "p", "q"])
def test_what_others_read_stays_what_it_is(kept):
    """Every output of a graph is kept, whatever lies between it and the product."""
    mel = bank(33, 9, np.random.default_rng(0))
    model = stft_model(np.hanning(64), 16, then=behind_transform(mel, cut=-1))
    model.graph.output.append(helper.make_tensor_value_info(kept, 1, None))
    assert only(model).mel is None
    changed, count = in_stages(model)
    x = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)
    assert count == 1 and oracles.interface(changed) == oracles.interface(model)
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


@pytest.mark.parametrize("opset", [17, 20])
@pytest.mark.parametrize("yes", [True, False])
def test_a_product_in_a_branch_is_left_there(opset, yes):
    mel = bank(33, 9, np.random.default_rng(0))
    inside = helper.make_graph(
        [held("mel", mel), helper.make_node("MatMul", ["p", "mel"], ["a"], "mels")],
        "then",
        [],
        [helper.make_tensor_value_info("a", 1, None)],
    )
    other = helper.make_node("Identity", ["x"], ["b"])
    otherwise = helper.make_graph([other], "else", [], [helper.make_tensor_value_info("b", 1, None)])
    branch = helper.make_node("If", ["yes"], ["y"], then_branch=inside, else_branch=otherwise)
    then = [*reduced("ReduceSumSquare", "f", "p", 3, opset), held("yes", np.bool_(yes)), branch]
    model = stft_model(np.hanning(64), 16, then=then, opset=opset)
    assert only(model).power is not None and only(model).mel is None
    changed, count = in_stages(model)
    x = np.random.default_rng(0).standard_normal((2, 300)).astype(np.float32)
    assert count == 1
    oracles.assert_close(oracles.run(model, {"x": x}), oracles.run(changed, {"x": x}))


def changed_weight(how):
    mel = bank(33, 9, np.random.default_rng(0))
    return {"infinite": np.full_like(mel, np.inf), "nothing": np.zeros_like(mel), "many": np.ones((33, 513), "f")}[how]


@pytest.mark.parametrize("how", ["infinite", "nothing", "many"])
def test_other_products_are_none(how):
    front = only(stft_model(np.hanning(64), 16, then=behind_transform(changed_weight(how))))
    assert front.power is not None and front.mel is None


def test_plans_hold_for_their_weight_and_their_bands_alone():
    mel = bank(33, 9, np.random.default_rng(0))
    one, other = (stft_model(np.hanning(64), 16, then=behind_transform(weight)) for weight in (mel, 2 * mel))
    assert only(one).sha256 != only(other).sha256 and only(one).product.sha256 == only(other).product.sha256
    (step,) = frame_steps(one)
    assert sum(step.bands) == 9 and step.nodes == ("stft", "power", "mels")


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([30, 3000]))
def test_bands_are_the_cheapest_of_all(seed, frames):
    """Of every way to cut the outputs into runs."""
    rng = np.random.default_rng(seed)
    mel = bank(33, int(rng.integers(1, 8)), rng)
    mel[int(rng.integers(33)), 0] = 1
    one, prices = only(stft_model(np.hanning(64), 16, then=behind_transform(mel))).mel, prices_of("cpu")
    outputs, left = mel.shape[1], prices.left()
    element = left.gemm_io_s + left.copy_s

    def seconds(bands):
        total, start = 0.0, 0
        for size in bands:
            read = int(mel[:, start : start + size].any(axis=1).sum())
            total += left.gemm_launch_s + left.node_s + frames * left.mac_s * read * size
            total += read * (left.find_row_s + frames * element) + size * frames * element
            start += size
        return total

    every = [
        np.diff([0, *cuts, outputs]).tolist()
        for count in range(outputs)
        for cuts in itertools.combinations(range(1, outputs), count)
    ]
    found = best_bands(one, frames, prices)
    assert sum(found) == outputs and min(found) > 0
    assert seconds(found) == pytest.approx(min(map(seconds, every)))


def test_predictions_grow_with_frames_and_with_what_is_read():
    rng, prices = np.random.default_rng(0), prices_of("cpu")
    mel = bank(33, 12, rng)
    one = only(stft_model(np.hanning(64), 16, then=behind_transform(mel))).mel
    wide = only(stft_model(np.hanning(64), 16, then=behind_transform(np.ones_like(mel)))).mel
    bands = drawn_bands(12, Random(3))
    assert 0 < bands_seconds(one, bands, 100, prices) < bands_seconds(one, bands, 3000, prices)
    assert bands_seconds(one, bands, 3000, prices) < bands_seconds(wide, bands, 3000, prices)
