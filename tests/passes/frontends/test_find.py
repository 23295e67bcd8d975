"""Which products of frames are predicted to gain, and that nothing is looked at twice."""

import numpy as np
import pytest
from factored import fourier
from framed import conv_model, stft_model

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
