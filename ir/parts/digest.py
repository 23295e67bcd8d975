"""The SHA-256 of files, read a piece at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from ..files.reading import PART, open_file

__all__ = ["digest_of"]

PIECE = 1 << 20


def digest_of(paths: Iterable[Path]) -> str:
    """The SHA-256 of files one after another; raises OSError where one cannot be read."""
    digest = hashlib.sha256()
    for path in paths:
        with open_file(path, PART) as file:
            while piece := file.read(PIECE):
                digest.update(piece)
    return digest.hexdigest()
