"""Where the external data of a model may lie: ONNX Runtime's rule, so that both open the same files.

The file of the data, with every link followed, must lie in the folder that the model's path names or in the one that
the model's file is really in, or below; a model in the cache of the Hugging Face hub and its data are links into one
folder of blobs. A location that leads out of both is refused, however it does so, and so is an absolute one.
"""

from __future__ import annotations

import os
from io import BufferedReader
from pathlib import Path, PureWindowsPath

from ..errors import ScissionError
from ..files.reading import DATA, LENGTH, Kind, UnreadableError, open_file

__all__ = ["PlacementError", "open_data", "size_of_data"]


class PlacementError(ScissionError):
    """Why external data is not read, and what to do; without the names of model and data."""


def size_of_data(model: Path, location: str) -> int:
    """Bytes of the data file at `location`, as a model file names it. Raises PlacementError when it is not read."""
    with open_data(model, location, LENGTH) as file:
        return os.fstat(file.fileno()).st_size


def open_data(model: Path, location: str, kind: Kind = DATA) -> BufferedReader:
    """The data file at `location`, as a model file names it. Raises PlacementError when it is not read."""
    path = model.absolute().parent / location
    try:
        if Path(location).is_absolute() or PureWindowsPath(location).is_absolute() or not _is_beside(path, model):
            raise PlacementError("lies outside the model's folder; refused, move it there")
        return open_file(path, kind)
    except PlacementError:
        raise
    except UnreadableError as error:
        raise PlacementError(f"{error}; put the file itself there") from None
    except (OSError, ValueError, RuntimeError) as error:  # a name with a NUL byte; a link that leads to itself
        why = getattr(error, "strerror", None) or error
        raise PlacementError(f"cannot be read: {why}; put it beside the model") from None


def _is_beside(path: Path, model: Path) -> bool:
    """Whether a file lies beside the model, or beside what the model is a link to."""
    found = path.resolve()
    return any(found.is_relative_to(folder) for folder in (model.absolute().parent.resolve(), model.resolve().parent))
