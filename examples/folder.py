"""Where an example writes: the folder that it is told, or one that is gone afterwards."""

from __future__ import annotations

import atexit
import tempfile
from pathlib import Path


def folder(words: list[str]) -> Path:
    """The folder of a command line, made where there is none."""
    if len(words) > 1:
        here = Path(words[1])
        here.mkdir(parents=True, exist_ok=True)
        return here
    made = tempfile.TemporaryDirectory()
    atexit.register(made.cleanup)
    return Path(made.name)
