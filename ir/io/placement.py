"""Where the external data of a model may lie: ONNX Runtime's rule, so that both open the same files.

The file of the data, with every link followed, must lie in the folder that the model's path names or in the one that
the model's file is really in, or below; a model in the cache of the Hugging Face hub and its data are links into one
folder of blobs. A location that leads out of both is refused, however it does so, and so is an absolute one. A hard
link is a file of the folder that it is in. Both folders, and where each file of data really is, are found out when the
model is read; links that are changed afterwards are not followed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path, PureWindowsPath

from ..errors import ScissionError
from ..files.inside import OutsideError, open_real, place_inside, real_path
from ..files.reading import DATA, LENGTH, MODEL, Kind, UnreadableError

__all__ = ["Home", "PlacementError"]


class PlacementError(ScissionError):
    """Why external data is not read, and what to do; without the names of model and data."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where a model lies, and where its data may lie: paths with no link in them.

    file: that of the model; folder: in which its path is, where locations begin.
    """

    file: Path
    folder: Path

    @staticmethod
    def of(model: Path) -> Home:
        """The home of the model at a path. Raises OSError where links lead to themselves."""
        return Home(real_path(model), real_path(model.absolute().parent))

    def model(self) -> BufferedReader:
        """The file of the model. Raises OSError."""
        return open_real(self.file, MODEL)

    def found(self, location: str) -> tuple[Path, int]:
        """Where the data file at `location`, as the model names it, really is, and its bytes. Raises PlacementError."""
        with self.data(location, LENGTH) as file:
            return Path(os.fspath(file.name)), os.fstat(file.fileno()).st_size

    def data(self, location: str, kind: Kind = DATA) -> BufferedReader:
        """The data file at `location`, open to be read. Raises PlacementError when it is not."""
        try:
            if Path(location).is_absolute() or PureWindowsPath(location).is_absolute():
                raise OutsideError
            return open_real(place_inside(self.folder / location, (self.folder, self.file.parent)), kind)
        except OutsideError:
            raise PlacementError("lies outside the model's folder; refused, move it there") from None
        except UnreadableError as error:
            raise PlacementError(f"{error}; put the file itself there") from None
        except (OSError, ValueError) as error:  # a name with a NUL byte
            why = getattr(error, "strerror", None) or error
            raise PlacementError(f"cannot be read: {why}; put it beside the model") from None
