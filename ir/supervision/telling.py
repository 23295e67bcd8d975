"""What a supervised process tells the one that waits for it; nothing where nobody does, as in the library.

A command runs in a process of its own, so that nothing that a model does to it is the end of the command.

     supervised                                          supervisor
    running(…) ────► the board: what, since when    ◄──── looks now and then
    made(…), gone(…) ────► a pipe ──────────────────────► removes what is left
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import NamedTuple

from .board import Act, Board, Running

__all__ = ["gone", "grace", "is_supervised", "left", "limit", "made", "running", "serve", "stage"]

MADE, GONE, END = b"+", b"-", b"\0"  # of an entry in the pipe, which is a path between them


class _Line(NamedTuple):
    board: Board
    pipe: int


_line: _Line | None = None  # to whoever supervises this process


def serve(board: Board, pipe: int) -> None:
    """Tell on this board and in this pipe from now on, in a process that has just been forked."""
    global _line
    _line = _Line(board, pipe)


def is_supervised() -> bool:
    """Whether somebody waits for this process."""
    return _line is not None


@contextlib.contextmanager
def running(who: str, act: Act, model: str) -> Iterator[None]:
    """Tell for as long as the context lasts that a model is run or opened."""
    if _line is None:
        yield
        return
    _line.board.begin(Running(who, act, model))
    try:
        yield
    finally:
        _line.board.end()


def stage(path: tuple[str, ...]) -> None:
    """Tell which part of the work is done now, by the names of the parts that it belongs to."""
    if _line is not None:
        _line.board.stage = " / ".join(path)


def limit(seconds: float) -> None:
    """Ask to be ended when one run of a model takes longer."""
    if _line is not None:
        _line.board.limit = seconds


def grace(seconds: float) -> None:
    """Ask for so long to end by itself once this process is told to."""
    if _line is not None:
        _line.board.grace = seconds


def made(folder: str | os.PathLike[str]) -> None:
    """Tell of a folder that is to be removed when this process ends before it has done so itself."""
    _tell(MADE, folder)


def gone(folder: str | os.PathLike[str]) -> None:
    """Tell that a folder is removed."""
    _tell(GONE, folder)


def _tell(sign: bytes, folder: str | os.PathLike[str]) -> None:
    if _line is not None:
        with contextlib.suppress(OSError):  # a supervisor that is gone
            os.write(_line.pipe, sign + os.fsencode(folder) + END)


def left(told: bytes) -> list[str]:
    """The folders that were made and are not gone; an entry that was not finished counts for nothing.

    >>> left(b"+/tmp/a\\0+/tmp/b\\0-/tmp/a\\0+/tm")
    ['/tmp/b']
    """
    found: dict[bytes, None] = {}
    for entry in told.split(END)[:-1]:
        if entry[:1] == MADE:
            found[entry[1:]] = None
        else:
            found.pop(entry[1:], None)
    return [os.fsdecode(path) for path in found]
