"""PNG files of few colours: what small pictures in a page are made of, without any library for drawing."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["Colour", "png"]

Colour = tuple[int, int, int, int]  # red, green, blue, opacity, 0 to 255 each
MOST = 256  # colours of a palette


def png(pixels: npt.NDArray[np.uint8], palette: Sequence[Colour]) -> bytes:
    """A picture (height, width) whose pixels are numbers of colours; the same pixels give the same bytes with one zlib.

    Raises ValueError when there are no pixels, too many colours, or pixels without one. Source: PNG specification,
    third edition, section 11 (colour type 3).

    >>> png(np.zeros((2, 3), np.uint8), [(255, 0, 0, 255)])[1:4]
    b'PNG'
    """
    if pixels.ndim != 2 or not pixels.size:
        raise ValueError(f"pixels of shape {pixels.shape} are no picture")
    if len(palette) > MOST or int(pixels.max()) >= len(palette):
        raise ValueError(f"a palette of {len(palette)} colours, of which colour {int(pixels.max())} is used")
    height, width = pixels.shape
    lines = np.zeros((height, width + 1), np.uint8)  # each line begins with its filter, which is none
    lines[:, 1:] = pixels
    colours = np.array(palette, np.uint8)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", colours[:, :3].tobytes()),
            _chunk(b"tRNS", colours[:, 3].tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        ]
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
