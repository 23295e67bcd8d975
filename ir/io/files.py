"""Small files, each written whole or none of them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from ..errors import ScissionError
from ..staging.folder import temporary_folder
from ..staging.place import Move, place

__all__ = ["write"]


def write(files: Mapping[Path, bytes], overwrite: bool) -> None:
    """Write small files, all of them or none, each whole.

    Raises ScissionError where one must not be written, or the system refuses.
    """
    from .save import refuse_output, taken

    moves: list[Move] = []
    folders: dict[Path, Path] = {}  # temporary ones, by those that files go to
    path = Path()
    try:
        with contextlib.ExitStack() as stack:
            for path, data in files.items():
                refuse_output(path, [], overwrite)
                if path.parent not in folders:
                    folders[path.parent] = stack.enter_context(temporary_folder(beside=path))
                moves.append(Move(folders[path.parent] / path.name, path))
                moves[-1].staged.write_bytes(data)
            if moves:
                place(moves, moves[0].staged.parent, overwrite)
    except FileExistsError as error:
        raise taken(error.filename) from None
    except OSError as error:
        raise ScissionError(f"{path}: {error.strerror}; nothing was written") from None
