"""Files of arrays that are read: what they unpack to is in proportion to them, and what is wrong is one error."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from .reading import HOLES, UnreadableError

__all__ = ["PackedArrays", "array_of", "arrays_of"]

PACKED = 100  # times its own bytes an archive may unpack to: deflate reaches 1,032 where all bytes are the same
HEADERS = {npy.magic(1, 0): npy.read_array_header_1_0, npy.magic(2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True, slots=True)
class PackedArrays:
    """The arrays of an open archive, each read when it is asked for."""

    archive: np.lib.npyio.NpzFile

    @property
    def files(self) -> list[str]:
        """Their names."""
        return list(self.archive.files)

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        """One of them. Raises ValueError where it is none, OSError, and MemoryError."""
        with _one_error():
            found = self.archive[name]
        if not isinstance(found, np.ndarray):  # a member of another kind comes as its bytes
            raise ValueError(f"{name!r} in it is no array")
        return found

    def form(self, name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
        """Shape and type of one of them by its header. Raises ValueError where it is none, OSError, and MemoryError."""
        assert self.archive.zip is not None, "it is open"
        inside = self.archive.zip
        with _one_error(), inside.open(name if name in inside.NameToInfo else f"{name}.npy") as member:
            start = member.read(npy.MAGIC_LEN)
            read = HEADERS.get(start)
            if read is not None:
                shape, _, dtype = read(member)
                if dtype.hasobject:
                    raise ValueError("Object arrays cannot be loaded when allow_pickle=False")  # as numpy says it
                return shape, dtype
        found = self[name]  # a header in another encoding, as names of fields may need it, or none
        return found.shape, found.dtype


@contextmanager
def arrays_of(file: BufferedReader) -> Iterator[PackedArrays]:
    """The arrays of an open .npz file.

    Raises UnreadableError where they unpack to far more than the file is long, ValueError for a file that is no such
    archive.
    """
    with _one_error():
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
        yield PackedArrays(archive)


def array_of(file: BufferedReader) -> npt.NDArray[Any]:
    """The array of an open .npy file. Raises ValueError where it is none, OSError, and MemoryError."""
    with _one_error():
        found = np.load(file, allow_pickle=False)
    if not isinstance(found, np.ndarray):
        found.close()
        raise ValueError("it is an archive, and not one array")
    return found


@contextmanager
def _one_error() -> Iterator[None]:
    """numpy lets out whatever its parsers of headers and archives raise: of zip, zlib, struct, tokenize, and Python."""
    try:
        yield
    except (OSError, MemoryError, ValueError):
        raise
    except Exception as error:
        raise ValueError(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__) from error
