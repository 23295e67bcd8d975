"""Archives of arrays that are read: what they unpack to is in proportion to what they are."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader

import numpy as np

from .reading import HOLES, UnreadableError

__all__ = ["arrays_of"]

PACKED = 100  # times its own bytes an archive may unpack to: deflate reaches 1,032 where all bytes are the same


@contextmanager
def arrays_of(file: BufferedReader) -> Iterator[np.lib.npyio.NpzFile]:
    """The arrays of an open .npz file, by name and each read when it is asked for.

    Raises UnreadableError where they unpack to far more than the file is long, and whatever numpy raises for a file
    that is no such archive, ValueError among it.
    """
    archive = np.load(file, allow_pickle=False)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError("it is no archive of arrays")
    with archive:
        assert archive.zip is not None, "it is open"
        size, whole = os.fstat(file.fileno()).st_size, sum(one.file_size for one in archive.zip.infolist())
        if whole > max(HOLES, PACKED * size):
            raise UnreadableError(
                f"is {size} bytes long and unpacks to {whole}; write it with numpy.savez, which packs nothing"
            )
        yield archive
