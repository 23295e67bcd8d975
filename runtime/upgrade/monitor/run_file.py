"""The log of a run, read."""

from __future__ import annotations

import os
from pathlib import Path

from ....ir.files.reading import Kind, read_bytes
from ....ir.findings.formation import Formation, RunError

__all__ = ["bytes_before", "read_run"]

RUN = Kind("the log of a run", 1 << 30)


def read_run(path: str | os.PathLike[str]) -> Formation:
    """The looks of a log, but for a last line without an end, which is being written or never will be.

    Raises RunError where the file cannot be read or is no log.
    """
    return Formation.from_lines(_lines(path), str(Path(path)))


def bytes_before(path: str | os.PathLike[str], step: int) -> int:
    """How long a log is up to the first look at a step or later; raises RunError as `read_run` does."""
    lines = _lines(path)
    looks = Formation.from_lines(lines, str(Path(path))).looks
    return sum(len(line) + 1 for line, look in zip(lines, looks, strict=True) if look.step < step)


def _lines(path: str | os.PathLike[str]) -> list[str]:
    try:
        data = read_bytes(path, RUN)
        return data[: data.rfind(b"\n") + 1].decode("ascii").split("\n")[:-1]
    except OSError as error:
        raise RunError(f"{Path(path)}: {error.strerror or error}; give the log that a StructureMonitor wrote") from None
    except UnicodeDecodeError:
        raise RunError(f"{Path(path)}: is no text; give the log that a StructureMonitor wrote") from None
