"""Activations for tests, and what recorders make of them."""

import numpy as np
from hypothesis import strategies as st

from scission.passes.anneal.activity.recorder import Recorder


@st.composite
def samples(draw, features: int, rows: int | None = None):
    """Sparse activations, some features never active."""
    M = rows if rows is not None else draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.08, 0.2, 0.5, 1.0]))
    return rng.standard_normal((M, features)) * (rng.random((M, features)) < density)


@st.composite
def observations(draw):
    K, N, M = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(1, 12))
    return draw(samples(K, M)), draw(samples(N, M)), draw(st.integers(1, 12))


def observed(x, y=None, step=None, shape=None, **options):
    recorder = Recorder(shape or (x.shape[1], y.shape[1] if y is not None else 1), **options)
    for start in range(0, len(x), step or len(x)):
        part = slice(start, start + (step or len(x)))
        recorder.update(x[part], None if y is None else y[part])
    return recorder.activity()
