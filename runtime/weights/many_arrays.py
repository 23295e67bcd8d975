"""A file of many arrays that is opened once for all that are read of it.

What such a file has inside is listed at one of its ends, and the list of a hundred thousand takes a second to read: it
is read once, and again only where another file is at the path by now, or where the process is a fork, since two share
the place in a file that one of them opened.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from ...ir.files.archive import PackedArrays, arrays_of
from ...ir.files.reading import WEIGHTS, open_file, path_of

__all__ = ["KeptOpen", "packed_arrays", "safetensors"]

Opened = TypeVar("Opened")


class KeptOpen(Generic[Opened]):
    """What a context gives for a path; the context is left when this goes, or when another file is there."""

    def __init__(self, path: Path, opening: Callable[[Path], AbstractContextManager[Opened]]) -> None:
        self._path, self._opening, self._stack = path, opening, ExitStack()
        self._held: tuple[tuple[int, ...], Opened] | None = None
        weakref.finalize(self, self._stack.close)

    def get(self) -> Opened:
        """What is open now. Raises what the context raises, and OSError where nothing is at the path."""
        about = self._path.stat()
        seen = (os.getpid(), about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
        if self._held is None or self._held[0] != seen:
            self._held = None
            self._stack.close()
            self._held = seen, self._stack.enter_context(self._opening(self._path))
        return self._held[1]


@contextmanager
def packed_arrays(path: Path) -> Iterator[PackedArrays]:
    """An open .npz file. Raises as `open_file` and `arrays_of` do."""
    with open_file(path, WEIGHTS) as file, arrays_of(file) as archive:
        yield archive


@contextmanager
def safetensors(path: Path) -> Iterator[Any]:
    """An open .safetensors file, for numpy. Raises as `open_file` does, and SafetensorError where it is none."""
    import ml_dtypes  # noqa: F401 - registers bfloat16 with numpy
    from safetensors import safe_open

    with open_file(path, WEIGHTS) as opened, safe_open(path_of(opened), framework="numpy") as file:
        yield file
