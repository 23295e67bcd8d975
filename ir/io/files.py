"""Small files, each written whole or none of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from ..errors import ScissionError
from ..staging.folder import temporary_folder

__all__ = ["write"]


def write(files: Mapping[Path, bytes], overwrite: bool) -> None:
    """Write small files, each whole or none of them."""
    from .save import refuse_output

    staged: dict[Path, Path] = {}
    path = Path()
    try:
        with contextlib.ExitStack() as folders:
            for path, data in files.items():
                refuse_output(path, [], overwrite)
                staged[path] = folders.enter_context(temporary_folder(beside=path)) / path.name
                staged[path].write_bytes(data)
            for path in files:
                staged[path].replace(path)
    except OSError as error:
        raise ScissionError(f"{path}: {error.strerror}; nothing was written") from None
