"""Files that are read: regular ones alone, no longer than their kind may be and no longer than what they hold.

A path says nothing of what will be found when it is opened: a pipe waits for ever, a device never ends, a link leads
elsewhere a moment later, and a file of a few bytes may be gigabytes long that were never written. So the file is opened
first, without waiting for anybody, and then its descriptor is asked what it is:

    stat ─► neither pipe, device, socket nor folder ─► open, without blocking ─► fstat: the same, and how long ─► read
    (so that opening does nothing to a device)          (the name may lead elsewhere by now)
"""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass
from io import BufferedReader

__all__ = [
    *(
        "CACHE",
        "DATA",
        "LENGTH",
        "LIBRARY",
        "MANIFEST",
        "MODEL",
        "PART",
        "PLAN",
        "PROFILE",
        "SAMPLES",
        "TABLE",
        "TIMES",
        "TRACE",
        "WEIGHTS",
        "WISHES",
    ),
    *("Kind", "UnreadableError", "open_file", "opened", "path_of", "read_bytes", "read_text", "require_regular"),
]

FORM = {  # what is no regular file
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# Times the bytes that a file holds it may be long, the rest being holes: those who copy files leave out pages of zeros,
# of which weights in blocks have many, but every row that is not zero holds a page, and few are longer than 256 pages.
HELD = 256
HOLES = 1 << 28  # bytes that any file may be long, whatever it holds of them
PIECES = 1 << 16  # pieces between holes that are looked at
BLOCK = 512  # bytes of what `st_blocks` counts
FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"))


@dataclass(frozen=True, slots=True)
class Kind:
    """What a file is read as.

    most: bytes that it may be long, None where what is in it says how much is kept of it; read: whether more of it is
    wanted than how long it is, for which holes do not matter.
    """

    called: str
    most: int | None = None
    read: bool = True


MODEL, DATA, WEIGHTS = Kind("a model"), Kind("the data of a model"), Kind("a file of weights")
LENGTH = Kind("a file", read=False)
SAMPLES = Kind("a file of samples")
TABLE = Kind("a matrix as text", 1 << 30)
PLAN = Kind("a plan", 1 << 28)
MANIFEST, PART = Kind("a manifest of parts", 1 << 28), Kind("a file of a part")
CACHE = Kind("a tuning cache", 1 << 26)
PROFILE = Kind("a profile", 1 << 30)
TRACE, TIMES = Kind("a trace of requests", 1 << 30), Kind("a file of service times", 1 << 28)
LIBRARY = Kind("a library", 1 << 32)
WISHES = Kind("a file about inputs", 1 << 24)


class UnreadableError(OSError):
    """A file that is not read, and why; like other errors of the system it says so in `strerror`, without the name."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EINVAL, why)

    def __str__(self) -> str:
        return self.strerror or ""


def open_file(path: str | os.PathLike[str], kind: Kind) -> BufferedReader:
    """A file, open to be read; raises UnreadableError for one that is not, OSError where the system refuses."""
    require_regular(os.stat(path))  # noqa: PTH116 - takes a descriptor's path as it is
    return opened(os.open(path, FLAGS), path, kind)


def opened(descriptor: int, path: str | os.PathLike[str], kind: Kind) -> BufferedReader:
    """The file behind a descriptor that was opened at a path; raises UnreadableError as `open_file` does."""
    try:
        found = os.fstat(descriptor)
        require_regular(found)
        if kind.most is not None and found.st_size > kind.most:
            raise UnreadableError(f"is {found.st_size} bytes long, and {kind.called} has {kind.most} at the most")
        held = _held(descriptor, found) if kind.read else found.st_size
        if found.st_size > max(HOLES, HELD * held):
            raise UnreadableError(
                f"is {found.st_size} bytes long and holds {held} of them, the rest are holes that nobody wrote"
            )
        return open(path, "rb", opener=lambda *_: descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | os.PathLike[str], kind: Kind) -> bytes:
    """All of a file; raises UnreadableError and OSError as `open_file` does."""
    with open_file(path, kind) as file:
        return file.read()


def read_text(path: str | os.PathLike[str], kind: Kind, encoding: str = "utf-8") -> str:
    """All of a file as text; raises UnreadableError and OSError as `open_file` does, and UnicodeDecodeError."""
    return read_bytes(path, kind).decode(encoding)


def path_of(file: BufferedReader) -> str:
    """A path at which a library that opens its files itself finds this very file, for as long as it is open.

    Where the system has no such paths it is the one that the file was opened by.
    """
    own = f"/proc/self/fd/{file.fileno()}"
    return own if os.path.exists(own) else os.fspath(file.name)  # noqa: PTH110 - no Path is wanted


def require_regular(found: os.stat_result) -> None:
    """Raise UnreadableError, saying what it is, for anything but a regular file."""
    if not stat.S_ISREG(found.st_mode):
        form = FORM.get(stat.S_IFMT(found.st_mode), "something else")
        raise UnreadableError(f"is not a regular file but {form}")


def _held(descriptor: int, found: os.stat_result) -> int:
    """Bytes of a file that were written, as far as the system tells.

    Blocks are counted first. A file system that compresses has fewer of them than there are bytes, and one over a
    network none: there the pieces between the holes are what was written.
    """
    blocks = getattr(found, "st_blocks", None)
    if blocks is None or not hasattr(os, "SEEK_HOLE") or found.st_size <= max(HOLES, HELD * BLOCK * blocks):
        return found.st_size
    written, end = 0, 0
    try:
        for _ in range(PIECES):
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            written += end - start
    except OSError as error:
        if error.errno != errno.ENXIO:  # no data behind the last piece
            return found.st_size
    finally:
        os.lseek(descriptor, 0, os.SEEK_SET)
    return written
