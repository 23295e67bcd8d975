"""Files that lie inside of folders: opened so that no link leads out of them, not even one that is changed meanwhile.

Where a path leads is asked first, every link followed, and must be inside. Then what was found is opened by that path,
in which there is no link: one that is there by now has been put there since, and is not followed.

    m.onnx.data ─► resolve ─► /home/u/blobs/1f ─► inside of a folder that may be? ─► / ▸ home ▸ u ▸ blobs ▸ 1f
                                                                                     (one step at a time, no links)

A hard link is a file like any other: it has no other place that it could lead to, package managers and the caches of
hubs make them, and systems let only those make them who may write to the file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

from .reading import FLAGS, Kind, UnreadableError, open_file, opened, require_regular

__all__ = ["OutsideError", "open_real", "place_inside", "real_path"]

BY_STEPS = hasattr(os, "O_PATH") and os.open in os.supports_dir_fd
STEP = sum(getattr(os, name, 0) for name in ("O_PATH", "O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC"))
LINKED = "became a link while it was read"


class OutsideError(UnreadableError):
    """A file that lies outside of the folders that it may lie in."""

    def __init__(self) -> None:
        super().__init__("lies outside of the folder that it may lie in")


def real_path(path: Path, strict: bool = False) -> Path:
    """Where a path leads, every link followed; raises UnreadableError where they form a loop, OSError."""
    try:
        return path.resolve(strict)
    except RuntimeError:  # before Python 3.13
        raise UnreadableError("is a loop of links") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnreadableError("is a loop of links") from None
        raise


def place_inside(path: Path, folders: Sequence[Path]) -> Path:
    """Where a path leads, every link followed; folders: as they really are, with no link in their paths.

    Raises OutsideError where that is in none of them or below, OSError where it leads nowhere.
    """
    real = real_path(path, strict=True)
    if not any(real.is_relative_to(folder) for folder in folders):
        raise OutsideError
    return real


def open_real(path: Path, kind: Kind) -> BufferedReader:
    """The file at a path that `resolve` gave, open to be read; raises UnreadableError where a link is on it by now."""
    if BY_STEPS:
        return _by_steps(path, kind)
    file = open_file(path, kind)
    try:  # the system opens by whole paths alone: what was opened must be what is there without a link
        if path.resolve() != path or not os.path.samestat(os.fstat(file.fileno()), path.lstat()):
            raise UnreadableError(LINKED)
    except BaseException:
        file.close()
        raise
    return file


def _by_steps(path: Path, kind: Kind) -> BufferedReader:
    folder = os.open(path.anchor, STEP)
    try:
        for name in path.parts[1:-1]:
            inner = _step(name, STEP, folder)
            os.close(folder)
            folder = inner
        name = path.name or "."
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(found.st_mode):
            raise UnreadableError(LINKED)
        require_regular(found)  # before it is opened, which does something to others
        return opened(_step(name, FLAGS | os.O_NOFOLLOW, folder), path, kind)
    finally:
        os.close(folder)


def _step(name: str, flags: int, folder: int) -> int:
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError:
        if stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            raise UnreadableError(LINKED) from None
        raise
