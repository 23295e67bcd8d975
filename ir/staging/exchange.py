"""A complete folder takes the place of another: the two are swapped by one call, where the system has one.

     made ⇄ out

Elsewhere the old one is put beside it, and goes when the new one is there. Who is killed in between leaves the old one
under a name that can be seen, and none under the right one:

     out ──► out.before-1f3a…        made ──► out        out.before-1f3a… is removed
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
from pathlib import Path

__all__ = ["exchange"]

HERE = -100  # AT_FDCWD of Linux: paths are as everywhere else
SWAP = 2  # RENAME_EXCHANGE
UNABLE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EXDEV})  # the kernel, or this file system


def exchange(made: Path, target: Path) -> None:
    """Move a folder to a place on the same disk, over the folder there, if any; the old one is gone then, or where the
    folder was that took its place. The two swap or nothing happens.

    Raises OSError where the system refuses.
    """
    if not os.path.lexists(target):
        made.rename(target)
        return
    if _swapped(made, target):
        return
    aside = target.with_name(f"{target.name}.before-{os.urandom(4).hex()}")
    target.rename(aside)
    try:
        made.rename(target)
    except BaseException:
        if not os.path.lexists(target):
            aside.rename(target)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _swapped(one: Path, other: Path) -> bool:
    """Whether two folders have each other's place now, in one step, which not every system can do. Raises OSError."""
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if call is None:
        return False
    if call(HERE, os.fsencode(one), HERE, os.fsencode(other), SWAP) == 0:
        return True
    number = ctypes.get_errno()
    if number in UNABLE:
        return False
    raise OSError(number, os.strerror(number), os.fspath(other))
