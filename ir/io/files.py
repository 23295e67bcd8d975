"""Small files, each written whole or none of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from ..errors import ScissionError

__all__ = ["write"]


def write(files: Mapping[Path, bytes], overwrite: bool) -> None:
    """Write small files, each whole or none of them."""
    from .save import refuse_output

    staged: dict[Path, Path] = {}
    path = Path()
    try:
        for path, data in files.items():
            refuse_output(path, [], overwrite)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".scission.")
            staged[path] = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            mask = os.umask(0)
            os.umask(mask)
            staged[path].chmod(0o666 & ~mask)  # as a file that is opened for writing has it
        for path in files:
            staged[path].replace(path)
    except OSError as error:
        raise ScissionError(f"{path}: {error.strerror}; nothing was written") from None
    finally:
        for left in staged.values():
            left.unlink(missing_ok=True)
