"""A command of scission in a process of its own: how it ended, what it took, what it said."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Run:
    """How a command went: exit status (124 where the time was over), largest resident bytes, seconds on the wall."""

    status: int
    peak: int
    seconds: float
    out: str
    errors: str

    @property
    def last(self) -> str:
        """The last line on stderr."""
        return next(reversed(self.errors.strip().splitlines()), "")


def run(words: Sequence[str], timeout: int) -> Run:
    """Run `scission` with these words for so many seconds at most."""
    start = time.monotonic()
    with (
        tempfile.TemporaryFile("w+", errors="replace") as out,
        tempfile.TemporaryFile("w+", errors="replace") as errors,
    ):
        command = ["timeout", str(timeout), sys.executable, "-m", "scission", *words]
        child = subprocess.Popen(command, stdout=out, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)  # the usage of `timeout` includes that of its child
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        out.seek(0)
        errors.seek(0)
        return Run(
            status=child.returncode, peak=usage.ru_maxrss * 1024, seconds=seconds, out=out.read(), errors=errors.read()
        )
