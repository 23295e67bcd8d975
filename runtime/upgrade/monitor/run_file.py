"""The log of a run, read."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import NamedTuple

from ....ir.files.reading import Kind, read_bytes
from ....ir.findings.formation import Formation, RunError

__all__ = ["Mark", "marks", "read_run"]

RUN = Kind("the log of a run", 1 << 30)


def read_run(path: str | os.PathLike[str]) -> Formation:
    """The looks of a log, but for a last line without an end, which is being written or never will be.

    Raises RunError where the file cannot be read or is no log.
    """
    return Formation.from_lines(_lines(path), str(Path(path)))


class Mark(NamedTuple):
    """Where the line of a look ends in its log, in bytes."""

    step: int
    end: int


def marks(path: str | os.PathLike[str]) -> list[Mark]:
    """The looks of a log, and where their lines end; raises RunError as `read_run` does."""
    lines = _lines(path)
    looks = Formation.from_lines(lines, str(Path(path))).looks
    ends = itertools.accumulate(len(line) + 1 for line in lines)
    return [Mark(look.step, end) for look, end in zip(looks, ends, strict=True)]


def _lines(path: str | os.PathLike[str]) -> list[str]:
    try:
        data = read_bytes(path, RUN)
        return data[: data.rfind(b"\n") + 1].decode("ascii").split("\n")[:-1]
    except OSError as error:
        raise RunError(f"{Path(path)}: {error.strerror or error}; give the log that a StructureMonitor wrote") from None
    except UnicodeDecodeError:
        raise RunError(f"{Path(path)}: is no text; give the log that a StructureMonitor wrote") from None
