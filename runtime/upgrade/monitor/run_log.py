"""The log of a run: a line of JSON for each look, written whole, and continued where a killed run resumes."""

from __future__ import annotations

import os
import weakref
from pathlib import Path

from ....ir.errors import option
from ....ir.findings.formation import Look, RunError
from .run_file import Mark, marks

try:
    import fcntl
except ImportError:  # where there are no such locks
    fcntl = None  # type: ignore[assignment]

__all__ = ["RunLog"]

APPEND = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)


class RunLog:
    """A file to which looks are added, one line each in one write; nobody else adds any until it is closed.

    resume: go on with the file that is there, if it is; otherwise there must be none with a look in it. A line that a
    killed process left unfinished goes. Looks that are there stay, unless `resume_after` says that the run goes back
    behind them. Raises RunError for a file that is there, is no log, is written by another, or cannot be.
    """

    def __init__(self, path: str | os.PathLike[str], resume: bool = False) -> None:
        self.path, self._resume = Path(path), resume
        self._handle: int | None = None
        self._marks: list[Mark] = []
        self._after: int | None = None
        self.own = False  # whether the last look is of this run
        self._take()

    @property
    def last(self) -> int:
        """The step of the last look that stays, -1 where there is none."""
        return max((mark.step for mark in self._marks if self._stays(mark)), default=-1)

    @property
    def first(self) -> int:
        """The step of the first look, -1 where there is none."""
        return self._marks[0].step if self._marks else -1

    def resume_after(self, step: int) -> None:
        """The run goes on behind this step: looks at later ones go when the next is added."""
        self._after, self.own = step, True

    def add(self, look: Look) -> None:
        """Write a look, in the place of the last one where that is at the same step.

        Raises RunError for a step before that of the last look, and where the system cannot write.
        """
        self.refresh()
        self.require(look.step)
        kept = [mark for mark in self._marks if self._stays(mark) and mark.step < look.step]
        start = kept[-1].end if kept else 0
        line = f"{look.to_line()}\n".encode()
        try:
            _write(self._handle, start, line)
        except OSError as error:
            raise RunError(f"{self.path}: {error.strerror or error}; the log needs a place to grow") from None
        self._marks = [*kept, Mark(look.step, start + len(line))]
        self._after, self.own = None, True

    def refresh(self) -> bool:
        """Take the file back where it was closed or removed; whether it holds other looks than before."""
        before = self._marks
        if self._handle is None or self._gone(self._handle):
            self._take()
        return before != self._marks

    def require(self, step: int) -> None:
        """Raise RunError unless a look at this step can be added."""
        if step < self.last or (step == self.last and not self.own):
            raise RunError(
                f"{self.path}: has looks up to step {self.last}, and this run is at step {step}; load the state of the "
                "monitor that wrote them, or choose another name"
            )

    def close(self) -> None:
        """Let others write; a look that is added later takes the file back."""
        if self._handle is not None:
            self._close()
            self._handle = None

    def _stays(self, mark: Mark) -> bool:
        return self._after is None or mark.step <= self._after

    def _take(self) -> None:
        """Open and lock the file, and see what is in it."""
        self.close()
        try:
            handle = os.open(self.path, APPEND, 0o666)
        except OSError as error:
            told = f"{error.strerror}; choose another name"
            told = told if self.path.parent.is_dir() else "its folder is not there; make that first"
            raise RunError(f"{self.path}: {told}") from None
        self._handle, self._close = handle, weakref.finalize(self, os.close, handle)
        try:
            self._require_alone(handle)
            if os.fstat(handle).st_size and not (self._resume or self._marks):
                raise RunError(f"{self.path}: exists; choose another name, or go on with ", option("resume", True))
            found = marks(self.path)
        except RunError:
            self.close()
            raise
        self.own = self.own and found == self._marks
        self._marks = found

    def _require_alone(self, handle: int) -> None:
        """Lock the file until it is closed, where its system has locks."""
        if fcntl is None:
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"{self.path}: another monitor writes it; close that, and of several processes give a log to one"
            ) from None
        except OSError:
            return

    def _gone(self, handle: int) -> bool:
        """Whether the path leads to another file by now, or to none."""
        try:
            return not os.path.samestat(os.fstat(handle), self.path.stat())
        except OSError:
            return True


def _write(handle: int | None, start: int, line: bytes) -> None:
    """Let a file end with this line, which begins at `start`."""
    assert handle is not None
    if os.fstat(handle).st_size != start:
        os.ftruncate(handle, start)
    if os.write(handle, line) < len(line):
        os.ftruncate(handle, start)
        raise OSError("there is no room for a line")
