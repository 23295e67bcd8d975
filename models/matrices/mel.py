"""The mel filter bank: a matrix whose outputs read short runs of Fourier bins, shared with their neighbours."""

from __future__ import annotations

import numpy as np
import onnx

from ..matrix import Array
from ..sketch import Sketch

__all__ = ["build", "filters"]


def filters(bins: int = 201, bands: int = 80, rate: float = 16000) -> Array:
    """Triangular filters (bins, bands) of peak 1 over the bins of a Fourier transform, from 0 Hz to half of `rate`.

    Their corners are equally far apart in mel, 2595 log10(1 + f / 700), and each reaches from the peak of one neighbour
    to that of the other. Where bins are further apart than the filters are wide, some bands read no bin. Raises
    ValueError for less than two bins or one band. Source: Young et al., The HTK Book, section 5.4.

    >>> W = filters()
    >>> W.shape, int(np.count_nonzero(W)), int((W != 0).sum(1).max())
    ((201, 80), 392, 2)
    """
    if bins < 2 or bands < 1:
        raise ValueError(f"a filter bank has two bins and one band or more, not {bins} and {bands}")
    highest = 2595 * np.log10(1 + rate / 2 / 700)
    corners = 700 * (10 ** (np.linspace(0, highest, bands + 2) / 2595) - 1)
    corners[-1] = rate / 2  # else rounding would decide whether the last bin is read
    low, peak, high = corners[:-2], corners[1:-1], corners[2:]
    f = np.linspace(0, rate / 2, bins)[:, None]
    triangles = np.minimum((f - low) / (peak - low), (high - f) / (high - peak))
    W: Array = np.maximum(0, triangles).astype(np.float32)
    return W


def build(bins: int = 201, bands: int = 80, rate: float = 16000) -> onnx.ModelProto:
    """One MatMul "mel": spectra (frames, bins) times `filters` to energies (frames, bands)."""
    sketch = Sketch(np.random.default_rng(0))
    spectra = sketch.input("spectra", ["frames", bins])
    energies = sketch.op("MatMul", spectra, sketch.constant(filters(bins, bands, rate), "filters"), name="mel")
    sketch.output(energies, shape=["frames", bands], name="energies")
    return sketch.model()
