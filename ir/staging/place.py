"""Complete files are moved into their places: all of them or none, and over nothing that may not be replaced.

A file gets its place as a second name, so that of two processes one has it, and until the folder in which it was staged
is removed the two names show what was placed. What is replaced is put aside before:

     staged ──link──► place                    place ──link──► aside

Who finds a folder that a killed process staged files in goes back by the journal in it, unless the last of them is in
its place: then all are. Anybody may have written a journal, so none is followed to a file that is not beside its
folder. Where the file system has no second names files are moved, and nobody can tell afterwards.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..files.reading import Kind, read_bytes

__all__ = ["Move", "as_before", "go_back", "place"]

JOURNAL, ASIDE, SECOND = ".scission-journal", ".scission-aside", ".scission-second"  # beside what is staged

MOVES = Kind("a journal", 1 << 20)


class Move(NamedTuple):
    """A file that is complete, and where it is to be."""

    staged: Path
    target: Path


def place(moves: Sequence[Move], folder: Path, overwrite: bool) -> None:
    """Make the moves in this order: all, or none where one fails; folder: a temporary one in which they are noted.

    Raises FileExistsError for a target that is there already where `overwrite` is false, OSError where the system
    refuses; either names the target.
    """
    if len(moves) > 1:
        (folder / JOURNAL).write_text(json.dumps([_noted(move, folder) for move in moves]), encoding="ascii")
    begun: list[tuple[Move, Path]] = []
    try:
        for move in moves if overwrite else ():
            as_before(*move)
        for index, move in enumerate(moves):
            aside = folder / f"{ASIDE}.{index}"
            if not overwrite:
                _put(move)
                begun.append((move, aside))
                continue
            begun.append((move, aside))
            if len(moves) > 1:
                _put_aside(move.target, aside)
            _replace(move, folder / SECOND)
    except BaseException as error:
        for done, aside in reversed(begun):
            _undo(done, aside, moved=not done.staged.exists())
        if isinstance(error, OSError):
            raise OSError(error.errno, error.strerror, os.fspath(move.target)) from None
        raise


def as_before(staged: Path, target: Path) -> None:
    """Give a file that is staged the mode, and as far as this user may the owner, of the file that it replaces.

    Raises OSError.
    """
    try:
        before = target.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISREG(before.st_mode):
        return
    for owner, group in ((before.st_uid, -1), (-1, before.st_gid)) if hasattr(os, "chown") else ():
        with contextlib.suppress(PermissionError):
            os.chown(staged, owner, group)
    staged.chmod(before.st_mode & 0o777)


def _noted(move: Move, folder: Path) -> tuple[str, str]:
    """A move for the journal: what is staged beside it by its name there, all else from the root."""
    inside = move.staged.is_relative_to(folder)
    staged = move.staged.relative_to(folder) if inside else move.staged.absolute()
    return os.fspath(staged), os.fspath(move.target.absolute())


def go_back(folder: Path, ours: re.Pattern[str]) -> bool:
    """Undo the moves that a killed process noted in its folder, unless it made all of them; ours: what temporary
    folders are called. False where the journal is none that this program wrote: then nothing is done."""
    try:
        noted = json.loads(read_bytes(folder / JOURNAL, MOVES))
        moves = [Move(folder / staged, Path(target)) for staged, target in noted]
    except (OSError, ValueError, TypeError):  # there is none, or it was killed before the first move
        return True
    asides = [folder / f"{ASIDE}.{index}" for index in range(len(moves))]
    if not all(_is_own(move, folder, ours) for move in moves) or not all(map(_is_regular_or_none, asides)):
        return False
    if not moves or not moves[-1].staged.exists() or _is_placed(moves[-1]):
        return True
    for move, aside in reversed([*zip(moves, asides, strict=True)]):
        _undo(move, aside, moved=False)
    return True


def _is_own(move: Move, folder: Path, ours: re.Pattern[str]) -> bool:
    """Whether a file was staged in a folder, or in another temporary one, and its place is beside that folder.

    Whoever wrote the journal can then reach no files but those beside a folder that is only this user's.
    """
    #     there/.scission-…/o.data  ──►  there/o.data          never  ──►  there/.scission-…/o.data, elsewhere/o.data
    own = move.staged.parent
    if own != folder and not ours.fullmatch(own.name):
        return False
    if not {move.staged.name, move.target.name}.isdisjoint({"", ".", ".."}) or not move.target.is_absolute():
        return False
    try:
        if own != folder and not stat.S_ISDIR(own.lstat().st_mode):
            return False
        about, beside = own.stat(), (own / "..").stat()
        private = not hasattr(os, "geteuid") or (about.st_uid == os.geteuid() and stat.S_IMODE(about.st_mode) == 0o700)
        return private and os.path.samestat(beside, move.target.parent.stat()) and _is_regular_or_none(move.staged)
    except OSError:
        return False


def _is_regular_or_none(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except FileNotFoundError:
        return True


def _put(move: Move) -> None:
    """A file in a place where there is none; raises FileExistsError where there is one."""
    try:
        os.link(move.staged, move.target)
    except FileExistsError:
        raise
    except OSError:  # no second names here: the place is taken first
        os.close(os.open(move.target, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        try:
            os.replace(move.staged, move.target)  # noqa: PTH105
        except BaseException:
            move.target.unlink()
            raise


def _replace(move: Move, second: Path) -> None:
    """A file in a place, whatever is there."""
    try:
        os.link(move.staged, second)
    except OSError:
        second = move.staged
    os.replace(second, move.target)  # noqa: PTH105 - over what is there on every system


def _put_aside(target: Path, aside: Path) -> None:
    """A second name of what is in a place, by which it can be put back; it stands there until it is replaced."""
    with contextlib.suppress(FileNotFoundError):
        try:
            os.link(target, aside, follow_symlinks=False)
        except FileNotFoundError:
            raise
        except (OSError, NotImplementedError):
            os.replace(target, aside)  # noqa: PTH105


def _is_placed(move: Move) -> bool:
    """Whether the file in a place is the one that was staged."""
    try:
        return move.target.samefile(move.staged)
    except OSError:
        return False


def _undo(move: Move, aside: Path, moved: bool) -> None:
    """What was in a place before, or nothing; what somebody else has put there since stays.

    moved: whether the file is known to be in its place though it has no second name.
    """
    with contextlib.suppress(OSError):
        placed = moved or _is_placed(move)
        if os.path.lexists(aside):
            if placed or not os.path.lexists(move.target):
                os.replace(aside, move.target)  # noqa: PTH105
        elif placed:
            move.target.unlink()
