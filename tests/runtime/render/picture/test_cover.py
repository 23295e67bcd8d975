import io

import numpy as np
import pytest
from picture_examples import texts

from scission.models.matrices import glued, mel, toeplitz
from scission.runtime.render.picture.cover import cover_picture
from scission.runtime.weights.cover_study import cover, cover_of
from scission.runtime.weights.source import from_array

pytest.importorskip("matplotlib")
from matplotlib.image import imread

rng = np.random.default_rng(0)
SUBSETS = np.repeat(rng.random((200, 8)) < 0.25, 24, axis=1)
WEIGHTS = {
    "windows": mel.filters(201, 80),
    "a shuffled band": toeplitz.weight(rng, 128, 3, shuffle=True),
    "residual": glued.build(rng, 8, 64, inputs=0, residual=60).W,
    "a dense output": glued.build(rng, 4, 128, inputs=1, outputs=1, residual=0).W,
    "subsets": SUBSETS,
    "subsets, split_k": SUBSETS.T,
    "squares": np.kron(np.eye(3), np.ones((8, 6))),
    "dense": np.ones((1, 70)),
    "nothing": np.zeros((3, 1)),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_every_weight_can_be_drawn(name):
    found = cover_of(from_array(WEIGHTS[name], name), threads=1)
    pixels = imread(io.BytesIO(cover_picture(found)), format="png")
    assert min(pixels.shape[:2]) > 500 and pixels.std() > 0
    words = texts(cover_picture(found, "svg"))
    K, N = found.shape
    assert name in words and "as stored" in words and any(f"{K:,} inputs · {N:,} outputs" in word for word in words)
    assert ("group 0" in words) is (found.best is not None)
    assert ("residual entry, computed apart" in words) is bool(found.best and found.best.decomposition.residual)
    assert any(word.startswith("shared ") for word in words) is bool(
        found.best and found.best.decomposition.shared.size
    )


def test_large_weights_are_pooled_and_the_same_weight_gives_the_same_bytes():
    found = cover(np.kron(np.eye(8, dtype=np.float32), np.ones((200, 150), np.float32)), threads=1)
    first, second = cover_picture(found, "svg"), cover_picture(found, "svg")
    assert first == second and len(first) < 200_000
