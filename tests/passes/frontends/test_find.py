"""Which products of frames are predicted to gain, and that nothing is looked at twice."""

import numpy as np
import onnx
import pytest
from factored import fourier
from framed import conv_model, signal_model, stft_model
from onnx import helper

import scission
from scission.ir.graph.sizes import Setting
from scission.ir.io.load import load
from scission.passes.frontends.find import find
from scission.passes.lowering.target import Target

WINDOW = np.hanning(401)[:-1]


def found(model, samples=480000, target=None):
    sizes = lambda: (Setting(sizes={"b": 1, "n": samples}, batch=1),)  # noqa: E731
    return find(load(model).graph, target or Target(), sizes)


@pytest.mark.parametrize("model", [stft_model(WINDOW, 160), conv_model(fourier(400, window=WINDOW), 160)])
def test_half_a_minute_of_frames_pays(model):
    (step,) = found(model)
    assert step.gain > 1.5 and step.macs < 400 * 402 / 4 and 160 % step.places == 0 and step.bound < 1
    assert "frames of 400 samples" in step.reason.text


def test_on_cuda_nothing_is_looked_at():
    assert found(stft_model(WINDOW, 160), target=Target(provider="cuda")) == ()


@pytest.mark.parametrize("opset", [17, 18, 20])
def test_mels_that_an_operator_makes_are_a_constant_like_any_other(opset, tmp_path):
    """Of few bands, whose windows of frequencies are blocks of the weight: behind stages of the transform they are
    computed in bands, and behind a convolution they are split, though that is not predicted to gain."""
    told = {"mels": np.int64(40), "places": np.int64(400), "rate": np.int64(16000), "low": np.float32(0)}
    told |= {"high": np.float32(8000), "hop": np.int64(160), "window": WINDOW.astype(np.float32)}
    axes = {"axes": [-1]} if opset < 18 else {}
    nodes = [
        helper.make_node("STFT", ["x", "hop", "window"], ["f"], "stft"),
        helper.make_node("ReduceSumSquare", ["f", *([] if axes else ["last"])], ["p"], "power", keepdims=0, **axes),
        helper.make_node("MelWeightMatrix", ["mels", "places", "rate", "low", "high"], ["W"], "weights"),
        helper.make_node("MatMul", ["p", "W"], ["y"], "bands"),
    ]
    model = signal_model(nodes, told | ({} if axes else {"last": np.int64([-1])}), opset=opset)
    options = {"batch": [1], "sizes": {"n": 16000}}
    plan = scission.plan(model, force=True, **options)
    (frames,) = plan.preparations
    assert frames.kind == "frames" and frames.nodes == ("stft", "power", "bands")
    assert len(frames.bands) > 1 and sum(frames.bands) == 40
    split = scission.plan(model, force=True, factors=False, **options)
    (step,) = (step for step in split.steps if step.node == "bands")
    assert step.lowering != "dense" and step.components > 1 and step.decomposition.mac_share < 0.8
    trials = scission.Trials(sizes={"b": 1, "n": 16000}, provider="cpu")
    for number, one in enumerate((plan, split)):
        scission.apply(model, one, out := tmp_path / f"{number}.onnx")
        assert scission.check(model, out, trials=trials).equal
        assert "MelWeightMatrix" not in {node.op_type for node in onnx.load(out).graph.node}
