"""What a process left that was killed: its temporary folders."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable

from ....ir.staging.folder import remove, sweep

__all__ = ["remove_all", "sweep_system"]


def sweep_system() -> None:
    """Remove what killed commands left in the system's folder for temporary files."""
    with contextlib.suppress(OSError):  # there is none
        sweep(tempfile.gettempdir())


def remove_all(folders: Iterable[str]) -> None:
    """Remove temporary folders whose process has ended."""
    for folder in folders:
        remove(folder)
