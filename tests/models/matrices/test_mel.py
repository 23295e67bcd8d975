import math

import numpy as np
import onnx
import pytest
from oracles import run

from scission.models.matrices.mel import build, filters


def hertz(mel):
    return 700 * (10 ** (mel / 2595) - 1)


@pytest.mark.parametrize(("bins", "bands"), [(201, 80), (513, 128)])
def test_it_is_the_definition_bin_by_bin(bins, bands):
    step = 2595 * math.log10(1 + 8000 / 700) / (bands + 1)
    W = filters(bins, bands)
    assert W.dtype == np.float32 and W.shape == (bins, bands)
    for band in range(bands):
        low, peak, high = (hertz(step * (band + corner)) for corner in range(3))
        for k in range(bins):
            f = 8000 * k / (bins - 1)
            expected = max(0, (f - low) / (peak - low) if f <= peak else (high - f) / (high - peak))
            assert abs(W[k, band] - expected) < 1e-6
            assert (W[k, band] != 0) == (expected > 1e-12)


def test_it_is_that_of_transformers():
    others = pytest.importorskip("transformers.audio_utils").mel_filter_bank
    expected = others(201, 80, 0.0, 8000.0, 16000, norm=None, mel_scale="htk")
    np.testing.assert_allclose(filters(), expected, rtol=0, atol=1e-7)


def test_each_band_reads_a_run_of_bins_and_each_bin_is_in_two_bands_at_most():
    reads = filters(513, 128) != 0
    assert reads.any(0).all() and reads.sum(1).max() == 2
    for band in reads.T:
        assert (np.diff(np.flatnonzero(band)) == 1).all()


def test_other_rates_move_the_bins():
    assert (filters(rate=8000) != filters()).any()
    np.testing.assert_allclose(filters(5, 1, rate=2000).max(), 1, atol=0.5)


def test_the_model_is_one_product():
    model = build(33, 8)
    onnx.checker.check_model(model, full_check=True)
    spectra = np.random.default_rng(0).random((5, 33), np.float32)
    np.testing.assert_allclose(run(model, {"spectra": spectra})[0], spectra @ filters(33, 8), rtol=1e-6)
    assert [node.name for node in model.graph.node] == ["mel"]


@pytest.mark.parametrize("size", [(1, 4), (4, 0)])
def test_too_small_a_bank_is_refused(size):
    with pytest.raises(ValueError, match="two bins and one band"):
        filters(*size)
