"""What says whether another model lies where one lay."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from ....ir.parts.manifest import FILE

__all__ = ["Mark", "mark_of"]

Mark: TypeAlias = "tuple[str, int, int, int]"


def mark_of(model: Path) -> Mark | None:
    """Where a file or folder of parts really lies, and which one it is; None where nothing does, as while it is
    exchanged."""
    try:
        place = model.resolve(strict=True)
        told = (place / FILE if place.is_dir() else place).stat()
    except OSError:
        return None
    return str(place), told.st_ino, told.st_mtime_ns, told.st_size
