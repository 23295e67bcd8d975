"""Which operators multiply frames of a signal by a constant, and by which."""

import numpy as np
import pytest
from factored import fourier
from framed import conv_model, signal_model, stft_model
from onnx import helper

from scission.ir.io.load import load
from scission.passes.frontends.find import seen


def products(model):
    return [one.product for one in seen(load(model).graph)[3]]


def test_a_transform_and_its_convolution_have_the_same_weight():
    window = np.hanning(65)[:-1].astype(np.float32)
    (one,) = products(stft_model(window, 16))
    (other,) = products(conv_model(fourier(64, window=window), 16, pads=(3, 5)))
    np.testing.assert_allclose(one.weight, other.weight, atol=1e-6)
    assert (one.hop, one.pads, other.hop, other.pads) == (16, (0, 0), 16, (3, 5))
    assert one.frames(lambda _: (2, 100)) == (2, 3) and other.frames(lambda _: (2, 1, 100)) == (2, 3)


@pytest.mark.parametrize(
    "attributes", [{"group": 2}, {"dilations": [2]}, {"auto_pad": "SAME_UPPER"}, {"pads": [-1, 0]}], ids=str
)
def test_other_convolutions_are_none(attributes):
    channels = attributes.get("group", 1)
    node = helper.make_node("Conv", ["x", "W"], ["y"], **attributes)
    model = signal_model([node], {"W": np.ones((4, 1, 8), np.float32)}, x=("b", channels, "n"))
    assert products(model) == []
    assert len(products(conv_model(fourier(64), 16))) == 1


def test_a_weight_that_is_computed_is_none():
    node = helper.make_node("Conv", ["x", "x"], ["y"])
    assert products(signal_model([node], {}, x=(1, 1, "n"))) == []
