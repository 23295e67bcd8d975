import io

import numpy as np
import pytest
from PIL import Image

from scission.ir.plan.decomposition import Block, Decomposition
from scission.passes.connectivity.edges import relate
from scission.runtime.render.html.thumbnail import as_stored, grouped, magnitudes

RNG = np.random.default_rng(0)


def seen(pattern):
    with Image.open(io.BytesIO(pattern.png)) as image:
        return np.asarray(image.convert("RGBA")).astype(int)


def test_a_small_weight_is_drawn_entry_by_entry():
    W = RNG.random((5, 7)) < 0.4
    pattern = as_stored(relate(W.T))
    assert ((seen(pattern)[..., 3] > 0) == W.T).all() and pattern.extent == (5, 7)


@pytest.mark.parametrize("size", [(1500, 700), (513, 2)])
def test_no_edge_is_lost_in_a_large_one(size):
    W = np.zeros(size)
    places = RNG.integers(0, size, (20, 2))
    W[tuple(places.T)] = 1
    pattern = as_stored(relate(W.T))
    pixels = seen(pattern)[..., 3]
    across, down = pattern.extent[0] // pixels.shape[1], pattern.extent[1] // pixels.shape[0]
    for k, n in places:
        assert pixels[n // down, k // across]
    assert (pixels > 0).sum() <= len(places) and max(pixels.shape) <= 512


def test_groups_are_framed_and_lie_on_the_diagonal():
    blocks = [Block(np.sort(k), np.sort(n)) for k, n in zip(*(np.split(RNG.permutation(12), 3),) * 2, strict=True)]
    whole = Decomposition((12, 12), tuple(blocks))
    pattern = grouped(relate(whole.inside().T), whole)
    assert pattern.frames == tuple((at, at, 4, 4) for at in (0, 4, 8))
    assert ((seen(pattern)[..., 3] == 255) == np.kron(np.eye(3, dtype=bool), np.ones((4, 4), bool))).all()


def test_residual_entries_have_the_colour_of_residual_entries():
    whole = Decomposition((4, 4), (Block([0, 1], [0, 1]), Block([2, 3], [2, 3])), residual=((0, 3),))
    pixels = seen(grouped(relate(whole.inside().T), whole))
    assert pixels[3, 0].tolist() == [0xE6, 0x9F, 0x00, 255] and pixels[0, 0].tolist() == [0x00, 0x72, 0xB2, 255]


def test_larger_magnitudes_are_darker_and_what_is_no_number_is_left_out():
    W = np.ones((300, 200), np.float32)
    W[:150] = 0.1
    W[0, 0] = np.nan
    pixels = seen(magnitudes(W))[..., 3]
    assert pixels.shape[0] <= 128 and pixels[-1, 0] < pixels[-1, -1] == 255 and pixels[0, 0] == 0
