import io

import numpy as np
import pytest
from PIL import Image

from scission.runtime.render.html.png import png

PALETTE = [(10, 20, 30, 0), (200, 100, 50, 128), (1, 2, 3, 255)]


def test_another_reader_sees_the_same_colours():
    pixels = np.random.default_rng(0).integers(0, 3, (7, 5), np.uint8)
    with Image.open(io.BytesIO(png(pixels, PALETTE))) as image:
        assert image.size == (5, 7)
        assert (np.asarray(image.convert("RGBA")) == np.array(PALETTE)[pixels]).all()


@pytest.mark.parametrize(
    ("pixels", "palette"),
    [
        (np.zeros((0, 3), np.uint8), PALETTE),
        (np.zeros(3, np.uint8), PALETTE),
        (np.full((1, 1), 3, np.uint8), PALETTE),
        (np.zeros((1, 1), np.uint8), PALETTE * 86),
    ],
)
def test_what_is_no_picture_is_refused(pixels, palette):
    with pytest.raises(ValueError, match=r"picture|palette"):
        png(pixels, palette)
