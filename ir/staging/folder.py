"""Temporary folders that are gone when their context ends, however the process ends.

A folder is locked for as long as its process lives, by a lock that the kernel drops with it: what is not locked was
left by one that was killed, and the next that makes a folder there removes it. Age says nothing: work may take days.
Names hold a number for the machine and one for the kernel since it runs, so that folders on a shared disk are left to
those who see the lock, and so that a folder in what a stranger handed over is none that was left here:

     scission-another-KERNEL-…   another container, whose locks this kernel has as well
     scission-MACHINE-another-…  left before a restart; looked at only on a local disk, as machines may be copies
     scission-another-another-…  of another machine: stays

Where those numbers can be guessed a folder is removed, and no journal in it is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..supervision.telling import gone, made
from .place import go_back

try:
    import fcntl
except ImportError:  # where there is no fork either
    fcntl = None  # type: ignore[assignment]

__all__ = ["remove", "sweep", "temporary_folder"]

ATTEMPTS = 100  # at a folder that nobody takes for a stale one before it is locked
BOOT = Path("/proc/sys/kernel/random/boot_id")  # of the kernel since it runs
IDENTITY = Path("/etc/machine-id")  # of the system that is installed
LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "jfs", "bcachefs", "overlay", "tmpfs"})
HEX = "[0-9a-f]"


def _told(path: Path) -> bytes:
    """What the system says of itself, nothing where it does not."""
    try:
        return path.read_bytes().strip()
    except OSError:
        return b""


def _number(identity: bytes) -> str:
    """A number that does not tell what it was made of: identities of machines are to be kept."""
    return hashlib.sha256(b"scission:" + identity).hexdigest()[:8]


def _machine(identity: bytes, name: str, booted: bytes) -> str:
    """The number of a machine, which holds after a restart where the system has an identity: copies keep that, so their
    names count as well."""
    known = re.fullmatch(rb"[0-9a-f]{32}", identity) is not None and identity.strip(b"0") != b""
    return _number((identity if known else booted) + b":" + name.encode("utf-8", "surrogateescape"))


BOOTED = _told(BOOT)
MACHINE = _machine(_told(IDENTITY), platform.node(), BOOTED)
KERNEL = _number(BOOTED)  # what those have in common who see each other's locks
PREFIX = f"scission-{MACHINE}-{KERNEL}-"
OF_KERNEL = re.compile(rf"\.?scission-{f'{HEX}{{8}}' if BOOTED else MACHINE}-{KERNEL}-{HEX}{{12}}")
NAME = re.compile(rf"{OF_KERNEL.pattern}|\.?scission-{MACHINE}-{HEX}{{8}}-{HEX}{{12}}")

_swept: set[str] = set()  # places that were swept by this process


@contextlib.contextmanager
def temporary_folder(beside: Path | None = None) -> Iterator[Path]:
    """A new folder for as long as the context lasts: hidden beside a file, from where it can be moved there, or in the
    folder of the system.

    Raises OSError where none can be made.
    """
    place = tempfile.gettempdir() if beside is None else os.fspath(beside.absolute().parent)
    if place not in _swept:
        _swept.add(place)
        sweep(place)
    folder, lock = _make(place, PREFIX if beside is None else f".{PREFIX}")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        gone(folder)
        if lock is not None:
            os.close(lock)


def sweep(place: str) -> None:
    """Remove what killed processes left in a folder; what cannot be looked at stays."""
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        for stale in [entry.path for entry in entries if NAME.fullmatch(entry.name)]:
            remove(stale)


def remove(folder: str) -> None:
    """Remove a temporary folder of this user, and what was placed of files that are not all in their places, unless the
    process lives that made it, or a journal is in it that no process of this program wrote."""
    if fcntl is None:
        return
    with contextlib.suppress(OSError):
        lock = _locked(folder)
        try:
            own = os.fstat(lock).st_uid == os.geteuid()
            if own and _decides(lock, folder) and (not BOOTED or go_back(_through(lock, folder), NAME)):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _decides(handle: int, folder: str) -> bool:
    """Whether nobody lives in a folder whose lock could be had here, which is open."""
    return OF_KERNEL.fullmatch(os.path.basename(folder)) is not None or _file_system(handle) in LOCAL  # noqa: PTH119


def _file_system(handle: int) -> str:
    """The kind of the file system that an open file lies on, nothing where nobody tells."""
    told = Path(f"/proc/self/fdinfo/{handle}").read_text(encoding="ascii").split()
    mount = told[told.index("mnt_id:") + 1]
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        fields = line.split(" ")  # 36 35 98:0 / /place options [more …] - ext4 …
        if fields[0] == mount:
            return fields[fields.index("-") + 1]
    return ""


def _through(handle: int, folder: str) -> Path:
    """A folder that is open by a path that leads to no other one, where there is one: a shared place may be changed."""
    path = Path(f"/proc/self/fd/{handle}")
    return path if path.is_dir() else Path(folder)


def _make(place: str, prefix: str) -> tuple[str, int | None]:
    """A folder and its lock, None where the file system has none: then nobody takes it for a stale one either."""
    for _ in range(ATTEMPTS):
        folder = os.path.join(place, prefix + os.urandom(6).hex())  # noqa: PTH118 - bytes of names stay what they are
        made(folder)
        try:
            os.mkdir(folder, 0o700)  # noqa: PTH102
        except OSError:
            gone(folder)
            raise
        try:
            return folder, None if fcntl is None else _locked(folder)
        except (BlockingIOError, FileNotFoundError):  # taken for a stale one in between
            gone(folder)
        except OSError:
            return folder, None
    raise OSError(f"no temporary folder can be made in {place}")


def _locked(folder: str) -> int:
    """The handle of a folder, which locks it until it is closed.

    Raises BlockingIOError where somebody else does, FileNotFoundError where it is gone, OSError where there are no
    locks.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(handle), os.stat(folder, follow_symlinks=False)):  # noqa: PTH116
            raise FileNotFoundError(folder)
    except OSError:
        os.close(handle)
        raise
    return handle
