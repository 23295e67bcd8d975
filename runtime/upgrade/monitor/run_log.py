"""The log of a run: a line of JSON for each look, written whole, and continued where a killed run resumes."""

from __future__ import annotations

import os
from pathlib import Path

from ....ir.errors import option
from ....ir.findings.formation import Look, RunError
from .run_file import bytes_before, read_run

__all__ = ["RunLog"]


class RunLog:
    """A file to which looks are added, one line each in one write.

    resume: go on with the file that is there, if it is; otherwise there must be none. A line that a killed process left
    unfinished goes, and so do, when the first look is added, those at its step and later: the run resumed before them.
    Raises RunError for a file that is there, or is no log.
    """

    def __init__(self, path: str | os.PathLike[str], resume: bool = False) -> None:
        self.path = Path(path)
        self._first = True
        if self.path.exists():
            if not resume:
                raise RunError(f"{self.path}: exists; choose another name, or go on with ", option("resume", True))
            read_run(self.path)

    def add(self, look: Look) -> None:
        """Write a look; raises OSError where the system cannot."""
        if self._first:
            self._cut(look.step)
            self._first = False
        line = f"{look.to_line()}\n".encode()
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(f"{self.path}: there is no room for a line of the log")
        finally:
            os.close(descriptor)

    def _cut(self, step: int) -> None:
        """Leave the whole lines of looks before a step."""
        if self.path.exists():
            os.truncate(self.path, bytes_before(self.path, step))
